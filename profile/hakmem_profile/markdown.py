# SPDX-License-Identifier: MIT
"""The report as Markdown: readable as it is, and in any viewer."""

from .document import ratio_text
from .figures import count, percent, seconds, significant, size
from .functions import GROUPS
from .strace import commonest

MARK = {True: "[x]", False: "[ ]", None: "[?]"}
STATE = {"holds": "**holds**", "fails": "does not hold", "open": "open"}


def _cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def _table(header, rows, align=None):
    align = align or "l" + "r" * (len(header) - 1)
    lines = [
        "| " + " | ".join(map(_cell, header)) + " |",
        "|" + "|".join("---:" if a == "r" else "---" for a in align) + "|",
    ]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _range(part):
    return f"{percent(part['middle'], 0)} ({percent(part['low'], 0)} to {percent(part['high'], 0)})"


def render(d):
    parts = [f"# hakmem profile: {d['title']}\n"]
    if d["partial"]:
        parts.append("**Interrupted: this report holds what had been measured until then.**\n")
    for section in (_verdict, _comparison, _budget, _cases, _counters, _functions, _sizes, _calls, _quality, _method):
        text = section(d)
        if text:
            parts.append(text)
    return "\n".join(parts)


def _verdict(d):
    v = d["verdict"]
    lines = [f"## Verdict: {v['title']}\n"]
    if v["estimate"]:
        lines.append(f"**An estimate from {v['estimate']}.**\n")
    lines.append(v["text"] + "\n")
    if v["also"]:
        lines.append("Also: " + ", ".join(a["title"] for a in v["also"]) + ".\n")
    if v["case"] != "undecided" or v["confidence"]:
        lines.append(
            f"Confidence {v['confidence']:.2f} ({v['level']})" + ("." if not v["reasons"] else ": 0.95, less for")
        )
        lines += [f"- {r['text']} (× {r['factor']:.2f})" for r in v["reasons"]]
        lines.append("")
    lines += [note + "\n" for note in v["notes"]]
    if d["advice"]:
        lines.append("### What to do\n")
        for number, a in enumerate(d["advice"], 1):
            gain = f" *Expected: {a['gain']}.*" if a["gain"] else ""
            lines.append(f"{number}. {a['what']}{gain}")
        lines.append("")
    return "\n".join(lines)


def _comparison(d):
    if not d["comparison"]:
        return None
    operations = d["operations"]
    rows = []
    for r in d["comparison"]:
        rows.append(
            [
                r["name"],
                seconds(r["wall"]),
                "–" if r["spread"] is None else "±" + percent(r["spread"]),
                ratio_text(r["ratio"], r["ratio_spread"]),
                seconds(r["cpu"]),
                "–" if r["cpu_spread"] is None else "±" + percent(r["cpu_spread"]),
                ratio_text(r["cpu_ratio"], r["cpu_ratio_spread"]),
                seconds(r["sys"]),
                count(operations["count"] / r["wall"]) if operations and r["wall"] else "–",
                size(r["peak_rss"]),
                count(r["page_faults"]),
                _calls_per_operation(r, operations),
                percent(r["allocator_share"]) + (" (simulated)" if r["allocator_share_simulated"] else ""),
            ]
        )
    header = [
        "allocator",
        "time",
        "spread",
        "ratio",
        "processor time",
        "spread",
        "ratio",
        "of it kernel",
        "operations/s",
        "peak RSS",
        "page faults",
        "system calls per 1000 operations",
        "time in the allocator",
    ]
    text = "## Time and memory\n\n" + "".join(f"**{note}**\n\n" for note in d["noise"]) + _table(header, rows)
    if len(d["comparison"][0]["walls"]) > 1:
        text += (
            f"\nMedians of {len(d['comparison'][0]['walls'])} interleaved runs; the spread is half the range, "
            "of five or more runs without the fastest and the slowest. A ratio above 1 is slower than the first line. "
            "Processor time is what the program itself used, elapsed time also tells what else the machine did.\n"
        )
    if operations:
        text += f"\nOperations: {count(operations['count'])} ({operations['source']}).\n"
    return text


def _calls_per_operation(row, operations):
    if row["system_calls"] is None:
        return "–"
    if not operations or not operations["count"]:
        return f"{count(row['system_calls'])} in all"
    return significant(row["system_calls"] / operations["count"] * 1000)


def _budget(d):
    if not d["budget"]:
        return None
    rows = [[b["cause"], percent(b["middle"]), percent(b["low"]), percent(b["high"])] for b in d["budget"]]
    costs = "; ".join(f"{c['event']} {significant(c['low'])} to {significant(c['high'])}" for c in d["costs"])
    simulated = " Counts are simulated, cycles are processor time times the clock." if d["simulated"] else ""
    return (
        "## Where the cycles go\n\n"
        + _table(["cause", "share", "at least", "at most"], rows)
        + f"\nEvents times a range of cycles each ({costs}).{simulated}\n"
    )


def _cases(d):
    lines = ["## The cases\n"]
    for case in d["cases"]:
        share = f", {_range(case['share'])} of the cycles" if case["share"] and case["state"] == "holds" else ""
        lines.append(f"### {case['title'].capitalize()}: {STATE[case['state']]}{share}\n")
        rows = []
        for i in case["indicators"]:
            name = i["name"] + ("" if i["required"] else " (supporting)")
            value = i["value_text"] + (" (simulated)" if i["simulated"] and i["value"] is not None else "")
            rows.append([MARK[i["holds"]], name, f"{i['relation']} {i['threshold_text']}", value, i["note"]])
        lines.append(_table(["holds", "indicator", "threshold", "measured", "note"], rows, "llrrl"))
        if case["state"] != "holds":
            lines.append(case["why"].capitalize() + ".\n")
    return "\n".join(lines)


def _counters(d):
    if not d["counters"]:
        return None
    rows = []
    for c in d["counters"]:
        value = count(c["value"]) + (f" {c['unit']}" if c["unit"] else "") if c["value"] is not None else c["status"]
        running = "simulated" if c["simulated"] else "" if c["running"] is None else f"{c['running']:.2f} %"
        rows.append(
            [c["name"], value, significant(c["per_operation"]) if c["per_operation"] is not None else "–", running]
        )
    text = "## Counters\n\n" + _table(["event", "count", "per operation", "counting"], rows)
    if d["rates"]:
        rows = []
        for r in d["rates"]:
            value = f"{r['value']:.2f}" if r["kind"] == "number" else percent(r["value"], 2)
            rows.append(
                [
                    r["name"],
                    value,
                    f"{count(r['part'])} of {count(r['whole'])}",
                    significant(r["per_1000_instructions"]) if r["per_1000_instructions"] is not None else "–",
                    "simulated" if r["simulated"] else "",
                ]
            )
        text += "\n" + _table(["rate", "value", "of", "per 1000 instructions", ""], rows, "lrrrl")
        text += (
            "\nA rate is no cost: a high rate of few events costs little, a low rate of many events may cost most of "
            "the time. The budget above tells the costs.\n"
        )
    return text


def _function_table(rows, columns):
    keys = [c["key"] for c in columns]
    has_misses = "misses" in keys
    header = ["#", "function", "belongs to"]
    header += [c["label"] + (" (simulated)" if c["simulated"] else "") for c in columns]
    header += ["miss rank", "time/miss"] if has_misses else []
    lines = []
    for r in rows:
        cells = [r["rank"] or "–", f"`{r['name']}`", r["group"]]
        cells += [percent(r["shares"].get(k), 2) for k in keys]
        if has_misses:
            rank = r["ranks"].get("misses")
            cells += [f"#{rank}" if rank else "–", f"{r['ratio']:.0f}x" if r["ratio"] is not None else "–"]
        lines.append(cells)
    return _table(header, lines, "rll" + "r" * (len(header) - 3))


def _functions(d):
    table = d["functions"]
    if not table:
        return None
    text = "## Functions\n\n" + _function_table(table["rows"], table["columns"])
    has_misses = any(c["key"] == "misses" for c in table["columns"])
    if table["left_out"]:
        text += f"\n{table['left_out']} more functions are left out.\n"
    if table["kernel"]:
        # A simulation sees nothing of the kernel.
        measured = [c for c in table["columns"] if not c["simulated"]]
        text += "\n### The kernel's part\n\n" + _function_table(table["kernel"], measured)
    rows = [
        [c["label"]] + [percent(table["divided"][c["key"]][g], 2) for g in (*GROUPS, "page work", "locks")]
        for c in table["columns"]
    ]
    text += "\n" + _table(["share of", *GROUPS, "of it page work", "locks and waits"], rows)
    if has_misses:
        text += (
            "\nTime/miss is a function's share of the time by its share of the misses. High means that cache misses do "
            "not explain its time; it does not tell what does: instructions, mispredictions, stores or dependencies.\n"
        )
    return text


def _sizes(d):
    s = d["sizes"]
    if not s:
        return None
    rows = [
        [
            f"up to {size(c['upto'])}" if c["upto"] >= 1024 else f"up to {c['upto']}",
            count(c["count"]),
            percent(c["share"]),
            "#" * round(40 * c["share"]),
        ]
        for c in s["classes"]
    ]
    text = "## Allocations by size class\n\n"
    text += (
        f"{count(s['allocations'])} allocations ({count(s['callocs'])} calloc, {count(s['aligned'])} aligned), "
        f"{count(s['reallocs'])} reallocs, {count(s['frees'])} frees, {size(s['bytes'])} asked for in all, "
        f"{significant(s['mean'])} bytes on average"
        if s["mean"]
        else "No allocations at all"
    )
    text += f"; {s['processes']} process{'es' if s['processes'] != 1 else ''}.\n\n"
    return text + (_table(["bytes", "calls", "share", ""], rows, "rrrl") if rows else "")


def _calls(d):
    if not d["system_calls"]:
        return None
    names = list(d["system_calls"])
    calls = commonest(d["system_calls"])
    rows = [[f"`{c}`"] + [count(d["system_calls"][n]["calls"].get(c, 0)) for n in names] for c in calls]
    rows.append(["all"] + [count(d["system_calls"][n]["total"]) for n in names])
    return "## System calls\n\n" + _table(["call"] + names, rows)


def _quality(d):
    lines = ["## How good the data is\n"]
    lines += [f"- {note}" for note in d["quality"]] or ["- Nothing to complain about."]
    return "\n".join(lines) + "\n"


def _method(d):
    lines = ["## How it was made\n"]
    if d["program"]:
        lines.append(f"    {d['command']}\n")
    m = d["machine"]
    if m:
        virtual = ", virtual machine" if m["virtual"] else ""
        lines.append(
            f"{m['date']}; {m['processor']}, {m['processors']} processors{virtual}; {m['system']}, kernel "
            f"{m['kernel']}, {m['libc']}; huge pages {m['huge_pages']}; load {m['load']} at the start.\n"
        )
    if d["tools"]:
        lines.append(
            "Tools: "
            + ", ".join(f"{tool} {version or '(not there)'}" for tool, version in d["tools"].items())
            + f"; hakmem profile {d['version']}.\n"
        )
    lines.append("### Thresholds\n")
    rows = [
        [t["name"], percent(t["value"], 0) if t["unit"] == "share" else significant(t["value"]), t["why"]]
        for t in d["thresholds"]
    ]
    lines.append(_table(["indicator", "threshold", "why"], rows, "lrl"))
    return "\n".join(lines)
