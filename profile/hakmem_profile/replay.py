# SPDX-License-Identifier: MIT
"""Judges output that was collected elsewhere: perf stat and perf report as text, or callgrind files."""

import re

from . import callgrind, document, evidence, functions, perfreport, perfstat, verdict
from .errors import InputError, UsageError
from .figures import percent

# What benchmarks print: "Throughput = 52389412 ops/s [iterations 200000000, slots 400]".
THROUGHPUT = re.compile(r"[Tt]hroughput\D{1,5}([0-9][0-9.,]*)\s*(M?)ops/s(?:.*?\biter(?:ations|s)?\W{1,3}([0-9]+))?")


def read(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if b"\0" in data:
        raise InputError(
            path,
            data[: data.index(b"\0")].count(b"\n") + 1,
            "binary data; perf.data must go through perf report --stdio first",
        )
    return data.decode("utf-8", errors="replace")


def operations_of(lines, elapsed):
    """(count, source): the number of operations if the program's own output tells it."""
    for line in lines:
        match = THROUGHPUT.search(line)
        if match and match.group(3):
            return int(match.group(3)), "iterations that the program reported"
        if match and elapsed:
            rate = float(match.group(1).replace(",", "")) * (1e6 if match.group(2) else 1)
            return rate * elapsed, "throughput that the program reported, times the elapsed time"
    return None, None


def replay(stat_path, report_paths, operations=None, clock=None):
    """(evidence, parts of the document)."""
    e = evidence.Evidence(allocator="replay")
    notes = []
    text = read(stat_path)
    stat = costs = None
    if re.search(r"^(?:# callgrind format|version: |events: )", text, re.M) and re.search(r"^fn=", text, re.M):
        costs = callgrind.parse(text, stat_path)
        evidence.add_simulation(e, costs)
        evidence.estimate_cycles(e, clock)
        notes.append("All counts are simulated by callgrind or cachegrind; there are no times.")
    else:
        stat = perfstat.parse(text, stat_path)
        evidence.add_perf_stat(e, stat)
        evidence.add_stat_times(e, stat)
        if e.wall is not None and e.wall <= 0:
            raise InputError(stat_path, 0, "no time elapsed")
        e.operations, e.operations_source = operations_of(stat.program_output, e.wall)
    if operations:
        e.operations, e.operations_source = operations, "given by --ops"
    columns = _columns(report_paths, costs)
    if columns:
        table = document.function_table([c[:4] for c in columns])
        joined = functions.join(columns[0][2], next((c[2] for c in columns if c[0] == "misses"), []))
        evidence.add_functions(e, functions.shares(columns[0][2]), columns[0][4], joined)
        evidence.add_places(e, {c[0]: (c[2], functions.shares(c[2])) for c in columns[1:]})
        if columns[0][3]:
            e.estimated_from = "a simulation"
        e.listed = None if columns[0][3] else min(1, sum(row["share"] for row in columns[0][2]))
        e.miss_samples = next((c[4] for c in columns if c[0] == "misses"), None)
    else:
        table = None
        notes.append(
            "No perf report was given: there is no table of functions, and nothing says how much of the time "
            "is the allocator's (--report FILE)."
        )
    for key, label, rows, simulated, samples in columns:
        if not simulated and samples is not None and samples < 1000:
            notes.append(
                f"{samples} samples of {label}: shares below {100 * 10 / samples:.1f} % rest on fewer than ten."
            )
        listed = sum(row["share"] for row in rows)
        if not simulated and listed < verdict.NEARLY_ALL:
            notes.append(
                f"The functions of {label} add up to {percent(listed)} only: the table was cut off, or perf report had "
                "a --percent-limit. Functions that are not listed are in no group."
            )
    if e.runs == 1:
        notes.append("One run: how stable it is cannot be told.")
    if e.operations is None:
        notes.append("The number of operations is not known (--ops N): no figures per operation.")
    entries = document.counters(e, stat)
    return e, {
        "program": [],
        "command": (stat.command if stat else costs.command) or "",
        "comparison": [],
        "noise": [],
        "counters": entries,
        "rates": document.rates(e),
        "functions": table,
        "sizes": None,
        "system_calls": {},
        "machine": None,
        "tools": {},
        "quality": document.counter_notes(entries) + notes,
    }


def _columns(report_paths, costs):
    """[(key, label, rows, simulated, samples)] of all reports, time first."""
    tables = [table for path in report_paths for table in perfreport.parse(read(path), path)]
    columns = []
    for table in tables:
        event = perfreport.base_event(table.event)
        key = {"cache-misses": "misses", "LLC-load-misses": "misses", "branch-misses": "mispredictions"}.get(
            event, event
        )
        is_time = event in ("cycles", "cpu-cycles", "cpu-clock", "task-clock")
        if is_time:
            key, label = "time", f"time ({event})"
        else:
            label = event
        if any(c[0] == key for c in columns):
            raise InputError(report_paths[-1], table.line, f"a second table of {table.event!r}")
        columns.append((key, label, functions.prepare(table.rows), False, table.samples))
    columns.sort(key=lambda c: c[0] != "time")
    if tables and columns[0][0] != "time":
        raise UsageError("no --report has a table of cycles or of cpu-clock: without it there is no share of the time")
    if costs:
        columns += [(*column, None) for column in document.simulated_columns(costs, bool(columns))]
    return columns
