# SPDX-License-Identifier: MIT
"""The command line of hakmem profile, and the order of its work."""

import argparse
import json
import os
import re
import shlex
import signal
import sys

from . import allocators, collect, document, evidence, functions, machine, markdown, replay, webpage
from .errors import InputError, UsageError
from .figures import median, percent, spread
from .progress import Progress
from .runner import Guard, Interrupted, Runner, interleaved

DESCRIPTION = """Runs PROGRAM under libhakmem, measures what bounds it, and writes a report as Markdown, JSON and HTML."""
EPILOG = """The first run passes the program's output and exit status through and counts its allocations; the runs that are
timed, and those under perf, strace and callgrind, are silent.  Manual: hakmem-profile(1)."""


def parser(version):
    p = argparse.ArgumentParser(prog="hakmem profile", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False,
                                usage="hakmem profile [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
                                      "       hakmem profile --replay FILE [--report FILE]... [--out DIR]")
    p.add_argument("--against", metavar="LIST", default="",
                   help="compare with these allocators: libc, all, jemalloc, mimalloc, tcmalloc, PATH.so or NAME=PATH.so, "
                        "separated by commas")
    p.add_argument("--runs", metavar="N", type=int, default=5, help="timed runs of each allocator (default 5)")
    p.add_argument("--out", metavar="DIR", help="where the report goes (default hakmem-profile-PROGRAM)")
    p.add_argument("--ops", metavar="N", type=_number, help="operations that the program does, for figures per operation "
                                                            "(default: its allocating and freeing calls, counted)")
    p.add_argument("--simulate", choices=("auto", "always", "never"), default="auto",
                   help="whether to run callgrind: auto is where there are no hardware counters")
    p.add_argument("--limit", metavar="SECONDS", type=int, default=120,
                   help="end each simulated run after this time, and use what it has seen (default 120)")
    p.add_argument("--replay", metavar="FILE", help="judge this output of perf stat (or a callgrind file) from elsewhere")
    p.add_argument("--report", metavar="FILE", action="append", default=[], help="with --replay: output of perf report "
                                                                                 "--stdio --no-children")
    p.add_argument("--clock", metavar="GHZ", type=float, help="the processor's clock, for simulated figures")
    p.add_argument("--version", action="version", version=f"hakmem profile {version}")
    return p


def _number(text):
    value = float(text.replace(",", "").replace("_", ""))
    if value <= 0:
        raise ValueError
    return int(value)


def split(arguments, option_parser):
    """(options, program): the program begins after "--" or at the first argument that is no option."""
    takes_value = {s for action in option_parser._actions if action.nargs != 0 for s in action.option_strings}
    number = 0
    while number < len(arguments):
        argument = arguments[number]
        if argument == "--":
            return arguments[:number], arguments[number + 1:]
        if not argument.startswith("-"):
            return arguments[:number], arguments[number:]
        number += 2 if argument in takes_value else 1
    return arguments, []


def main(arguments, paths):
    """`paths`: dict with version, soname, libdir, measure and count (files that may be missing).  Returns the status."""
    option_parser = parser(paths["version"])
    own, program = split(arguments, option_parser)
    options = option_parser.parse_args(own)
    try:
        if options.replay or options.report:
            return _replay(options, program, paths)
        if not program:
            option_parser.error("no program is given")
        if options.runs < 1:
            option_parser.error("--runs must be 1 or more")
        return _profile(options, program, paths)
    except (UsageError, InputError) as error:
        print(f"hakmem profile: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


# ---- writing -----------------------------------------------------------------------------------------------------

def write(folder, doc):
    """All three forms, each complete or not at all."""
    texts = {
        "report.json": json.dumps(doc, indent=1, ensure_ascii=False) + "\n",
        "report.md": markdown.render(doc),
        "report.html": webpage.render(doc),
    }
    try:
        os.makedirs(folder, exist_ok=True)
        for name, text in texts.items():
            path = os.path.join(folder, name)
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(path + ".new", path)
    except OSError as error:
        raise UsageError(f"cannot write the report to {folder}: {error.strerror}") from None


def _document(options, paths, e, parts, title, source, partial=False):
    operations = None
    if e.operations:
        operations = {"count": e.operations, "source": e.operations_source}
    return {"format": document.FORMAT, "version": paths["version"], "title": title, "source": source, "partial": partial,
            "operations": operations, "simulated": sorted(e.simulated), **document.judged(e), **parts}


def _safe(name):
    return re.sub("[^A-Za-z0-9._+-]", "_", name) or "program"


# ---- replay ------------------------------------------------------------------------------------------------------

def _replay(options, program, paths):
    if program:
        raise UsageError("--replay judges files; it does not run a program")
    if not options.replay:
        raise UsageError("--report needs --replay")
    clock = options.clock * 1e9 if options.clock else None
    e, parts = replay.replay(options.replay, options.report, options.ops, clock)
    title = parts["command"] or os.path.basename(options.replay)
    doc = _document(options, paths, e, parts, title, "replay")
    folder = options.out or f"hakmem-profile-{_safe(os.path.basename(options.replay))}"
    write(folder, doc)
    print(f"{document.summary_line(doc)}\n{os.path.join(folder, 'report.html')}")
    return 0


# ---- measuring ---------------------------------------------------------------------------------------------------

class Measurement:
    """Everything that was collected so far: enough for a report at any moment."""

    def __init__(self):
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


def _profile(options, program, paths):
    others = allocators.find(options.against)
    static = allocators.is_static(_which(program[0]))
    if static:
        if others:
            raise UsageError(f"{program[0]} is linked statically: no other allocator can be put under it")
        own = allocators.Allocator("as linked", [])
    else:
        own = allocators.own(paths["soname"], paths["libdir"])
        if own is None:
            raise UsageError(f"the dynamic loader does not find {paths['soname']}; HAKMEM_LIBRARY may name it")
    everybody = [own] + [a for a in others if a.preload != own.preload]
    folder = options.out or f"hakmem-profile-{_safe(os.path.basename(program[0]))}"
    raw = os.path.join(folder, "raw")
    try:
        os.makedirs(raw, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {raw}: {error.strerror}") from None

    where, tools = machine.describe(), machine.tools()
    guard = Guard()
    guard.install()
    m = Measurement()
    runner = Runner(program, guard, paths["measure"])
    collector = collect.Collector(runner, os.path.abspath(raw), m.notes)
    progress = Progress(1 + options.runs * len(everybody) + 3 * len(everybody) + 2)
    partial = False
    try:
        _measure(options, m, runner, collector, progress, own, everybody, tools, paths, static)
    except Interrupted:
        partial = True
    progress.clear()
    doc = _assemble(options, paths, m, own, everybody, program, where, tools, static, partial)
    write(folder, doc)
    progress.say(document.summary_line(doc))
    progress.say(("interrupted; what there is: " if partial else "report: ") + os.path.join(folder, "report.html"))
    return 128 + guard.signal if partial else m.status


def _which(name):
    if "/" in name:
        return name
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder or ".", name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return name


def _measure(options, m, runner, collector, progress, own, everybody, tools, paths, static):
    """Most telling first, so that an interruption costs least."""
    before, extra = [], {}
    if paths["count"] and not static:
        before, extra = [paths["count"]], {"HAKMEM_COUNT_OUT": collector.counting_files()}
        if os.path.exists(collector.counting_files()):
            os.unlink(collector.counting_files())
    else:
        m.notes.append("Allocations were not counted: " + ("the program is linked statically." if static else
                                                           "libhakmem-count.so is not installed."))
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
        for allocator in everybody if hardware else []:
            progress.step(f"perf stat under {allocator.name}")
            events = [name for name, status in m.probe.items() if status != "not supported"]
            m.stats[allocator.name] = collector.perf_stat(allocator, events)
        for allocator in everybody:
            progress.step(f"perf record under {allocator.name}")
            if m.probe:
                m.time_tables[allocator.name] = collector.perf_record(allocator, "cycles" if hardware else "cpu-clock")
        for event, name in (("cache-misses", "miss_table"), ("branch-misses", "misprediction_table")):
            if m.probe.get(event) == "counted":
                progress.step(f"perf record -e {event} under {own.name}")
                setattr(m, name, collector.perf_record(own, event))
        if not m.probe:
            m.notes.append("perf may not count anything here: kernel.perf_event_paranoid is "
                           f"{machine.describe()['perf_event_paranoid']}, 2 or less is needed.")
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
        m.notes.append("No hardware counters and no valgrind: neither instructions nor misses are known. The package "
                       f"{machine.PACKAGES['valgrind']} would simulate them.")
        return
    for allocator in everybody:
        progress.step(f"callgrind under {allocator.name} (slow)")
        m.simulations[allocator.name] = collector.simulate(allocator, options.limit)


def _evidence(options, m, own, everybody, where):
    """The evidence for the first allocator, with the others as peers."""
    e = evidence.Evidence(allocator=own.name, processors=os.cpu_count())
    runs = m.runs.get(own.name, [])
    if runs:
        e.wall, e.user, e.sys = (median([getattr(r, name) for r in runs]) for name in ("wall", "user", "sys"))
        e.runs, e.spread = len(runs), spread([r.wall for r in runs])
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
        e.peers.append({"name": other.name, "wall": median([r.wall for r in m.runs.get(other.name, [])]),
                        "instructions": _instructions(m, other.name), "operations": e.operations})
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


def _assemble(options, paths, m, own, everybody, program, where, tools, static, partial):
    e = _evidence(options, m, own, everybody, where)
    columns = _columns(m, own.name)
    for key, label, table in (("misses", "cache-misses", m.miss_table),
                              ("mispredictions", "branch-misses", m.misprediction_table)):
        if table and columns:
            columns.append((key, label, functions.prepare(table.rows), False, table.samples))
    costs, complete = m.simulations.get(own.name, (None, True))
    if costs:
        columns += [(*c, None) for c in document.simulated_columns(costs, bool(columns))
                    if c[0] not in [known[0] for known in columns]]
    table = None
    if columns:
        table = document.function_table([c[:4] for c in columns])
        joined = functions.join(columns[0][2], next((c[2] for c in columns if c[0] == "misses"), []))
        evidence.add_functions(e, functions.shares(columns[0][2]), columns[0][4], joined)
        if columns[0][3]:
            # A simulation sees no kernel and no waiting.
            e.kernel_share = e.page_work_share = e.lock_share = None
        elif columns[0][4] is not None and columns[0][4] < 1000:
            m.notes.append(f"{columns[0][4]} samples of the time: shares below {1000 / columns[0][4]:.1f} % rest on fewer than ten.")
    own_wall = e.wall
    rows = []
    for allocator in everybody:
        runs = m.runs.get(allocator.name)
        if not runs:
            continue
        row = document.comparison_row(allocator, runs, own_wall)
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
        rows.append(row)
    entries = document.counters(e, m.stats.get(own.name), m.probe)
    quality = document.counter_notes(entries) + document.noise_notes(rows) + m.notes
    quality += _simulation_notes(m, own, e, complete, options)
    if not paths["measure"]:
        quality.append("hakmem-measure is not installed: peak memory below that of the Python interpreter reads as the "
                       "interpreter's.")
    if static:
        quality.append("The program is linked statically and ran with the allocator that it was linked with.")
    if where["load"] > 0.5 * (where["processors"] or 1):
        quality.append(f"The machine was busy when this began (load {where['load']}).")
    m.status = m.status if m.status is not None else 0
    parts = {
        "program": program, "command": shlex.join(["hakmem", "profile"] + (["--against", options.against] if
                                                  options.against else []) + ["--runs", str(options.runs), "--"] + program),
        "comparison": rows, "counters": entries, "rates": document.rates(e), "functions": table,
        "sizes": document.sizes(m.counts), "system_calls": {n: c for n, c in m.system_calls.items() if c},
        "machine": where, "tools": tools, "quality": quality,
    }
    return _document(options, paths, e, parts, shlex.join([os.path.basename(program[0])] + program[1:]), "measured", partial)


def _simulation_notes(m, own, e, complete, options):
    notes = []
    if own.name in m.simulations:
        notes.append("Instructions, branches and misses marked \"simulated\" come from callgrind: its branch predictor is "
                     "simpler and its caches are smaller than this processor's (32 KiB L1, 8 MiB last level, no prefetch, "
                     "no TLB), and it sees no kernel. Times come from real runs.")
        if "cycles" in e.simulated:
            notes.append(f"Cycles are the user time of real runs times the nominal clock ({e.cycles / e.user / 1e9:.2f} GHz); a "
                         "processor that runs faster than that has more of them.")
    cut = [name for name, (_, whole) in m.simulations.items() if not whole]
    if cut:
        notes.append(f"callgrind was ended after {options.limit} s under {', '.join(cut)}: its tables show the first part of the "
                     "run, and its totals are not used.")
    if e.spread is not None and e.spread > 0.10:
        notes.append(f"The machine was too noisy to tell small differences (±{percent(e.spread)}).")
    return notes


