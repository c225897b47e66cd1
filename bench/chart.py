# SPDX-License-Identifier: MIT
"""The comparison as one self-contained SVG: a row for each workload, a mark for each allocator, time and memory."""

import math
from xml.sax.saxutils import escape

import report

SUBJECT_COLOUR = "#d1243f"
# Told apart by shape as well as by colour, and chosen to differ for colour-blind eyes too.
PEER_STYLES = [
    ("#0072b2", "circle"), ("#e69f00", "square"), ("#009e73", "triangle"), ("#8a5fbf", "diamond"),
    ("#56b4e9", "square"), ("#5f5f5f", "circle"), ("#b8860b", "triangle"), ("#1b7f5c", "diamond"),
    ("#7f3b08", "circle"), ("#3f51b5", "triangle"), ("#999999", "square"),
]
LOW, HIGH = 0.25, 8.0  # the range of ratios shown; what lies beyond stands at the edge
ROW, TOP, LABELS, VALUE, PANEL, GAP, MARGIN = 24, 118, 130, 50, 450, 46, 24


def shape(kind, x, y, size, colour, outline="#ffffff", title=""):
    style = f'fill="{colour}" fill-opacity="0.9" stroke="{outline}" stroke-width="1"'
    inner = f"<title>{escape(title)}</title>" if title else ""
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" {style}>{inner}</circle>'
    if kind == "square":
        side = size * 1.75
        return (f'<rect x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side}" height="{side}" {style}>'
                f"{inner}</rect>")
    points = {
        "triangle": [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        "diamond": [(0, -1.3), (1.2, 0), (0, 1.3), (-1.2, 0)],
    }[kind]
    path = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in points)
    return f'<polygon points="{path}" {style}>{inner}</polygon>'


def words(x, y, content, size=12, anchor="start", colour="#222222", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="{weight}">{escape(content)}</text>')


def position(left, ratio):
    share = (math.log2(min(max(ratio, LOW), HIGH)) - math.log2(LOW)) / (math.log2(HIGH) - math.log2(LOW))
    return left + share * PANEL


def panel(comparison, styles, left, title, metric_of, rows):
    bottom = TOP + ROW * len(rows)
    out = [words(left - VALUE, TOP - 36, title, 14, weight="bold")]
    ratio = LOW
    while ratio <= HIGH:
        x = position(left, ratio)
        main = ratio == 1
        out.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" '
                   f'stroke="{"#444444" if main else "#d9d9d9"}" stroke-width="{1.5 if main else 1}"/>')
        out.append(words(x, TOP - 14, f"{ratio:g}", 11, "middle", "#444444"))
        ratio *= 2
    for number, workload in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        metric = metric_of(workload) if workload else None
        beyond = 0
        for name in [*comparison.peers, comparison.subject]:
            if workload:
                value = comparison.ratio(workload, metric, name)
            else:
                value = comparison.mean(metric_of, name)
            subject = name == comparison.subject
            if value is None:
                if subject and workload and comparison.verdict(workload, metric) == "failed":
                    out.append(words(left - 16, y + 4, "failed", 12, "end", SUBJECT_COLOUR, "bold"))
                continue
            if subject:
                out.append(words(left - 16, y + 4, f"{value:.2f}", 12, "end", SUBJECT_COLOUR, "bold"))
            colour, kind = styles[name]
            x = position(left, value)
            if value > HIGH:
                x += 2 + 9 * beyond
                beyond += 1
            out.append(shape(kind, x, y, 6.5 if subject else 4.5, colour, title=f"{name}: {value:.2f}"))
    return out


def draw(comparison, machine, rounds):
    styles = {comparison.subject: (SUBJECT_COLOUR, "circle")}
    for number, name in enumerate(comparison.peers):
        styles[name] = PEER_STYLES[number % len(PEER_STYLES)]
    rows = [workload for workload in comparison.chosen if comparison.best_peer(workload, workload.clock)] + [None]
    panels = [MARGIN + LABELS + VALUE]
    panels.append(panels[0] + PANEL + GAP + VALUE)
    width = panels[1] + PANEL + GAP + MARGIN
    height = TOP + ROW * len(rows) + 48
    bottom = TOP + ROW * len(rows)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">',
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           words(MARGIN, 26, f"{comparison.subject} and its peers", 18, weight="bold")]
    x = MARGIN
    for name in [comparison.subject, *comparison.peers]:
        colour, kind = styles[name]
        out.append(shape(kind, x + 6, 48, 6 if name == comparison.subject else 4.5, colour))
        out.append(words(x + 17, 52, name, 12))
        x += 34 + 7.6 * len(name)
    for number, workload in enumerate(rows):
        y = TOP + ROW * number
        if number % 2 == 0:
            out.append(f'<rect x="{MARGIN}" y="{y}" width="{width - 2 * MARGIN}" height="{ROW}" fill="#f5f6f8"/>')
        name = workload.name if workload else "geometric mean"
        out.append(words(MARGIN + 4, y + ROW / 2 + 4, name, 12, weight="normal" if workload else "bold"))
    out.append(f'<line x1="{MARGIN}" y1="{bottom - ROW}" x2="{width - MARGIN}" y2="{bottom - ROW}" stroke="#888888"/>')
    out += panel(comparison, styles, panels[0], "Time (best peer = 1, less is better)", report.clock_of, rows)
    out += panel(comparison, styles, panels[1], "Peak memory (lowest peer = 1, less is better)", report.peak_of, rows)
    out.append(words(MARGIN, height - 18, f"Medians of {rounds} interleaved rounds on {machine['cpu']}, "
                     f"{machine['cpus']} processors, Linux {machine['kernel']}, {machine['date'][:10]}. Logarithmic "
                     f"scale; marks beyond {HIGH:g} stand at the edge.", 11, colour="#555555"))
    out.append("</svg>")
    return "\n".join(out) + "\n"
