# SPDX-License-Identifier: MIT
"""Reads the table of strace -c: how often each system call was made."""

import re

from .errors import InputError

HEADER = re.compile(r"^% time\s+seconds\s+usecs/call\s+calls\s+errors\s+syscall")
ROW = re.compile(r"^\s*[0-9]+[.,][0-9]+\s+[0-9]+[.,][0-9]+\s+[0-9]+\s+([0-9]+)\s+(?:([0-9]+)\s+)?(\w+)\s*$")

# The system calls that an allocator makes.
MEMORY = ("brk", "mmap", "munmap", "mremap", "madvise", "mprotect", "process_madvise", "mbind")


def parse(text, source):
    """{"total": calls, "calls": {name: calls}, "errors": {name: errors}}"""
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if HEADER.match(line)), None)
    if start is None:
        raise InputError(source, max(1, len(lines)), "not the table of strace -c: its header is missing")
    result = {"total": None, "calls": {}, "errors": {}}
    for number, line in enumerate(lines[start + 1 :], start + 2):
        if line.startswith("---") or not line.strip():
            continue
        if line.rstrip().endswith(" total"):
            # strace 4 leaves a column of this row empty, so that the place does not tell which number is the total.
            total = sum(result["calls"].values())
            if str(total) not in line.split():
                raise InputError(source, number, f"the rows add up to {total} calls, this line says otherwise")
            result["total"] = total
            break
        match = ROW.match(line)
        if not match:
            raise InputError(source, number, f"not a row of strace -c: {line.strip()[:60]!r}")
        calls, errors, name = int(match.group(1)), int(match.group(2) or 0), match.group(3)
        result["calls"][name] = calls
        if errors:
            result["errors"][name] = errors
    if result["total"] is None:
        raise InputError(source, len(lines), "truncated: the table ends before its total")
    return result


def commonest(tables, most=15):
    """The commonest calls of all tables, most frequent first, then by name; `tables` is {name: result of parse}."""
    highest = {}
    for table in tables.values():
        for call, number in table["calls"].items():
            highest[call] = max(number, highest.get(call, 0))
    return sorted(highest, key=lambda call: (-highest[call], call))[:most]
