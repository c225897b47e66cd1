# SPDX-License-Identifier: MIT
"""Numbers: as other programs print them in any locale, and as this report prints them."""

import re
import statistics

# Groups of digits with the separators of any locale, the fraction's included.
NUMBER = "[0-9]+(?:[.,'\u2019\u202f\u00a0 ][0-9]+)*"


def integer(text):
    """A count: every separator in it is one of thousands."""
    return int(re.sub("[^0-9]", "", text))


def decimal(text):
    """A number with a fraction: its last point or comma is the decimal one, all others separate thousands."""
    whole, point, fraction = re.fullmatch(r"(.*?)(?:([.,])([0-9]+))?", text.strip()).groups()
    digits = re.sub("[^0-9]", "", whole)
    return float(f"{digits or 0}.{fraction}" if point else digits)


def ratio(part, whole):
    """part / whole; None if either is unknown or the whole is nothing."""
    if part is None or not whole:
        return None
    return part / whole


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def spread(values):
    """Half the range relative to the median: 0.02 is "plus or minus 2 %".

    Of five values or more the largest and the smallest are left out: one run in five that another process has disturbed
    says nothing of the program.
    """
    if len(values) < 2 or not statistics.median(values):
        return None
    inner = sorted(values)[1:-1] if len(values) >= 5 else values
    return (max(inner) - min(inner)) / 2 / statistics.median(values)


# ---- as this report prints them ----------------------------------------------------------------------------------


def count(value):
    """1234567 -> "1,234,567"; small fractions keep some digits."""
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return significant(value)


def significant(value, digits=3):
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) < 0.0005:
        return f"{value:.1e}"
    whole = len(str(int(abs(value))))
    leading_zeros = 0 if abs(value) >= 1 else len(re.match("0*", f"{abs(value):.9f}"[2:]).group())
    places = max(0, digits - whole) if abs(value) >= 1 else digits - 1 + leading_zeros
    return f"{value:,.{places}f}"


def percent(value, places=1):
    return "–" if value is None else f"{value * 100:.{places}f} %"


def seconds(value):
    if value is None:
        return "–"
    if value == 0:
        return "0 s"
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1, 1e3, "ms")):
        if value < limit:
            return f"{significant(value * factor)} {unit}"
    return f"{significant(value)} s"


def size(value):
    """Bytes: 1536 -> "1.5 KiB"."""
    if value is None:
        return "–"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024 or unit == "PiB":
            return (
                f"{value:.0f} {unit}" if unit == "B" or value >= 100 or value == int(value) else f"{value:.1f} {unit}"
            )
        value /= 1024
    return None
