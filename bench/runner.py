# SPDX-License-Identifier: MIT
"""Runs workloads under allocators, round after round, and keeps what they report."""

import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

import allocators

CONTROL = "(control)"


class Failed(Exception):
    """A run that did not end well; the text says how."""


def describe_status(status):
    """An exit status, of a shell or a launcher also one that stands for a signal."""
    number = -status if status < 0 else status - 128
    with contextlib.suppress(ValueError):
        return f"status {status} ({signal.Signals(number).name})"
    return f"status {status}"


def parse_metrics(text):
    """The lines "metric NAME VALUE UNIT lower|higher" as {NAME: value}."""
    metrics = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 5 and words[0] == "metric":
            metrics[words[1]] = float(words[2])
    return metrics


class Context:
    """What a workload needs to run: paths, time limit, scratch folder, and whether to wait for the idle RSS."""

    def __init__(self, build, timeout):
        self.measure = os.path.join(build, "bench", "measure")
        self.timeout = timeout
        self.idle = 0
        self.scratch = tempfile.mkdtemp(prefix="hakmem-bench-")

    def close(self):
        shutil.rmtree(self.scratch, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.scratch, *names)

    def environment(self, extra=None):
        environment = allocators.clean_environment()
        if self.idle:
            environment["BENCH_IDLE"] = str(self.idle)
        environment.update(extra or {})
        return environment

    def call(self, command, environment, directory=None):
        """Runs a command to its end and returns its standard output; the whole process group dies on a timeout."""
        process = subprocess.Popen(command, env=environment, cwd=directory or self.scratch, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   errors="replace", start_new_session=True)
        try:
            output, errors = process.communicate(timeout=self.timeout)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):  # it may just have ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"not finished after {self.timeout} s") from error
            raise
        if process.returncode != 0:
            said = errors.strip().splitlines()
            raise Failed(describe_status(process.returncode) + (f": {said[-1]}" if said else ""))
        return output

    def run_program(self, command, allocator, environment=None, directory=None):
        """A program under an allocator: what it reports itself goes before what the launcher measured."""
        results = self.path("measured")
        output = self.call([self.measure, results, allocator.path, *command], self.environment(environment),
                           directory)
        with open(results, encoding="ascii") as lines:
            metrics = parse_metrics(lines.read())
        metrics.update(parse_metrics(output))
        return metrics


class Results:
    """values[workload][allocator][metric] is a list, one value for each round; failures name what went wrong."""

    def __init__(self, names):
        self.names = names
        self.values = {}
        self.failures = {}

    def add(self, workload, allocator, metrics):
        cell = self.values.setdefault(workload, {}).setdefault(allocator, {})
        for metric, value in metrics.items():
            cell.setdefault(metric, []).append(value)

    def keep(self, rounds):
        """Forgets what is of a later round than the first so many."""
        for cells in self.values.values():
            for cell in cells.values():
                for values in cell.values():
                    del values[rounds:]

    def fail(self, workload, allocator, reason):
        self.failures.setdefault(workload, {})[allocator] = reason

    def get(self, workload, allocator, metric):
        if allocator in self.failures.get(workload, {}):
            return []
        return self.values.get(workload, {}).get(allocator, {}).get(metric, [])

    def median(self, workload, allocator, metric):
        values = self.get(workload, allocator, metric)
        return statistics.median(values) if values else None

    def spread(self, workload, allocator, metric):
        """How far apart the middle half of the rounds lies, over the median (all of them if there are under 4)."""
        values = sorted(self.get(workload, allocator, metric))
        if len(values) < 2 or statistics.median(values) == 0:
            return None
        if len(values) < 4:
            low, high = values[0], values[-1]
        else:
            low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return (high - low) / statistics.median(values)


def say(text):
    print(text, file=sys.stderr, flush=True)


def run_one(context, workload, allocator, results):
    try:
        metrics = workload.run(context, allocator)
    except Failed as error:
        results.fail(workload.name, allocator.name, str(error))
        say(f"{workload.name} failed under {allocator.name}: {error}")
        return None
    results.add(workload.name, allocator.name, metrics)
    return metrics


def run_rounds(context, chosen, contestants, rounds, idle, verbose):
    """All rounds: each runs every workload under every allocator, in an order that is drawn anew each time.

    The first allocator runs a second time in each round under the name CONTROL: how far its two medians differ is how
    far two medians of different allocators may differ without meaning anything.  Returns the results, and how many
    rounds were completed before the caller lost patience.
    """
    results = Results([allocator.name for allocator in contestants])
    everybody = contestants + [allocators.Allocator(CONTROL, contestants[0].path)]
    order = random.Random(rounds)
    try:
        for number in range(rounds):
            for workload in chosen:
                progress = []
                for allocator in order.sample(everybody, len(everybody)):
                    if allocator.name in results.failures.get(workload.name, {}):
                        continue
                    context.idle = idle if number == 0 and allocator.name != CONTROL else 0
                    metrics = run_one(context, workload, allocator, results)
                    if metrics:
                        progress.append(f"{allocator.name} {metrics.get(workload.clock, 0):.3g}")
                if verbose:
                    say(f"round {number + 1}/{rounds}  {workload.name}: {', '.join(progress)}")
    except KeyboardInterrupt:
        results.keep(number)
        return results, number
    return results, rounds
