# SPDX-License-Identifier: MIT
"""Runs of the program under perf, strace and callgrind: a method for each kind of run."""

import functools
import os
import subprocess
import tempfile

from . import callgrind, counting, perfreport, perfstat, strace
from .errors import InputError

EVENTS = (
    "cycles",
    "instructions",
    "branches",
    "branch-misses",
    "cache-references",
    "cache-misses",
    "L1-dcache-loads",
    "L1-dcache-load-misses",
    "L1-icache-load-misses",
    "LLC-loads",
    "LLC-load-misses",
    "dTLB-loads",
    "dTLB-load-misses",
    "iTLB-loads",
    "iTLB-load-misses",
    "page-faults",
    "context-switches",
    "cpu-migrations",
    "task-clock",
)

# One cache model for all machines, so that simulated figures can be compared: a common desktop processor's.
CACHE_MODEL = ("--I1=32768,8,64", "--D1=32768,8,64", "--LL=8388608,16,64")


def _or_without(otherwise=None):
    """Decorates a method: if its files cannot be written, its figures are `otherwise`, and the report has a note."""

    def guarded(method):
        @functools.wraps(method)
        def run(self, *arguments):
            try:
                return method(self, *arguments)
            except OSError as error:
                self.notes.append(f"No figures of {method.__name__.replace('_', ' ')}: {error}.")
                return otherwise

        return run

    return guarded


class Collector:
    """Runs the program under tools; what could not be measured is told in `notes`."""

    def __init__(self, runner, folder, notes):
        self.runner = runner
        self.folder = folder
        self.notes = notes

    def _run(self, command, environment, timeout=None):
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=self.runner.input.rewound(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        status = self.runner.guard.wait(child, timeout)
        self.runner.guard.check()
        return status

    def _file(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def _read(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _parsed(self, parser, path, what):
        """A tool's output, parsed; None and a note if that fails."""
        try:
            return parser(self._read(path), os.path.basename(path))
        except (OSError, InputError) as error:
            self.notes.append(f"{what} gave nothing that could be read: {error}")
            return None

    def counting_files(self):
        return self._file("counts")

    def counts(self):
        path = self.counting_files()
        return self._parsed(counting.parse, path, "The counting library") if os.path.exists(path) else None

    @_or_without({})
    def supported_events(self):
        """{event: status} of perf stat on a program that does nothing; {} if perf may not even do that."""
        path = self._file("probe")
        self._run(["perf", "stat", "-o", path, "-e", ",".join(EVENTS), "--", "true"], dict(os.environ), 60)
        try:
            stat = perfstat.parse(self._read(path), "perf stat")
        except (OSError, InputError):
            return {}
        return {name: entry["status"] for name, entry in stat.events.items()}

    @_or_without()
    def perf_stat(self, allocator, events):
        path = self._file(f"perf-stat-{allocator.name}.txt")
        self._run(
            ["perf", "stat", "-o", path, "-e", ",".join(events), "--", *self.runner.program], allocator.environment()
        )
        return self._parsed(perfstat.parse, path, f"perf stat under {allocator.name}")

    @_or_without()
    def perf_record(self, allocator, event, frequency=999):
        """The table of functions by one event, or None."""
        data = self._file(f"perf-{event}-{allocator.name}.data")
        path = self._file(f"perf-report-{event}-{allocator.name}.txt")
        status = self._run(
            ["perf", "record", "-q", "-N", "-F", str(frequency), "-e", event, "-o", data, "--", *self.runner.program],
            allocator.environment(),
        )
        if not os.path.exists(data) or status is None:
            self.notes.append(f"perf record -e {event} under {allocator.name} gave no data.")
            return None
        with open(path, "wb") as out:
            subprocess.run(
                ["perf", "report", "-i", data, "--stdio", "--no-children", "--sort", "dso,symbol"],
                stdout=out,
                stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        tables = self._parsed(perfreport.parse, path, f"perf report of {event} under {allocator.name}")
        os.unlink(data)
        return tables[0] if tables else None

    @_or_without()
    def system_calls(self, allocator):
        path = self._file(f"strace-{allocator.name}.txt")
        # strace itself must not run under the allocator, whose calls would be counted, too.
        value = allocator.preload_value()
        preload = ["-E", f"LD_PRELOAD={value}" if value else "LD_PRELOAD"]
        environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        self._run(["strace", "-c", "-f", "-q", *preload, "-o", path, "--", *self.runner.program], environment)
        return self._parsed(strace.parse, path, f"strace under {allocator.name}")

    @_or_without((None, True))
    def simulate(self, allocator, limit):
        """(costs, complete): callgrind's figures; of the first part of the run if it took longer than `limit`."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            pattern = os.path.join(folder, "callgrind.%p")
            status = self._run(
                [
                    "valgrind",
                    "--tool=callgrind",
                    "-q",
                    "--trace-children=yes",
                    "--cache-sim=yes",
                    "--branch-sim=yes",
                    *CACHE_MODEL,
                    f"--callgrind-out-file={pattern}",
                    f"--log-file={os.path.join(folder, 'log.%p')}",
                    *self.runner.program,
                ],
                allocator.environment(),
                limit,
            )
            total = None
            for name in sorted(os.listdir(folder)):
                if not name.startswith("callgrind."):
                    continue
                costs = self._parsed(callgrind.parse, os.path.join(folder, name), f"callgrind under {allocator.name}")
                if costs and total is None:
                    total = costs
                elif costs:
                    total.add(costs)
        if total is None:
            self.notes.append(f"callgrind under {allocator.name} gave no figures.")
        return total, status is not None
