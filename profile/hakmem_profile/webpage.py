# SPDX-License-Identifier: MIT
"""The report as one HTML page that needs nothing else: style and charts are inside, and there is no script."""

import os
from html import escape

from . import svg
from .document import ratio_text
from .figures import count, percent, seconds, significant, size
from .functions import GROUPS
from .strace import commonest

STYLES = {
    "instructions": "c1",
    "mispredictions": "c2",
    "data misses": "c3",
    "instruction fetch": "c4",
    "unexplained": "c5",
}
STATE = {
    "holds": '<span class="chip yes">holds</span>',
    "fails": '<span class="chip">does not hold</span>',
    "open": '<span class="chip warn">open</span>',
}
MARK = {
    True: '<span class="mark yes">✓</span>',
    False: '<span class="mark no">✗</span>',
    None: '<span class="mark maybe">?</span>',
}
SIMULATED = ' <span class="sim">simulated</span>'


def _style():
    with open(os.path.join(os.path.dirname(__file__), "page.css"), encoding="utf-8") as file:
        return file.read()


def _cell(value, tag="td", left=False):
    # Markup comes as a tuple of one, text as a string.
    text = value[0] if isinstance(value, tuple) else escape(str(value))
    return f'<{tag}{" class=l" if left else ""}>{text}</{tag}>'


def _table(header, rows, left=1, best=None, style=""):
    """`left` columns at the start, or those of a set, are aligned to the left."""
    is_left = (lambda n: n in left) if isinstance(left, set) else (lambda n: n < left)
    head = "".join(_cell(h, "th", is_left(n)) for n, h in enumerate(header))
    body = "".join(
        "<tr"
        + (" class=best" if number == best else "")
        + ">"
        + "".join(_cell(c, "td", is_left(n)) for n, c in enumerate(row))
        + "</tr>"
        for number, row in enumerate(rows)
    )
    opening = f'<div class="wide"><table{style and f" class={style}"}>'
    return f"{opening}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _figure(caption, chart):
    return f"<figure><figcaption>{escape(caption)}</figcaption>{chart}</figure>"


def render(d):
    sections = [
        _verdict(d),
        _advice(d),
        _comparison(d),
        _budget(d),
        _cases(d),
        _counters(d),
        _functions(d),
        _sizes(d),
        _calls(d),
        _quality(d),
        _method(d),
    ]
    # By this policy the browser loads nothing for the page and runs no script.
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(d['title'])}: {escape(d['verdict']['title'])}</title>\n<style>\n{_style()}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(filter(None, sections)) + "\n</main>\n</body>\n</html>\n"
    )


def _header(d):
    m = d["machine"]
    where = "collected elsewhere and judged here" if d["source"] == "replay" else ""
    if m:
        where = (
            f"{m['date']} · {m['processor']}, {m['processors']} processors{', virtual' if m['virtual'] else ''} · "
            f"{m['system']}, kernel {m['kernel']}"
        )
    partial = (
        '<p><span class="chip warn">interrupted</span> This report holds what had been measured until then.</p>'
        if d["partial"]
        else ""
    )
    return f"<header><h1><span>hakmem profile</span> {escape(d['title'])}</h1><p>{escape(where)}</p>{partial}</header>"


def _verdict(d):
    v = d["verdict"]
    undecided = v["case"] == "undecided"
    also = "".join(f' <span class="chip yes">also {escape(a["title"])}</span>' for a in v["also"])
    meter = ""
    if v["confidence"]:
        meter = (
            '<div class="meter"><svg viewBox="0 0 100 6" aria-hidden="true" preserveAspectRatio="none">'
            '<rect width="100" height="6" class="bar soft"/>'
            f'<rect width="{100 * v["confidence"]:.0f}" height="6" class="own"/></svg>'
            f'<span>Confidence {v["confidence"]:.2f}, {v["level"]}</span></div>'
        )
        if v["reasons"]:
            reasons = "; ".join(f"{escape(r['text'])} (× {r['factor']:.2f})" for r in v["reasons"])
            meter += f'<p class="quiet">0.95, less for: {reasons}.</p>'
    notes = "".join(f"<p>{escape(note)}</p>" for note in v["notes"])
    if v.get("estimate"):
        also = f'<span class="chip warn">an estimate from {escape(v["estimate"])}</span>' + also
    return _header(d) + (
        f'<section class="verdict{" open" if undecided else ""}"><p class="big">{escape(v["title"])}</p>'
        f"<p>{escape(v['text'])}</p><p>{also}</p>{notes}{meter}</section>"
    )


def _advice(d):
    if not d["advice"]:
        return None
    items = "".join(
        "<li>" + _code(a["what"]) + (f'<span class="gain">{escape(a["gain"])}</span>' if a["gain"] else "") + "</li>"
        for a in d["advice"]
    )
    return f'<h2>What to do</h2><ol class="advice">{items}</ol>'


def _code(text):
    """Text with its `code` marked up."""
    pieces = text.split("`")
    return "".join(f"<code>{escape(p)}</code>" if n % 2 else escape(p) for n, p in enumerate(pieces))


def _comparison(d):
    rows = d["comparison"]
    if not rows:
        return None
    operations = d["operations"]

    def chart_row(r, key, text, **more):
        return {"label": r["name"], "value": r[key], "text": text, "style": "own" if r is rows[0] else "bar", **more}

    def times(key, runs, ratio):
        return [
            chart_row(
                r,
                key,
                seconds(r[key])
                + ("" if r is rows[0] else f"  ({ratio_text(r[ratio], r.get(ratio + '_spread'))})"),
                low=min(r[runs]),
                high=max(r[runs]),
            )
            for r in rows
        ]

    text = "<h2>Time and memory</h2>" + "".join(f'<p class="warning">{escape(note)}</p>' for note in d.get("noise", ()))
    if len(rows) > 1:
        text += _figure(
            "Elapsed time of one run: median, and from the fastest to the slowest run (in brackets: ratio to the "
            "first)",
            svg.bars(times("wall", "walls", "ratio"), "time by allocator"),
        )
        text += _figure(
            "Processor time of one run: what the program itself used, whatever else the machine did",
            svg.bars(times("cpu", "cpus", "cpu_ratio"), "processor time by allocator"),
        )
        text += _figure(
            "Peak resident memory",
            svg.bars([chart_row(r, "peak_rss", size(r["peak_rss"])) for r in rows], "peak memory by allocator"),
        )
    table = []
    for r in rows:
        calls = "–" if r["system_calls"] is None else count(r["system_calls"])
        if operations and r["system_calls"] is not None and operations["count"]:
            calls = significant(r["system_calls"] / operations["count"] * 1000)
        table.append(
            [
                r["name"],
                seconds(r["wall"]),
                "–" if r["spread"] is None else "±" + percent(r["spread"]),
                ratio_text(r["ratio"], r.get("ratio_spread")),
                seconds(r["cpu"]),
                "–" if r["cpu_spread"] is None else "±" + percent(r["cpu_spread"]),
                seconds(r["sys"]),
                count(operations["count"] / r["wall"]) if operations and r["wall"] else "–",
                size(r["peak_rss"]),
                count(r["page_faults"]),
                calls,
                count(r["instructions"])
                if not operations
                else significant(r["instructions"] / operations["count"])
                if r["instructions"]
                else "–",
                (percent(r["allocator_share"]) + (SIMULATED if r.get("allocator_share_simulated") else ""),),
            ]
        )
    per = "per operation" if operations else ""
    text += _table(
        [
            "allocator",
            "elapsed time",
            "spread",
            "ratio",
            "processor time",
            "spread",
            "kernel time",
            "operations/s",
            "peak memory",
            "page faults",
            "system calls" + (" per 1000 op." if operations else ""),
            (f"instructions {per}" + (SIMULATED if d["simulated"] else ""),),
            "time in allocator",
        ],
        table,
        best=0,
        style="dense",
    )
    text += (
        f'<p class="quiet">Medians of {len(rows[0]["walls"])} interleaved runs; the spread is half the range, of five '
        "or more runs without the fastest and the slowest."
    )
    if operations:
        text += f" {count(operations['count'])} operations: {escape(operations['source'])}."
    return text + "</p>"


def _budget(d):
    if not d["budget"]:
        return None
    parts = [(b["cause"], b["middle"], STYLES[b["cause"]]) for b in d["budget"]]
    rows = [(b["cause"], b["low"], b["middle"], b["high"], STYLES[b["cause"]]) for b in d["budget"]]
    costs = "; ".join(f"{c['event']} {significant(c['low'])} to {significant(c['high'])}" for c in d["costs"])
    text = "<h2>Where the cycles go</h2>" + _figure(
        "The middle of what is possible", svg.stacked(parts, "shares of the cycles")
    )
    text += _figure("What each cause takes at least and at most", svg.ranges(rows, "ranges of the shares"))
    simulated = " Counts are simulated, and cycles are the processor time times the clock." if d["simulated"] else ""
    return text + f'<p class="quiet">Events times a range of cycles each ({escape(costs)}).{simulated}</p>'


def _cases(d):
    text = "<h2>The cases, and why</h2>"
    for case in d["cases"]:
        rows = []
        for i in case["indicators"]:
            name = escape(i["name"]) + ("" if i["required"] else ' <span class="quiet">(supporting)</span>')
            value = escape(i["value_text"]) + (SIMULATED if i["simulated"] and i["value"] is not None else "")
            rows.append(
                [
                    (MARK[i["holds"]],),
                    (name,),
                    f"{'≥' if i['relation'] == '>=' else '<'} {i['threshold_text']}",
                    (value,),
                    i["note"],
                ]
            )
        side = case["why"]
        if case["state"] == "holds":
            side = ""
            if case["share"]:
                side = f"{percent(case['share']['low'], 0)} to {percent(case['share']['high'], 0)}"
        text += (
            f'<details{" open" if case["state"] == "holds" else ""}><summary>'
            f'<b>{escape(case["title"].capitalize())}</b> '
            f'{STATE[case["state"]]}<span class="quiet">{escape(side)}</span></summary>'
            + _table(["", "indicator", "threshold", "measured", "note"], rows, left={0, 1, 4})
            + "</details>"
        )
    return text


def _counters(d):
    if not d["counters"]:
        return None
    rows = []
    for c in d["counters"]:
        if c["value"] is None:
            value = (f'<span class="chip warn">{escape(c["status"])}</span>',)
        else:
            value = count(c["value"]) + (f" {c['unit']}" if c["unit"] else "")
        running = (SIMULATED,) if c["simulated"] else "" if c["running"] is None else f"{c['running']:.2f} %"
        rows.append([c["name"], value, significant(c["per_operation"]), running])
    text = "<h2>Counters</h2>" + _table(["event", "count", "per operation", "counting"], rows)
    if d["rates"]:
        rows = [
            [
                (escape(r["name"]) + (SIMULATED if r["simulated"] else ""),),
                f"{r['value']:.2f}" if r["kind"] == "number" else percent(r["value"], 2),
                f"{count(r['part'])} of {count(r['whole'])}",
                significant(r["per_1000_instructions"]),
            ]
            for r in d["rates"]
        ]
        text += "<h3>Rates</h3>" + _table(["rate", "value", "of", "per 1000 instructions"], rows)
        text += (
            '<p class="quiet">A rate is no cost: a high rate of few events costs little, a low rate of many events may '
            "cost most of the time. The budget above tells the costs.</p>"
        )
    return text


def _function_table(rows, columns, full):
    """One table of functions; `full` is the share of the time that fills its bar."""
    keys = [c["key"] for c in columns]
    labels = [(escape(c["label"]) + (SIMULATED if c["simulated"] else ""),) for c in columns]
    has_misses = "misses" in keys
    header = ["#", "function", "belongs to", labels[0], "", *labels[1:]]
    header += ["miss rank", "time/miss"] if has_misses else []
    lines = []
    for r in rows:
        style = {"allocator": "own", "kernel": "c2"}.get(r["group"], "bar")
        first = r["shares"].get(keys[0])
        name = f'<code title="{escape(r["symbol"])}">{escape(_cut(r["name"]))}</code>'
        cells = [r["rank"] or "–", (name,), r["group"], percent(first, 2), (svg.small(first, style, full),)]
        cells += [percent(r["shares"].get(k), 2) for k in keys[1:]]
        if has_misses:
            rank = r["ranks"].get("misses")
            cells += [f"#{rank}" if rank else "–", f"{r['ratio']:.0f}x" if r["ratio"] is not None else "–"]
        lines.append(cells)
    return _table(header, lines, {1, 2, 4}, style="dense")


def _functions(d):
    table = d["functions"]
    if not table:
        return None
    columns = table["columns"]
    full = max((r["shares"][columns[0]["key"]] or 0 for r in table["rows"]), default=0) or 1
    text = "<h2>Functions</h2>" + _function_table(table["rows"], columns, full)
    if table["left_out"]:
        text += f'<p class="quiet">{table["left_out"]} more functions are left out.</p>'
    if any(c["key"] == "misses" for c in columns):
        text += (
            '<p class="quiet">Time/miss is a function\'s share of the time by its share of the misses. High means that '
            "cache misses do not explain its time; it does not tell what does.</p>"
        )
    if table["kernel"]:
        # A simulation sees nothing of the kernel.
        measured = [c for c in columns if not c["simulated"]]
        text += "<h3>The kernel's part</h3>" + _function_table(table["kernel"], measured, full)
    groups = (*GROUPS, "page work", "locks")
    text += "<h3>In sum</h3>" + _table(
        ["share of", *GROUPS, "of it page work", "locks, waits"],
        [[c["label"]] + [percent(table["divided"][c["key"]][g], 2) for g in groups] for c in table["columns"]],
    )
    return text


def _cut(name, limit=32):
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _sizes(d):
    s = d["sizes"]
    if not s or not s["classes"]:
        return None
    chart = [
        (
            size(p["upto"]).replace(" ", "").replace("iB", ""),
            p["share"],
            f"up to {size(p['upto'])}: {count(p['count'])}",
        )
        for p in s["powers"]
    ]
    text = "<h2>Allocations by size</h2>"
    text += (
        f"<p>{count(s['allocations'])} allocations ({count(s['callocs'])} calloc, {count(s['aligned'])} aligned), "
        f"{count(s['reallocs'])} reallocs, {count(s['frees'])} frees; {size(s['bytes'])} asked for in all, "
        f"{significant(s['mean'])} bytes on average; {s['processes']} process{'es' if s['processes'] != 1 else ''}.</p>"
    )
    text += _figure("Requests up to this many bytes", svg.columns(chart, "requests by size"))
    rows = [
        [
            f"{c['upto']:,}",
            count(c["count"]),
            percent(c["share"]),
            (svg.small(c["share"], "own", max(x["share"] for x in s["classes"])),),
        ]
        for c in s["classes"]
    ]
    return (
        text
        + f"<details><summary><b>By size class</b><span class=quiet>{len(rows)} classes</span></summary>"
        + _table(["up to bytes", "calls", "share", ""], rows, left={3})
        + "</details>"
    )


def _calls(d):
    if not d["system_calls"]:
        return None
    names = list(d["system_calls"])
    calls = commonest(d["system_calls"])
    rows = [
        [(f"<code>{escape(c)}</code>",)] + [count(d["system_calls"][n]["calls"].get(c, 0)) for n in names]
        for c in calls
    ]
    rows.append(["all"] + [count(d["system_calls"][n]["total"]) for n in names])
    return "<h2>System calls</h2>" + _table(["call"] + names, rows)


def _quality(d):
    notes = d["quality"] or ["Nothing to complain about."]
    return (
        "<h2>How good the data is</h2><ul class=plain>" + "".join(f"<li>{_code(note)}</li>" for note in notes) + "</ul>"
    )


def _method(d):
    text = "<h2>How it was made</h2>" + (f"<pre>{escape(d['command'])}</pre>" if d["command"] else "")
    m = d["machine"]
    if m:
        text += (
            f'<p class="quiet">{escape(m["processor"])}, {m["processors"]} processors, {size(m["memory"])}; '
            f'{escape(m["libc"])}; huge pages {m["huge_pages"]}; load {m["load"]} at the start.'
        )
        text += " Tools: " + escape(", ".join(f"{t} {v or '(not there)'}" for t, v in d["tools"].items())) + ".</p>"
    rows = [
        [t["name"], percent(t["value"], 0) if t["unit"] == "share" else significant(t["value"]), t["why"]]
        for t in d["thresholds"]
    ]
    text += (
        "<details><summary><b>Thresholds</b></summary>"
        + _table(["indicator", "threshold", "why"], rows, left={0, 2})
        + "</details>"
    )
    return text + f"<footer>hakmem profile {escape(d['version'])}, {escape(d['format'])}</footer>"
