# SPDX-License-Identifier: MIT
"""Reads the files of callgrind and cachegrind: what each function cost by itself, in simulated events.

Both formats are lines "position cost cost ..." under "ob=", "fl=" and "fn=" (file format described in valgrind's
manual); callgrind shortens names to "(id) name" at their first and "(id)" at later uses, leaves trailing zeros out,
and puts the inclusive cost of a call on the line after "calls=", which belongs to the callee and is passed over here.
"""

import re

from .errors import InputError

NAME = re.compile(r"^\((\d+)\)(?: (.*))?$")


class Costs:
    """`events`: names in order; `functions`: {(object, name): [cost, ...]}; `total`: [cost, ...]."""

    def __init__(self, events):
        self.events = events
        self.functions = {}
        self.total = [0] * len(events)
        self.command = None
        self.description = []

    def get(self, event, costs=None):
        """The total of one event, or of one in `costs`; None if it was not simulated."""
        if event not in self.events:
            return None
        return (self.total if costs is None else costs)[self.events.index(event)]

    def add(self, other):
        """Adds the costs of another process."""
        if other.events != self.events:
            return
        for key, costs in other.functions.items():
            own = self.functions.setdefault(key, [0] * len(self.events))
            for i, value in enumerate(costs):
                own[i] += value
        self.total = [a + b for a, b in zip(self.total, other.total)]

    def sum(self, *events, costs=None):
        values = [self.get(event, costs) for event in events]
        return None if None in values else sum(values)


def parse(text, source):
    names = {"ob": {}, "fl": {}, "fn": {}}
    positions, events, costs = 1, None, None
    command, description = None, []
    dso = function = declared = None
    skip_call = False
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        first = line[:1]
        if first.isdigit() or (first and first in "+-*"):
            if costs is None or function is None:
                raise InputError(source, number, 'a cost before any "events:" and "fn="')
            if skip_call:
                skip_call = False
                continue
            fields = line.split()
            values = fields[positions:]
            if len(values) > len(events) or not all(v.isdigit() for v in values):
                raise InputError(source, number, f"not a cost line: {line[:60]!r}")
            own = costs.functions.setdefault((dso, function), [0] * len(events))
            for i, value in enumerate(values):
                own[i] += int(value)
        elif not line or first == "#":
            continue
        elif line.startswith(("fn=", "ob=")):
            kind = line[:2]
            name = _expand(names[kind], line[3:], source, number)
            if kind == "fn":
                function = name
            else:
                dso = name
        elif line.startswith("calls="):
            skip_call = True
        elif line.startswith(("cfn=", "cob=")):
            _expand(names[line[1:3]], line[4:], source, number)
        elif re.match(r"(?:fl|fi|fe|cfi|cfl|jump|jcnd|jfi|jfn)=", line):
            continue
        elif line.startswith("events:"):
            events = line.split()[1:]
            costs = Costs(events)
            costs.command, costs.description = command, description
        elif line.startswith("positions:"):
            positions = len(line.split()) - 1
        elif line.startswith(("totals:", "summary:")):
            declared = [int(v) for v in line.split()[1:] if v.isdigit()]
            total_line = number
        elif line.startswith("cmd:"):
            command = line[4:].strip()
        elif line.startswith("desc:"):
            description.append(line[5:].strip())
        elif re.match(r"[a-zA-Z]+:", line):
            continue
        else:
            raise InputError(source, number, f"not a line of callgrind or cachegrind: {line[:60]!r}")
    if costs is None:
        raise InputError(source, max(1, len(lines)), 'not a file of callgrind or cachegrind: no line "events:"')
    if not costs.functions:
        raise InputError(source, len(lines), "truncated: no function follows")
    for own in costs.functions.values():
        for i, value in enumerate(own):
            costs.total[i] += value
    last = next((line for line in reversed(lines) if line.strip()), "")
    if declared is None or not last.startswith(("totals:", "summary:")):
        raise InputError(source, len(lines), "truncated: the file ends before its totals")
    # callgrind may lose a few events where a signal arrives; a function that is missing makes a larger difference.
    if abs(declared[0] - costs.total[0]) > max(100, declared[0] // 1000):
        raise InputError(
            source,
            total_line,
            f"the functions add up to {costs.total[0]} {events[0]}, this line says "
            f"{declared[0]}: a part is missing",
        )
    return costs


def _expand(known, text, source, number):
    match = NAME.match(text)
    if not match:
        return text
    if match.group(2) is not None:
        known[match.group(1)] = match.group(2)
    elif match.group(1) not in known:
        if text == match.group(0):
            # callgrind writes an id alone for a function without a name.
            known[match.group(1)] = "(no symbol)"
    return known[match.group(1)]
