# SPDX-License-Identifier: MIT
"""Reads what perf report --stdio prints: one table of functions an event.

Columns are found by perf's own header, so any --sort that has a symbol will do; call graphs between the rows are passed
over; numbers may be in any locale; -t SEPARATOR is understood.  A row without a share or a symbol is an error with its
line, and so is a table that ends in the middle of a row, or of which less than half is there.
"""

import re

from .errors import InputError
from .figures import decimal

SAMPLES = re.compile(r"^# Samples: ([0-9.,]+)([KMG]?)\s+of events? '(.*)'")
EVENT_COUNT = re.compile(r"^# Event count \(approx\.\): ([0-9.,]+)")
LOST = re.compile(r"^# Total Lost Samples: ([0-9]+)")
COLUMNS = re.compile(r"^# *(Overhead|Children)\b")
ROW = re.compile(r"^\s{0,8}(~?[0-9]+(?:[.,][0-9]+)?)%")
SYMBOL = re.compile(r"\[([.kguHx?])\]\s+(\S.*?)(?:\s{2,}-\s+-)?\s*$")
SEPARATED = re.compile(r"^# *(?:Overhead|Children)([;,|\t~:])")
ADDRESS = re.compile(r"^(?:0x)?[0-9a-f]{4,16}$")


# Percent.  A table without its smallest functions is fine, as many people leave them out; one with less than this was
# cut off.
LEAST_LISTED = 50


class Table:
    """The functions of one event, most expensive first."""

    def __init__(self, event, samples, line):
        self.event = event
        self.samples = samples
        self.count = None
        self.lost = 0
        self.line = self.last_line = line
        self.rows = []  # dicts: percent, symbol, object, kernel, samples

    def add(self, percent, symbol, dso, kernel, samples):
        if ADDRESS.match(symbol):
            # perf lists addresses without symbols one by one; their sum still tells the file.
            symbol = f"(no symbols: {dso})" if dso else "(no symbols)"
        for row in self.rows:
            if row["symbol"] == symbol and row["object"] == dso:
                # One function under several commands or threads.
                row["percent"] = round(row["percent"] + percent, 4)
                row["samples"] = (row["samples"] or 0) + samples if samples is not None else row["samples"]
                return
        self.rows.append({"percent": percent, "symbol": symbol, "object": dso, "kernel": kernel, "samples": samples})


def base_event(event):
    return re.sub(r":[a-zA-Z]+$", "", re.sub(r"^\w+/([\w.-]+)/\w*$", r"\1", event))


def parse(text, source):
    """All tables of the text, in its order."""
    tables = []
    table = columns = separator = None
    lost = 0
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            match = SAMPLES.match(line)
            if match:
                scale = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[match.group(2)]
                samples = decimal(match.group(1)) if match.group(2) else float(re.sub("[^0-9]", "", match.group(1)))
                table = Table(match.group(3), int(samples * scale), number)
                table.lost, columns, separator = lost, None, None
                tables.append(table)
            elif LOST.match(line):
                lost = int(LOST.match(line).group(1))
            elif EVENT_COUNT.match(line) and table:
                table.count = int(re.sub("[^0-9]", "", EVENT_COUNT.match(line).group(1)))
            elif COLUMNS.match(line):
                match = SEPARATED.match(line)
                separator = match.group(1) if match else None
                names = (
                    line.lstrip("# ").split(separator) if separator else re.split(r"\s{2,}", line.lstrip("# ").strip())
                )
                columns = [name.strip() for name in names]
            continue
        if not line.strip():
            continue
        if not ROW.match(line):
            if table is None and not tables:
                raise InputError(source, number, 'not the output of perf report: no line "# Samples" before this one')
            if _is_call_graph(line):
                continue
            raise InputError(source, number, f"not a row of perf report: {line.strip()[:60]!r}")
        if table is None:
            raise InputError(source, number, 'a row before any line "# Samples: ... of event ..."')
        _add_row(table, line, columns, separator, source, number)
        table.last_line = number
    if not tables:
        raise InputError(source, max(1, len(lines)), 'not the output of perf report: no line "# Samples"')
    for table in tables:
        if not table.rows:
            raise InputError(source, table.line, f"no function follows the header of event {table.event!r}")
        table.rows.sort(key=lambda row: -row["percent"])
        total = sum(row["percent"] for row in table.rows)
        if total > 101:
            raise InputError(
                source,
                table.line,
                f"the shares of {table.event!r} add up to {total:.1f} %; "
                "perf report must be run with --no-children and one command's data",
            )
        if total < LEAST_LISTED:
            raise InputError(
                source,
                table.last_line,
                f"truncated: the rows of {table.event!r} end here and add up to {total:.1f} % only; "
                "perf report must be run without --percent-limit, and its output kept as a whole",
            )
    return tables


def _is_call_graph(line):
    return bool(re.match(r"^\s*[|]|^\s*-+[0-9.,]+%-+|^\s*---|^\s{10,}\S", line))


def _add_row(table, line, columns, separator, source, number):
    dso = samples = None
    if separator:
        fields = [field.strip() for field in line.split(separator, max(1, len(columns) - 1))]
        if len(fields) < len(columns):
            raise InputError(source, number, f"truncated: {len(fields)} columns of {len(columns)}")
        named = dict(zip(columns, fields))
        percent = named.get("Self", named.get("Overhead", fields[0]))
        dso, symbol_text = named.get("Shared Object"), named.get("Symbol", fields[-1])
        samples = int(named["Samples"]) if named.get("Samples", "").isdigit() else None
        match = SYMBOL.search(symbol_text)
        kernel, symbol = (match.group(1) == "k", match.group(2)) if match else (False, symbol_text)
    else:
        shares = re.match(r"^\s*(~?[0-9]+(?:[.,][0-9]+)?)%(?:\s+([0-9]+(?:[.,][0-9]+)?)%)?\s+(.*)$", line)
        if not shares:
            raise InputError(source, number, f"truncated: a share without a function: {line.strip()[:60]!r}")
        percent = shares.group(2) or shares.group(1)
        rest = shares.group(3)
        match = SYMBOL.search(rest)
        if match:
            kernel, symbol, before = match.group(1) == "k", match.group(2), rest[: match.start()].strip()
        elif columns and len(columns) > 2:
            raise InputError(source, number, f"truncated: no symbol in {line.strip()[:60]!r}")
        else:
            kernel, symbol, before = False, rest.strip(), ""
        fields = re.split(r"\s{2,}", before) if before else []
        if columns and "Samples" in columns and fields and fields[0].isdigit():
            samples = int(fields.pop(0))
        if columns is None or "Shared Object" in columns:
            # perf separates names by a single blank where a column is too narrow.
            dso = fields[-1].split()[-1] if fields else None
    try:
        share = decimal(percent.strip().strip("~%"))
    except (ValueError, AttributeError):
        raise InputError(source, number, f"not a share: {percent!r}") from None
    if share > 100:
        raise InputError(source, number, f"a share of {share} %")
    if not symbol.strip():
        raise InputError(source, number, "truncated: no symbol")
    table.add(share, symbol.strip(), dso, kernel or bool(dso and dso.startswith("[k")), samples)
