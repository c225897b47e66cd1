#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares libhakmem with every other allocator found, on many workloads; see README in this folder."""

import sys

sys.dont_write_bytecode = True  # the source folder may be read-only, and is to stay clean

import argparse  # noqa: E402
import fnmatch  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402

import allocators  # noqa: E402
import chart  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402
import runner  # noqa: E402
import workloads  # noqa: E402


class Refused(Exception):
    """Something the caller asked for cannot be done; the text is the whole message."""


def number(text, kind, least):
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not least <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of {least} or more, not \"{text}\"")
    return value


def positive(text):
    return number(text, int, 1)


def not_negative(text):
    return number(text, float, 0)


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="compare", description="Runs each workload under every allocator found, in interleaved rounds, and "
        "prints and saves times, memory, ratios to the best peer and a chart.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD",
                        help="workloads to run, also by pattern such as 'replace-*' (all)")
    parser.add_argument("--list", action="store_true", help="list the workloads and the allocators, and exit")
    parser.add_argument("--quick", action="store_true", help="shorter workloads, 3 rounds")
    parser.add_argument("--rounds", type=positive, metavar="N", help="rounds (5; 3 with --quick)")
    parser.add_argument("--with", dest="named", action="append", default=[], metavar="NAME=PATH",
                        help="another allocator, a shared library; may be repeated")
    parser.add_argument("--only", metavar="NAMES", help="of the allocators, these alone (separated by commas)")
    parser.add_argument("--skip", metavar="WORKLOADS", help="workloads not to run (names or patterns, by commas)")
    parser.add_argument("--subject", metavar="NAME", help="compare this one with the rest (hakmem)")
    parser.add_argument("--clock", choices=("auto", "cpu", "wall"), default="auto",
                        help="what counts as time: processor time, which other processes disturb less, elapsed time, "
                        "or the one that suits the workload (auto)")
    parser.add_argument("--noise", type=not_negative, default=5, metavar="PERCENT",
                        help="noise above which a workload is called too noisy (5)")
    parser.add_argument("--idle", type=not_negative, default=2, metavar="SECONDS",
                        help="how long programs idle before their RSS is read, in the first round; 0 for not (2)")
    parser.add_argument("--timeout", type=positive, default=300, metavar="SECONDS", help="limit of one run (300)")
    parser.add_argument("--output", default="bench-results", metavar="DIR",
                        help="where compare.txt, compare.json and compare.svg go (bench-results)")
    parser.add_argument("--build", default=".", metavar="DIR", help="the build tree (.)")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return parser.parse_args()


def choose_workloads(everything, wanted, unwanted):
    names = [workload.name for workload in everything]
    for pattern in [*wanted, *unwanted]:
        if not fnmatch.filter(names, pattern):
            raise Refused(f"no workload is called {pattern}; --list tells which there are")

    def matches(name, patterns):
        return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    chosen = [workload for workload in everything
              if (not wanted or matches(workload.name, wanted)) and not matches(workload.name, unwanted)]
    if not chosen:
        raise Refused("no workload is left")
    return chosen


def choose_allocators(found, only, subject):
    names = [allocator.name for allocator in found]
    for name in [*(only or []), *([subject] if subject else [])]:
        if name not in names:
            raise Refused(f"no allocator is called {name}; found: {', '.join(names)}")
    if only:
        found = [allocator for allocator in found if allocator.name in only]
    if subject is None:
        subject = allocators.SUBJECT if any(a.name == allocators.SUBJECT for a in found) else found[0].name
    first = [allocator for allocator in found if allocator.name == subject]
    if not first:
        raise Refused(f"--only leaves out the subject, {subject}")
    rest = [allocator for allocator in found if allocator.name != subject]
    if not rest:
        raise Refused("there is only one allocator, and nothing to compare it with")
    return first + rest


def split(text):
    return [name for name in (text or "").split(",") if name]


def compare(options):
    build = os.path.abspath(options.build)
    everything = list(workloads.synthetic(build, options.quick)) + programs.every(options.quick)
    found, remarks = allocators.find_all(build, options.named)
    if options.list:
        for workload in everything:
            missing = f"  [{workload.missing}]" if workload.missing else ""
            print(f"{workload.name:15} {workload.about}{missing}")
        print()
        for allocator in found:
            print(f"{allocator.name:15} {allocator.path}")
        for remark in remarks:
            print(remark)
        return 0

    chosen = choose_workloads(everything, options.workloads, split(options.skip))
    contestants = choose_allocators(found, split(options.only), options.subject)
    if not os.access(os.path.join(build, "bench", "measure"), os.X_OK):
        raise Refused(f"there is no bench/measure in {build}; run make bench, or name the build tree with --build")
    remarks += [f"{workload.name} skipped: {workload.missing}" for workload in chosen if workload.missing]
    chosen = [workload for workload in chosen if not workload.missing]
    if not chosen:
        raise Refused("; ".join(remarks) or "no workload is left")
    for workload in chosen:
        workload.clock = workload.clock if options.clock == "auto" else options.clock
    os.makedirs(options.output, exist_ok=True)
    if not os.access(options.output, os.W_OK | os.X_OK):
        raise Refused(f"nothing can be written to {options.output}")

    rounds = options.rounds or (3 if options.quick else 5)
    machine = report.describe_machine()
    context = runner.Context(build, options.timeout)
    try:
        results, done = runner.run_rounds(context, chosen, contestants, rounds, options.idle, not options.quiet)
    finally:
        context.close()
    if done == 0:
        return 130
    if done < rounds:
        remarks.append(f"Interrupted: {done} of {rounds} rounds are complete.")

    comparison = report.Comparison(chosen, results, contestants[0].name, options.noise / 100)
    text = report.text(comparison, machine, done, remarks)
    base = os.path.join(options.output, "compare")
    for suffix, content in ((".txt", text), (".svg", chart.draw(comparison, machine, done))):
        with open(base + suffix, "w", encoding="utf-8") as file:
            file.write(content)
    report.save_json(base + ".json", comparison, machine, contestants, done, options.quick)
    print(text, end="")
    print(f"Saved as {base}.txt, .json and .svg.")
    return 0 if done == rounds else 130


def main():
    # As an interrupt, so that what runs is stopped, and what was measured is not lost.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return compare(parse_arguments())
    except (Refused, allocators.Unusable) as error:
        print(f"compare: {error}", file=sys.stderr)
    except OSError as error:
        print(f"compare: {error.strerror}: {error.filename}" if error.filename else f"compare: {error}",
              file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
