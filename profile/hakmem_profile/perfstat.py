# SPDX-License-Identifier: MIT
"""Reads what perf stat prints: for people (any version since 3.x, any locale), -x CSV, and -j JSON.

What differs between versions and locales, and is accepted: separators of thousands and decimals; events with
modifiers (cycles:u) or a unit of a hybrid processor (cpu_core/cycles/); "<not supported>" and "<not counted>";
the percentage of time that a multiplexed counter was really counting; metrics after '#', on the same line or on
lines of their own; the spread of -r.

Whatever stands before perf's first line is the program's own output and is passed over; after it, a line that is none
of these is an error, and so is an end before "seconds time elapsed", because half a file must not be judged.
"""

import json
import re

from .errors import InputError
from .figures import NUMBER, decimal, integer

HEADER = re.compile(r"^\s*Performance counter stats for (.*?)(?: \((\d+) runs\))?:\s*$")
NOTHING = {"<not supported>": "not supported", "<not counted>": "not counted"}
UNITS = "msec|ns|Joules|Watts|C|MiB|GiB|MB|GB|KB|Bytes|bytes|cycles/sec"
EVENT = re.compile(
    rf"^\s*(?P<value><not supported>|<not counted>|{NUMBER})\s+(?:(?P<unit>{UNITS})\s+)?"
    r"(?P<event>[A-Za-z_][^\s#]*(?:\s[^\s#()\[\]]+)*?)(?:\s\((?P<old_unit>msec)\))?\s*(?:\s#(?P<metric>.*?))?"
    r"(?:\s*\(\s*\+-\s*(?P<spread>[0-9.,]+)\s*%\s*\))?(?:\s*[\[(]\s*(?P<running>[0-9.,]+)\s*%\s*[\])])?\s*$"
)
TIME = re.compile(rf"^\s*({NUMBER})(?:\s*\+-\s*({NUMBER}))?\s+seconds\s+(time elapsed|user|sys)\b")
METRIC_ONLY = re.compile(r"^\s*(?:Topdown\w+.*)?#|^\s*Topdown\w+")


def base_name(event):
    """The event's name alone: "cycles" of cycles:u, cpu_core/cycles/u and cpu/cycles/."""
    match = re.fullmatch(r"[\w]+/([\w.-]+)/\w*", event)
    if match:
        event = match.group(1)
    return re.sub(r":[a-zA-Z]+$", "", event)


def user_only(event):
    """Whether the modifiers of the event exclude the kernel."""
    match = re.search(r"(?::|/)([a-zA-Z]+)$", event)
    return bool(match) and "u" in match.group(1) and "k" not in match.group(1)


class Stat:
    """One run of perf stat: `events` maps a base name to value, status, running (percent) and user_only."""

    def __init__(self, source):
        self.source = source
        self.command = None
        self.runs = 1
        self.events = {}
        self.elapsed = self.user = self.sys = None
        self.program_output = []

    def add(self, raw, value, status, running, spread=None, unit=None):
        name = base_name(raw)
        entry = {
            "value": value,
            "status": status,
            "running": running,
            "spread": spread,
            "unit": unit,
            "user_only": user_only(raw),
        }
        known = self.events.get(name)
        if known and known["value"] is not None:
            # An event of both kinds of cores of a hybrid processor, or one that was asked for twice.
            if value is not None and "/" in raw:
                entry["value"] += known["value"]
                entry["running"] = min(x for x in (running, known["running"], 100.0) if x is not None)
            else:
                return
        self.events[name] = entry

    def value(self, *names):
        """The value of the first of these events that was counted."""
        for name in names:
            entry = self.events.get(name)
            if entry and entry["value"] is not None:
                return entry["value"]
        return None

    def lowest_running(self):
        """The percentage of the time in which each counter with a value was counting, at least."""
        return min(
            (e["running"] for e in self.events.values() if e["value"] is not None and e["running"] is not None),
            default=None,
        )


def parse(text, source):
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if HEADER.match(line):
            return _parse_text(lines, number, source)
        if line.startswith("{") and '"counter-value"' in line:
            return _parse_json(lines, number, source)
        if _csv_separator(line):
            return _parse_csv(lines, number, source)
    raise InputError(
        source,
        max(1, len(lines)),
        'not the output of perf stat: no line "Performance counter stats for", no CSV and no JSON',
    )


def _parse_text(lines, header, source):
    stat = Stat(source)
    stat.program_output = lines[: header - 1]
    match = HEADER.match(lines[header - 1])
    stat.command = match.group(1).strip("'")
    stat.runs = int(match.group(2) or 1)
    for number, line in enumerate(lines[header:], header + 1):
        if HEADER.match(line):
            raise InputError(source, number, "a second perf stat begins here; give one at a time")
        time = TIME.match(line)
        if time:
            value = decimal(time.group(1))
            if time.group(3) == "time elapsed":
                stat.elapsed = value
            elif time.group(3) == "user":
                stat.user = value
            else:
                stat.sys = value
        elif stat.elapsed is not None and line.strip():
            break  # after the figures comes advice of perf, or the program's output
        elif line.strip() and not METRIC_ONLY.match(line):
            _add_text_event(stat, line, number)
    if stat.elapsed is None:
        raise InputError(source, len(lines), 'truncated: the file ends before "seconds time elapsed"')
    if not stat.events:
        raise InputError(source, header, "no event follows this line")
    return stat


def _add_text_event(stat, line, number):
    match = EVENT.match(line)
    if not match:
        raise InputError(stat.source, number, f"not a line of perf stat: {line.strip()[:60]!r}")
    value, unit = match["value"], match["unit"] or match["old_unit"]
    status = NOTHING.get(value, "counted")
    if status != "counted":
        value = None
    else:
        value = decimal(value) if unit else integer(value)
    running = decimal(match["running"]) if match["running"] else (100.0 if value is not None else None)
    if running is not None and running > 100.5:
        raise InputError(stat.source, number, f"a counter cannot run {match['running']} % of the time")
    spread = decimal(match["spread"]) if match["spread"] else None
    stat.add(match["event"], value, status, running, spread, unit)


def _csv_separator(line):
    """The separator of a line of perf stat -x, or None."""
    match = re.match(
        r"^(?:<not supported>|<not counted>|[0-9]+(?:[.,][0-9]+)?)([,;:|\t~])([^,;:|\t~]*)\1[A-Za-z_]", line
    )
    return match.group(1) if match else None


def _parse_csv(lines, first, source):
    stat = Stat(source)
    stat.program_output = [line for line in lines[: first - 1] if not line.startswith("#")]
    separator = _csv_separator(lines[first - 1])
    for number, line in enumerate(lines[first - 1 :], first):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(separator)
        if len(fields) >= 3 and not fields[0] and not fields[2]:
            continue  # a metric without an event
        if len(fields) < 5 or not fields[2]:
            raise InputError(
                source, number, f"truncated: {len(fields)} fields of the 5 that perf stat -x{separator} prints"
            )
        status = NOTHING.get(fields[0], "counted")
        # -r adds the spread, as "0.13%", before the time that the counter ran.
        spread = fields.pop(3) if fields[3].endswith("%") else None
        try:
            value = None if status != "counted" else decimal(fields[0])
            if value is not None and not re.fullmatch("[0-9.,]+", fields[0]):
                raise ValueError
            running = decimal(fields[4]) if value is not None and fields[4] else None
        except (ValueError, AttributeError, IndexError):
            raise InputError(source, number, f"not a line of perf stat -x{separator}: {line[:60]!r}") from None
        if value is not None and not fields[1] and value == int(value):
            value = int(value)
        stat.add(fields[2], value, status, running, decimal(spread[:-1]) if spread else None, fields[1] or None)
    return stat


def _parse_json(lines, first, source):
    stat = Stat(source)
    stat.program_output = lines[: first - 1]
    for number, line in enumerate(lines[first - 1 :], first):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            event, text = entry.get("event"), entry["counter-value"]
            if event is None:
                continue
            status = NOTHING.get(text, "counted")
            value = None if status != "counted" else float(text)
            running = float(entry.get("pcnt-running", 100.0)) if value is not None else None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(source, number, f"not a line of perf stat -j: {line[:60]!r}") from None
        if value is not None and not entry.get("unit") and value == int(value):
            value = int(value)
        stat.add(event, value, status, running, None, entry.get("unit") or None)
    return stat
