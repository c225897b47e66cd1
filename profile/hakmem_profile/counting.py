# SPDX-License-Identifier: MIT
"""Reads what libhakmem-count.so writes, a line of JSON for each process, and adds the lines up."""

import json

from .errors import InputError

FIELDS = ("allocations", "frees", "reallocs", "callocs", "aligned", "failed", "bytes")


def parse(text, source):
    """The sums over all lines, and "processes", "programs" and "by_size" {upto: calls}; None for no line at all."""
    total = dict.fromkeys(FIELDS, 0)
    total.update(processes=0, programs={}, by_size={})
    pids = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            for field in FIELDS:
                total[field] += int(entry[field])
            for size in entry["by_size"]:
                total["by_size"][size["upto"]] = total["by_size"].get(size["upto"], 0) + size["count"]
            program = entry["program"]
            pids.add(entry["pid"])
        except (ValueError, KeyError, TypeError):
            raise InputError(source, number, "not a line of libhakmem-count") from None
        calls = entry["allocations"] + entry["frees"] + entry["reallocs"]
        total["programs"][program] = total["programs"].get(program, 0) + calls
    total["processes"] = len(pids)
    total["by_size"] = dict(sorted(total["by_size"].items()))
    return total if pids else None
