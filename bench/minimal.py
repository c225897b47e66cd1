#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the standard build with one that was configured with --enable-minimal, on random_mixed; see README."""

import sys

sys.dont_write_bytecode = True

import argparse  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402

import report  # noqa: E402
import runner  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="minimal", description="Runs random_mixed with libhakmem preloaded and with "
                                     "libhakmem.a linked in, from a standard and from a minimal build tree.")
    parser.add_argument("standard", help="build tree of a standard build, after make bench")
    parser.add_argument("minimal", help="build tree configured with --enable-minimal, after make bench")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="rounds (9)")
    parser.add_argument("--arguments", default="30m 400 1", help="of random_mixed (30m 400 1)")
    options = parser.parse_args()

    contestants = []
    for name, tree in (("standard", options.standard), ("minimal", options.minimal)):
        library = os.path.join(os.path.abspath(tree), "src", ".libs", "libhakmem.so")
        program = os.path.join(os.path.abspath(tree), "bench", "random_mixed")
        for path in (library, program, program + "_static"):
            if not os.path.exists(path):
                print(f"minimal: there is no {path}; run make bench in that tree", file=sys.stderr)
                return 1
        contestants += [(f"{name}, preloaded", program, library),
                        (f"{name}, linked statically", program + "_static", "")]

    context = runner.Context(os.path.abspath(options.standard), 300)
    rates = {name: [] for name, _, _ in contestants}
    try:
        for number in range(max(1, options.rounds)):
            shift = number % len(contestants)
            for name, program, library in contestants[shift:] + contestants[:shift]:
                environment = context.environment({"LD_PRELOAD": library} if library else None)
                output = context.call([program, *options.arguments.split()], environment)
                metrics = runner.parse_metrics(output)
                # The rate it prints is by the clock on the wall; that by processor time is disturbed less.
                rates[name].append(metrics["rate"] * metrics["wall"] / metrics["cpu"] / 1e6)
    except runner.Failed as error:
        print(f"minimal: {error}", file=sys.stderr)
        return 1
    finally:
        context.close()

    rows = [["random_mixed " + options.arguments, "Mops/s", "least", "most"]]
    for name, values in rates.items():
        rows.append([name, f"{statistics.median(values):.1f}", f"{min(values):.1f}", f"{max(values):.1f}"])
    machine = report.describe_machine()
    print(f"{machine['cpu']}, {machine['date']}, median of {max(1, options.rounds)} rounds, by processor time")
    print("\n".join(report.table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
