# SPDX-License-Identifier: MIT
"""One measurement of a program: the runs in their order, and what of the report comes from each."""

import os
import shlex

from . import collect, document, evidence, functions, machine
from .figures import median, spread
from .runner import interleaved


class Measurement:
    """What was collected so far; a report can be made of it at any moment."""

    def __init__(self, where):
        self.machine = where
        self.notes = []
        self.status = 0
        self.counts = None
        self.runs = {}
        self.stats = {}
        self.probe = {}
        self.time_tables = {}
        self.miss_table = self.misprediction_table = None
        self.simulations = {}
        self.system_calls = {}


def steps(options, tools, allocators, hardware=False):
    """The number of steps, for the progress line."""
    simulated = tools["valgrind"] and (options.simulate == "always" or (options.simulate == "auto" and not hardware))
    kinds = options.runs + bool(tools["perf"]) * (1 + hardware) + bool(tools["strace"]) + bool(simulated)
    return 1 + allocators * kinds + (2 if hardware else 0)


def measure(options, m, runner, collector, progress, own, everybody, tools, paths, linked):
    """All runs, those that tell most first: an interruption then costs little."""
    before, extra = [], {}
    if paths["count"] and not linked:
        before, extra = [paths["count"]], {"HAKMEM_COUNT_OUT": collector.counting_files()}
        if os.path.exists(collector.counting_files()):
            os.unlink(collector.counting_files())
    else:
        m.notes.append(
            "Allocations were not counted: "
            + (
                f"a library cannot be put under the program, as {linked}."
                if linked
                else "libhakmem-count.so is missing."
            )
        )
    progress.step("the program itself, its output follows")
    progress.clear()
    m.status = runner.show(own, before, extra)
    m.counts = collector.counts()

    for number, allocator in interleaved(everybody, options.runs):
        progress.step(f"run {number} of {options.runs} under {allocator.name}")
        m.runs.setdefault(allocator.name, []).append(runner.timed(allocator))

    hardware = False
    if tools["perf"]:
        m.probe = collector.supported_events()
        hardware = m.probe.get("cycles") == "counted" and m.probe.get("instructions") == "counted"
        progress.steps = steps(options, tools, len(everybody), hardware)
        for allocator in everybody if hardware else []:
            progress.step(f"perf stat under {allocator.name}")
            events = [name for name, status in m.probe.items() if status != "not supported"]
            m.stats[allocator.name] = collector.perf_stat(allocator, events)
        for allocator in everybody:
            progress.step(f"perf record under {allocator.name}")
            if m.probe:
                m.time_tables[allocator.name] = collector.perf_record(
                    allocator, "cycles" if hardware else "cpu-clock", _frequency(m, allocator)
                )
        for event, name in (("cache-misses", "miss_table"), ("branch-misses", "misprediction_table")):
            if m.probe.get(event) == "counted":
                progress.step(f"perf record -e {event} under {own.name}")
                setattr(m, name, collector.perf_record(own, event))
        if not m.probe:
            m.notes.append(
                "perf may not count anything here: kernel.perf_event_paranoid is "
                f"{m.machine['perf_event_paranoid']}, 2 or less is needed."
            )
    else:
        m.notes.append(f"perf is not there: no hardware counters. It is in the package {machine.PACKAGES['perf']}.")
    if tools["strace"]:
        for allocator in everybody:
            progress.step(f"system calls under {allocator.name}")
            m.system_calls[allocator.name] = collector.system_calls(allocator)
    else:
        m.notes.append(f"System calls were not counted: the package {machine.PACKAGES['strace']} is not installed.")
    if options.simulate == "never" or (options.simulate == "auto" and hardware):
        return
    if not tools["valgrind"]:
        m.notes.append(
            "No hardware counters and no valgrind: neither instructions nor misses are known. The package "
            f"{machine.PACKAGES['valgrind']} would simulate them."
        )
        return
    for allocator in everybody:
        progress.step(f"callgrind under {allocator.name} (slow)")
        m.simulations[allocator.name] = collector.simulate(allocator, options.limit)


def _frequency(m, allocator):
    """Samples per second that give some 3000 samples of a run, within what perf allows."""
    processor_time = median([r.user + r.sys for r in m.runs[allocator.name]])
    return int(min(9973, max(199, 3000 / max(processor_time, 0.01))))


def _evidence(options, m, own, everybody, where):
    """The evidence for the first allocator; the others are its peers."""
    e = evidence.Evidence(allocator=own.name, processors=os.cpu_count())
    runs = m.runs.get(own.name, [])
    if runs:
        e.wall, e.user, e.sys = (median([getattr(r, name) for r in runs]) for name in ("wall", "user", "sys"))
        e.runs = len(runs)
        # The spread of the processor time: the elapsed time varies with what else the machine does.
        e.spread = spread([r.user + r.sys for r in runs])
        e.page_faults = median([r.minor_faults for r in runs])
        e.voluntary_switches = median([r.voluntary_switches for r in runs])
    if m.counts:
        e.operations = m.counts["allocations"] + m.counts["frees"] + m.counts["reallocs"] or None
        e.operations_source = "allocating and freeing calls, counted by libhakmem-count"
    if options.ops:
        e.operations, e.operations_source = options.ops, "given by --ops"
    stat = m.stats.get(own.name)
    if stat:
        evidence.add_perf_stat(e, stat)
    costs, complete = m.simulations.get(own.name, (None, True))
    clock = options.clock * 1e9 if options.clock else where["clock"]
    if costs and complete:
        evidence.add_simulation(e, costs)
        evidence.estimate_cycles(e, clock)
    calls = m.system_calls.get(own.name)
    if calls:
        e.system_calls = calls["total"]
        e.memory_calls = sum(calls["calls"].get(name, 0) for name in collect.strace.MEMORY)
        e.futex_calls = calls["calls"].get("futex", 0)
    for other in everybody[1:]:
        e.peers.append(
            {
                "name": other.name,
                "wall": median([r.wall for r in m.runs.get(other.name, [])]),
                "instructions": _instructions(m, other.name),
                "operations": e.operations,
            }
        )
    return e


def _instructions(m, name):
    stat = m.stats.get(name)
    if stat and stat.value("instructions"):
        return stat.value("instructions")
    costs, complete = m.simulations.get(name, (None, True))
    return costs.get("Ir") if costs and complete else None


def _columns(m, name):
    """[(key, label, rows, simulated, samples)] for one allocator."""
    columns = []
    table = m.time_tables.get(name)
    if table:
        columns.append(("time", f"time ({table.event})", functions.prepare(table.rows), False, table.samples))
    return columns


def assemble(options, paths, m, everybody, program, where, tools, linked):
    """(evidence, parts of the document) from what has been measured so far."""
    own = everybody[0]
    e = _evidence(options, m, own, everybody, where)
    columns = _columns(m, own.name)
    for key, label, table in (
        ("misses", "cache-misses", m.miss_table),
        ("mispredictions", "branch-misses", m.misprediction_table),
    ):
        if table and columns:
            columns.append((key, label, functions.prepare(table.rows), False, table.samples))
    costs, complete = m.simulations.get(own.name, (None, True))
    if costs:
        columns += [
            (*c, None)
            for c in document.simulated_columns(costs, bool(columns))
            if c[0] not in [known[0] for known in columns]
        ]
    table = None
    if columns:
        table = document.function_table([c[:4] for c in columns])
        joined = functions.join(columns[0][2], next((c[2] for c in columns if c[0] == "misses"), []))
        evidence.add_functions(e, functions.shares(columns[0][2]), columns[0][4], joined)
        evidence.add_places(e, {c[0]: (c[2], functions.shares(c[2])) for c in columns[1:]})
        if columns[0][3]:
            e.estimated_from, e.estimated_whole = _simulation(complete, options), complete
            # A simulation knows neither the kernel nor waiting.
            e.kernel_share = e.page_work_share = e.lock_share = None
        elif columns[0][4] is not None and columns[0][4] < 1000:
            m.notes.append(
                f"{columns[0][4]} samples of the time: shares below {1000 / columns[0][4]:.1f} % rest on fewer "
                "than ten."
            )
    rows = []
    for allocator in everybody:
        runs = m.runs.get(allocator.name)
        if not runs:
            continue
        row = document.comparison_row(allocator, runs, m.runs.get(own.name, runs))
        calls = m.system_calls.get(allocator.name)
        if calls:
            row["system_calls"] = calls["total"]
            row["memory_calls"] = sum(calls["calls"].get(name, 0) for name in collect.strace.MEMORY)
        row["instructions"] = _instructions(m, allocator.name)
        sampled = _columns(m, allocator.name)
        if sampled:
            row["allocator_share"] = functions.shares(sampled[0][2])["allocator"]
        elif m.simulations.get(allocator.name, (None,))[0]:
            simulated = m.simulations[allocator.name][0]
            prepared = functions.prepare(functions.from_costs(simulated, document.estimated_cycles(simulated)))
            row["allocator_share"] = functions.shares(prepared)["allocator"]
            row["allocator_share_simulated"] = True
        rows.append(row)
    entries = document.counters(e, m.stats.get(own.name), m.probe)
    quality = document.counter_notes(entries, m.probe) + document.status_notes(rows) + m.notes
    quality += _simulation_notes(m, own, e, options, where)
    if not paths["measure"]:
        quality.append(
            "The helper `measure` is not installed: peak memory below that of the Python interpreter reads as the "
            "interpreter's."
        )
    if linked:
        quality.append(f"The program ran with the allocator that it was linked with: {linked}.")
    if where["load"] > 0.5 * (where["processors"] or 1):
        quality.append(f"The machine was busy when this began (load {where['load']}).")
    parts = {
        "program": program,
        "command": shlex.join(
            ["hakmem", "profile"]
            + (["--against", options.against] if options.against else [])
            + ["--runs", str(options.runs), "--"]
            + program
        ),
        "comparison": rows,
        "noise": document.noise_notes(rows),
        "counters": entries,
        "rates": document.rates(e),
        "functions": table,
        "sizes": document.sizes(m.counts),
        "system_calls": {n: c for n, c in m.system_calls.items() if c},
        "machine": where,
        "tools": tools,
        "quality": quality,
    }
    return e, parts


def _simulation(complete, options):
    """What the report calls the simulation."""
    if complete:
        return "a simulation"
    return f"a simulation of the program's beginning, which was ended after {options.limit} s"


def _simulation_notes(m, own, e, options, where):
    notes = []
    clock_kind = "given" if options.clock else "measured" if where["clock_measured"] else "nominal"
    if own.name in m.simulations:
        notes.append(
            'Instructions, branches and misses marked "simulated" come from callgrind: its branch predictor is '
            "simpler and its caches are smaller than this processor's (32 KiB L1, 8 MiB last level, no prefetch, "
            "no TLB), and it sees no kernel. Times come from real runs."
        )
        if "cycles" in e.simulated:
            notes.append(
                f"Cycles are the user time of real runs times the {clock_kind} clock "
                f"({e.cycles / e.user / 1e9:.2f} GHz)."
            )
    cut = [name for name, (_, whole) in m.simulations.items() if not whole]
    if cut:
        notes.append(
            f"callgrind was ended after {options.limit} s under {', '.join(cut)}: its tables show the first part "
            "of the run, and its totals are not used."
        )
    return notes
