# SPDX-License-Identifier: MIT
"""The report as plain data.  JSON is this, written out; the Markdown and the HTML page are made from nothing else.

Shares are fractions of 1, times seconds, memory bytes.  None is "not measured".  "format" changes its number when a
field changes its meaning or goes; new fields may come at any time.
"""

from . import advice, cases, functions, verdict
from .budget import COSTS, RETIRED_PER_CYCLE
from .evidence import PERF_EVENTS
from .figures import median, percent, ratio, spread

FORMAT = "hakmem-profile/1"

LEAST_SHARE = 0.002  # of the time: functions below it are left out, once ten are listed

RATES = (
    ("instructions per cycle", "instructions", "cycles", "number"),
    ("branches mispredicted", "branch_misses", "branches", "share"),
    ("cache references missed", "cache_misses", "cache_references", "share"),
    ("L1 data loads missed", "l1d_misses", "l1d_loads", "share"),
    ("last-level loads missed", "llc_misses", "llc_loads", "share"),
    ("dTLB loads missed", "dtlb_misses", "dtlb_loads", "share"),
    ("iTLB loads missed", "itlb_misses", "itlb_loads", "share"),
)

SIMULATED_NAMES = {
    "instructions": "instructions",
    "branches": "branches",
    "branch_misses": "branch-misses",
    "cache_references": "L1 misses of all kinds",
    "cache_misses": "last-level misses",
    "l1d_loads": "data reads and writes",
    "l1d_misses": "L1 data misses",
    "l1i_misses": "L1 instruction misses",
    "cycles": "cycles (user time × clock)",
}


def rates(e):
    result = []
    for name, part, whole, kind in RATES:
        value = ratio(getattr(e, part), getattr(e, whole))
        if value is not None:
            result.append(
                {
                    "name": name,
                    "value": value,
                    "kind": kind,
                    "part": getattr(e, part),
                    "whole": getattr(e, whole),
                    "per_1000_instructions": None if kind == "number" else e.per_kilo_instruction(getattr(e, part)),
                    "simulated": part in e.simulated or whole in e.simulated,
                }
            )
    return result


def counters(e, stat=None, probe=None):
    """All counters that perf was asked for: the value, or why there is none."""
    result = []
    entries = dict(stat.events) if stat else {}
    for name, status in (probe or {}).items():
        entries.setdefault(name, {"value": None, "status": status, "running": None, "spread": None, "unit": None})
    for name, entry in entries.items():
        if entry["value"] is None and (entry["status"] == "counted" or not stat):
            continue  # the program was not run under perf stat
        per_op = e.per_operation(entry["value"]) if not entry["unit"] else None
        result.append(
            {
                "name": name,
                "value": entry["value"],
                "unit": entry["unit"],
                "status": entry["status"],
                "running": entry["running"],
                "per_operation": per_op,
                "simulated": False,
            }
        )
    by_perf = {
        name for names in PERF_EVENTS.values() for name in names if (entries.get(name) or {}).get("value") is not None
    }
    for name in sorted(e.simulated, key=list(SIMULATED_NAMES).index):
        if not by_perf.intersection(PERF_EVENTS.get(name, ())):
            value = getattr(e, name)
            result.append(
                {
                    "name": SIMULATED_NAMES[name],
                    "value": value,
                    "unit": None,
                    "status": "simulated",
                    "running": None,
                    "per_operation": e.per_operation(value),
                    "simulated": True,
                }
            )
    return result


def function_table(columns, limit=25):
    """Joins tables of functions.  `columns`: [(key, label, rows, simulated)], the first is the time.

    The ratio is the share of the time by the share of the column "misses", as in the original analysis.
    """
    if not columns:
        return None
    key, label, time_rows, simulated = columns[0]
    indexes = [(k, functions.Index(rows)) for k, _, rows, _ in columns[1:]]
    rows = []
    for row in time_rows:
        entry = {
            "rank": row["rank"],
            "name": row["name"],
            "symbol": row["symbol"],
            "object": row["object"],
            "group": row["group"],
            "shares": {key: row["share"]},
            "ranks": {key: row["rank"]},
            "ratio": None,
            "lock": functions.is_lock(row["symbol"]),
        }
        for other, index in indexes:
            found = index.find(row)
            entry["shares"][other] = found["share"] if found else None
            entry["ranks"][other] = found["rank"] if found else None
        if entry["shares"].get("misses"):
            entry["ratio"] = row["share"] / entry["shares"]["misses"]
        rows.append(entry)
    listed = [r for r in rows if r["group"] != functions.KERNEL]
    kernel = [r for r in rows if r["group"] == functions.KERNEL]
    total = len(listed)
    listed = [r for n, r in enumerate(listed) if n < limit and (n < 10 or r["shares"][key] >= LEAST_SHARE)]
    kernel = [r for n, r in enumerate(kernel) if n < 5 or r["shares"][key] >= LEAST_SHARE]
    misses = next((c for c in columns if c[0] == "misses"), None)
    kernel_misses = []
    if misses:
        known = {(r["name"], r["object"]) for r in kernel}
        kernel_misses = [
            {
                "rank": r["rank"],
                "name": r["name"],
                "symbol": r["symbol"],
                "object": r["object"],
                "group": r["group"],
                "shares": {key: None, "misses": r["share"]},
                "ranks": {key: None, "misses": r["rank"]},
                "ratio": None,
                "lock": False,
            }
            for r in misses[2]
            if r["group"] == functions.KERNEL and (r["name"], r["object"]) not in known
        ]
    return {
        "columns": [{"key": k, "label": text, "simulated": sim} for k, text, _, sim in columns],
        "rows": listed,
        "kernel": (kernel + kernel_misses)[:limit],
        "left_out": total - len(listed),
        "divided": {k: functions.shares(rows) for k, _, rows, _ in columns},
    }


def _share(value):
    return None if value is None else value._asdict()


def _estimate(e, result):
    """What the verdict was estimated from; None if all of it was measured."""
    case = next((c for c in result.cases if c.id == result.case), None)
    if case is None or not any(i.simulated for i in case.indicators if i.required):
        return None
    return e.estimated_from if case.id == "not-allocator" else "a simulation"


def judged(e):
    """The parts of the document that the verdict makes from the evidence."""
    result = verdict.judge(e)
    return {
        "verdict": {
            "case": result.case,
            "title": cases.title(result.case),
            "also": [{"case": c, "title": cases.title(c)} for c in result.also],
            "confidence": result.confidence,
            "level": result.level,
            "reasons": [{"factor": factor, "text": text} for factor, text in result.reasons],
            "text": result.text,
            "notes": result.notes,
            "estimate": _estimate(e, result),
        },
        "advice": advice.advise(e, result),
        "budget": [{"cause": part.cause, **_share(part.share)} for part in result.budget],
        "cases": [
            {
                "case": case.id,
                "title": case.title,
                "state": case.state,
                "why": case.why,
                "share": _share(case.share),
                "indicators": [
                    {
                        "name": i.name,
                        "relation": i.relation,
                        "threshold": i.threshold,
                        "value": i.value,
                        "unit": i.unit,
                        "holds": i.holds,
                        "required": i.required,
                        "note": i.note,
                        "simulated": i.simulated,
                        "threshold_text": i.text(i.threshold),
                        "value_text": i.text(i.value),
                    }
                    for i in case.indicators
                ],
            }
            for case in result.cases
        ],
        "thresholds": [
            {"name": name, "value": limit.value, "unit": limit.unit, "why": limit.why}
            for name, limit in cases.THRESHOLDS.items()
        ],
        "costs": [{"event": name, "low": low, "high": high} for name, (low, high) in COSTS.items()],
    }


def comparison_row(allocator, runs, own_runs):
    """One allocator's line: medians over its runs, and their ratio to those of the first allocator."""
    walls = [r.wall for r in runs]
    cpus = [r.user + r.sys for r in runs]
    wall = median(walls)
    statuses = sorted({r.status for r in runs})
    return {
        "name": allocator.name,
        "preload": allocator.preload,
        "walls": walls,
        "wall": wall,
        "spread": spread(walls),
        "ratio_spread": _both_spreads(walls, [r.wall for r in own_runs]),
        "ratio": ratio(wall, median([r.wall for r in own_runs])),
        "cpus": cpus,
        "cpu": median(cpus),
        "cpu_spread": spread(cpus),
        "cpu_ratio_spread": _both_spreads(cpus, [r.user + r.sys for r in own_runs]),
        "cpu_ratio": ratio(median(cpus), median([r.user + r.sys for r in own_runs])),
        "user": median([r.user for r in runs]),
        "sys": median([r.sys for r in runs]),
        "peak_rss": median([r.peak_rss for r in runs]),
        "page_faults": median([r.minor_faults for r in runs]),
        "major_faults": median([r.major_faults for r in runs]),
        "voluntary_switches": median([r.voluntary_switches for r in runs]),
        "statuses": statuses,
        "system_calls": None,
        "memory_calls": None,
        "instructions": None,
        "allocator_share": None,
        "allocator_share_simulated": False,
    }


def _both_spreads(values, others):
    """The uncertainty of the ratio of two medians: the sum of the spreads; None for the first allocator."""
    spreads = [spread(values), spread(others)]
    return None if values is others or None in spreads else sum(spreads)


def ratio_text(value, uncertainty):
    """A ratio, with its uncertainty if that is 5 % or more, and "unclear" if it is larger than the difference."""
    if value is None:
        return "–"
    if value == 1 or uncertainty is None or uncertainty < 0.05:
        return f"{value:.2f}"
    return f"{value:.2f} ±{percent(uncertainty, 0)}" + (", unclear" if abs(value - 1) <= value * uncertainty else "")


def sizes(counts):
    """Allocations by size class, and by powers of two for the chart."""
    if not counts:
        return None
    folded = {}
    for upto, number in counts["by_size"].items():
        power = 16
        while power < upto:
            power *= 2
        folded[power] = folded.get(power, 0) + number
    total = sum(counts["by_size"].values())
    return {
        **{
            field: counts[field]
            for field in (
                "allocations",
                "frees",
                "reallocs",
                "callocs",
                "aligned",
                "failed",
                "bytes",
                "processes",
                "programs",
            )
        },
        "mean": ratio(counts["bytes"], counts["allocations"] + counts["reallocs"]),
        "classes": [
            {"upto": upto, "count": number, "share": ratio(number, total)} for upto, number in counts["by_size"].items()
        ],
        "powers": [
            {"upto": upto, "count": number, "share": ratio(number, total)} for upto, number in sorted(folded.items())
        ],
    }


def noise_notes(rows):
    """Notes on the spread of the runs, which the reports print before the times."""
    notes = []
    noisy = [row for row in rows if row["spread"] is not None and row["spread"] > 0.05]
    if noisy:
        spreads = ", ".join(f"±{percent(row['spread'])} under {row['name']}" for row in noisy)
        steady = max(row["cpu_spread"] or 0 for row in rows)
        notes.append(
            f"Elapsed times differ from run to run by {spreads}: smaller differences mean nothing. "
            + (
                f"Processor times differ by ±{percent(steady)} at most; compare those."
                if steady <= 0.10
                else f"Even processor times differ by up to ±{percent(steady)}: too much to tell small differences."
            )
        )
    return notes


def status_notes(rows):
    notes = []
    for row in rows:
        if any(status != 0 for status in row["statuses"]):
            notes.append(f"Runs under {row['name']} ended with status {', '.join(map(str, row['statuses']))}.")
    return notes


def counter_notes(entries, probe=None):
    notes = []
    unsupported = [name for name, status in (probe or {}).items() if status == "not supported"]
    if unsupported and not any(c["running"] is not None for c in entries):
        notes.append(f"This machine gives perf no hardware counters: {', '.join(unsupported)} are not supported.")
    missing = [c["name"] for c in entries if c["status"] == "not supported"]
    uncounted = [c["name"] for c in entries if c["status"] == "not counted"]
    shared = [
        (c["running"], c["name"])
        for c in entries
        if c["running"] is not None and c["running"] < 99.5 and c["value"] is not None
    ]
    if missing:
        notes.append(f"Not supported on this machine: {', '.join(missing)}.")
    if uncounted:
        notes.append(f"Asked for but never counted: {', '.join(uncounted)}.")
    if shared:
        low, high = min(shared)[0], max(shared)[0]
        notes.append(
            f"{len(shared)} counters shared the hardware: each was counting {low:.2f} % to {high:.2f} % of the time, "
            "and its value is scaled up from that."
        )
    return notes


def summary_line(document):
    """One line for the terminal."""
    result = document["verdict"]
    estimate = f", an estimate from {result['estimate']}" if result["estimate"] else ""
    also = "".join(f", also {a['title']}" for a in result["also"])
    doubt = "" if result["case"] == "undecided" else f" (confidence {result['confidence']:.2f}, {result['level']})"
    return f"{result['title']}{also}{estimate}{doubt}"


def estimated_cycles(costs):
    """A function that estimates the cycles of a function's costs, by the middle of each cost per event."""

    def value(own):
        def total(*names):
            return costs.sum(*names, costs=own) or 0

        beyond = total("ILmr", "DLmr", "DLmw")
        return (
            total("Ir") / RETIRED_PER_CYCLE
            + COSTS["misprediction"].middle * total("Bcm", "Bim")
            + COSTS["L1 miss"].middle * max(0, total("D1mr", "D1mw") - beyond)
            + COSTS["L1i miss"].middle * total("I1mr")
            + COSTS["memory"].middle * beyond
        )

    return value


def simulated_columns(costs, has_time):
    """Columns of the function table from callgrind; its estimate of the time as well, if no time was measured."""
    result = []
    if not has_time:
        rows = functions.prepare(functions.from_costs(costs, estimated_cycles(costs)))
        result.append(("time", "estimated cycles", rows, True))
    for key, label, events in (
        ("instructions", "instructions", ("Ir",)),
        ("mispredictions", "mispredicted", ("Bcm", "Bim")),
        ("l1", "L1 data misses", ("D1mr", "D1mw")),
        ("misses", "last-level misses", ("ILmr", "DLmr", "DLmw")),
    ):
        if costs.sum(*events) is not None:
            rows = functions.from_costs(costs, lambda own, events=events: costs.sum(*events, costs=own))
            result.append((key, label, functions.prepare(rows), True))
    return result
