# SPDX-License-Identifier: MIT
"""The command line of hakmem profile, and the order of its work."""

import argparse
import contextlib
import errno
import json
import os
import re
import shlex
import shutil
import sys
import tempfile

from . import allocators, collect, document, machine, markdown, replay, session, webpage
from .errors import CannotRun, InputError, UsageError
from .progress import Progress
from .runner import Guard, Interrupted, Runner

DESCRIPTION = (
    """Runs PROGRAM under libhakmem, measures what bounds it, and writes a report as Markdown, JSON and HTML."""
)
EPILOG = """The first run passes the program's output and exit status through and counts its allocations; the runs that
are timed, and those under perf, strace and callgrind, are silent.  Manual: hakmem-profile(1)."""


def parser(version):
    p = argparse.ArgumentParser(
        prog="hakmem profile",
        description=DESCRIPTION,
        epilog=EPILOG,
        allow_abbrev=False,
        usage="hakmem profile [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
        "       hakmem profile --replay FILE [--report FILE]... [--out DIR]",
    )
    p.add_argument(
        "--against",
        metavar="LIST",
        default="",
        help="compare with these allocators: libc, all, jemalloc, mimalloc, tcmalloc, PATH.so or NAME=PATH.so, "
        "separated by commas",
    )
    p.add_argument("--runs", metavar="N", type=int, default=5, help="timed runs of each allocator (default 5)")
    p.add_argument("--out", metavar="DIR", help="where the report goes (default hakmem-profile-PROGRAM)")
    p.add_argument(
        "--ops",
        metavar="N",
        type=_number,
        help="operations that the program does, for figures per operation "
        "(default: its allocating and freeing calls, counted)",
    )
    p.add_argument(
        "--simulate",
        choices=("auto", "always", "never"),
        default="auto",
        help="whether to run callgrind: auto is where there are no hardware counters",
    )
    p.add_argument(
        "--limit",
        metavar="SECONDS",
        type=int,
        default=120,
        help="end each simulated run after this time, and use what it has seen (default 120)",
    )
    p.add_argument(
        "--replay", metavar="FILE", help="judge this output of perf stat (or a callgrind file) from elsewhere"
    )
    p.add_argument(
        "--report",
        metavar="FILE",
        action="append",
        default=[],
        help="with --replay: output of perf report --stdio --no-children",
    )
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
            return arguments[:number], arguments[number + 1 :]
        if not argument.startswith("-"):
            return arguments[:number], arguments[number:]
        number += 2 if argument in takes_value else 1
    return arguments, []


def main(arguments, paths):
    """`paths`: version, soname, libdir, and the files measure and count (None if missing).  Returns the status."""
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
        return error.status if isinstance(error, UsageError) else 1


# ---- writing -----------------------------------------------------------------------------------------------------


def write(folder, doc):
    """Writes the report in its three forms, all or none of them.

    An earlier report becomes report.old.*; returns whether there was one.  If the folder has no room, the report goes
    to the folder for temporary files or to standard error, and the error says where it is.
    """
    texts = {
        "report.json": json.dumps(doc, indent=1, ensure_ascii=False) + "\n",
        "report.md": markdown.render(doc),
        "report.html": webpage.render(doc),
    }
    try:
        return _write_all(folder, texts)
    except OSError as error:
        why = f"cannot write the report to {folder}: {error.strerror}"
    elsewhere = None
    try:
        elsewhere = tempfile.mkdtemp(prefix="hakmem-profile-")
        _write_all(elsewhere, texts)
    except OSError:
        if elsewhere:
            shutil.rmtree(elsewhere, ignore_errors=True)
        sys.stderr.write(texts["report.md"])
        raise UsageError(f"{why}; it is above, as Markdown") from None
    raise UsageError(f"{why}; it is in {elsewhere}")


def _write_all(folder, texts):
    os.makedirs(folder, exist_ok=True)
    paths = {name: os.path.join(folder, name) for name in texts}
    try:
        for name, text in texts.items():
            with open(paths[name] + ".new", "w", encoding="utf-8") as file:
                file.write(text)
    except OSError:
        for path in paths.values():
            with contextlib.suppress(OSError):
                os.unlink(path + ".new")
        raise
    earlier = False
    for path in paths.values():
        if os.path.exists(path):
            earlier = True
            os.replace(path, ".old".join(os.path.splitext(path)))
        os.replace(path + ".new", path)
    return earlier


def _say_earlier(earlier, folder, say):
    if earlier:
        say(f"the earlier report in {folder} is report.old.* now")


def _document(options, paths, e, parts, title, source, partial=False):
    operations = None
    if e.operations:
        operations = {"count": e.operations, "source": e.operations_source}
    return {
        "format": document.FORMAT,
        "version": paths["version"],
        "title": title,
        "source": source,
        "partial": partial,
        "operations": operations,
        "simulated": sorted(e.simulated),
        **document.judged(e),
        **parts,
    }


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
    print(document.summary_line(doc), flush=True)
    earlier = write(folder, doc)
    print(os.path.join(folder, "report.html"))
    _say_earlier(earlier, folder, lambda text: print(f"hakmem profile: {text}", file=sys.stderr))
    return 0


# ---- measuring ---------------------------------------------------------------------------------------------------


def _profile(options, program, paths):
    others = allocators.find(options.against)
    linked = allocators.why_not_preloaded(_executable(program[0]))
    if linked:
        if others:
            raise UsageError(f"no other allocator can be put under {program[0]}: {linked}")
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

    where, tools = machine.describe(paths["measure"]), machine.tools()
    guard = Guard()
    m = session.Measurement(where)
    # This reads standard input.  There is nothing to report yet, so that a signal ends the process.
    runner = Runner(program, guard, paths["measure"])
    guard.install()
    collector = collect.Collector(runner, os.path.abspath(raw), m.notes)
    progress = Progress(session.steps(options, tools, len(everybody)))
    if linked:
        progress.say(f"{program[0]} keeps its own malloc and is measured as it is: {linked}")
    partial = False
    try:
        session.measure(options, m, runner, collector, progress, own, everybody, tools, paths, linked)
    except Interrupted:
        partial = True
    progress.clear()
    e, parts = session.assemble(options, paths, m, everybody, program, where, tools, linked)
    title = shlex.join([os.path.basename(program[0])] + program[1:])
    doc = _document(options, paths, e, parts, title, "measured", partial)
    # The terminal comes first: a full disk cannot lose what stands there.
    progress.say(document.summary_line(doc))
    for note in doc["noise"] if len(everybody) > 1 else []:
        progress.say(note)
    _say_earlier(write(folder, doc), folder, progress.say)
    progress.say(("interrupted; what there is: " if partial else "report: ") + os.path.join(folder, "report.html"))
    return 128 + guard.signal if partial else m.status


def _executable(name):
    """The file that a shell would run by this name; CannotRun if there is none."""
    folders = (
        [""] if "/" in name else [folder or "." for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    )
    failure = FileNotFoundError()
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isdir(path) and "/" in name:
            failure = IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        elif os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path
            failure = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    raise CannotRun(name, failure)
