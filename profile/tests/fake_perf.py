# SPDX-License-Identifier: MIT
"""Stands in for perf on a machine without counters: runs the program, and prints the original's figures.

fake_perf.py stat -o FILE ... -- PROGRAM
fake_perf.py record -e EVENT -o FILE ... -- PROGRAM
fake_perf.py report -i FILE
"""

import os
import re
import subprocess
import sys

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")


def fixture(name):
    with open(os.path.join(FIXTURES, name), encoding="utf-8") as file:
        return file.read()


def main(arguments):
    def value(option):
        return arguments[arguments.index(option) + 1]

    if arguments == ["--version"]:
        print("perf version 6.8.12")
    elif arguments[0] == "report":
        with open(value("-i"), encoding="utf-8") as file:
            event = file.read()
        for section in re.split(r"(?=^# Samples)", fixture("seed-perf-report.txt"), flags=re.M):
            if re.match(rf"# Samples: \d+  of event '{event}\b", section):
                print(section)
    else:
        status = subprocess.call(arguments[arguments.index("--") + 1 :])
        with open(value("-o"), "w", encoding="utf-8") as file:
            file.write(fixture("seed-perf-stat.txt") if arguments[0] == "stat" else value("-e"))
        return status
    return 0


sys.exit(main(sys.argv[1:]))
