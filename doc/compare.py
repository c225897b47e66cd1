#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws doc/compare.svg, or another FILE, from the tables of doc/measurements.md: python3 doc/compare.py [FILE]

Two parts: each allocator's mean time and peak memory as bars; and libhakmem's time on each workload, as a dot left of
the line where it is faster than the fastest of the others, right of it where it is slower.  All widths are for a
picture 600 pixels wide.
"""

import math
import os
import re
import sys
from xml.sax.saxutils import escape

FOLDER = os.path.dirname(os.path.abspath(__file__))
WIDTH, MARGIN = 600, 14
MEAN_ROW, MEAN_LABEL, MEAN_BAR, MEAN_MOST = 20, 78, 142, 2.4
ROW, LABEL, PLOT = 17, 94, 92
LOW, HIGH = 0.5, 1.5  # the ratios that the plot of workloads shows
STYLE = """
svg { --back: #ffffff; --text: #1f2328; --faint: #59636e; --line: #d1d9e0; --ours: #0969da; --theirs: #9aa4af;
      --loss: #bc4c00; font: 12px system-ui, "DejaVu Sans", sans-serif }
@media (prefers-color-scheme: dark) {
  svg { --back: #0d1117; --text: #f0f6fc; --faint: #9198a1; --line: #3d444d; --ours: #4493f8; --theirs: #656c76;
        --loss: #f0883e }
}
rect.back { fill: var(--back) }
text { fill: var(--text) }
.head { font-weight: 600; font-size: 13px }
.faint { fill: var(--faint) }
.end { text-anchor: end }
.bold { font-weight: 600 }
.ours { fill: var(--ours) }
.theirs { fill: var(--theirs) }
.loss { fill: var(--loss) }
line { stroke: var(--line) }
line.one { stroke: var(--faint) }
line.stem { stroke-width: 2 }
line.win { stroke: var(--ours) }
line.lose { stroke: var(--loss) }
"""


def table(text, first):
    """The rows of the Markdown table whose head begins with this word, each a list of cells."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def words(x, y, content, classes=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}">{escape(content)}</text>'


def mean_bars(rows, top, column, left, title):
    out = [words(left, top, title, "head"),
           words(left, top + 15, "1 is the best other on each; less is better", "faint")]
    for number, row in enumerate(rows):
        y = top + 24 + number * MEAN_ROW
        value = float(re.search(r"[\d.]+", row[column])[0])
        ours = "ours" if row[0] == "libhakmem" else "theirs"
        shown = row[column].replace("more than ", "> ")
        bar = value / MEAN_MOST * MEAN_BAR
        bold = "bold" if ours == "ours" else ""
        out.append(words(left, y + 14, row[0], bold))
        out.append(f'<rect class="{ours}" x="{left + MEAN_LABEL}" y="{y + 3}" width="{bar:.1f}" height="14" rx="2"/>')
        out.append(words(left + MEAN_LABEL + bar + 6, y + 14, shown, bold))
    return out


def place(left, ratio):
    ratio = min(max(ratio, LOW), HIGH)
    return left + (math.log(ratio) - math.log(LOW)) / (math.log(HIGH) - math.log(LOW)) * PLOT


def workloads(rows, top, left, title):
    plot = left + LABEL
    bottom = top + 10 + ROW * len(rows)
    out = [words(left, top, title, "head"),
           f'<line class="one" x1="{place(plot, 1):.1f}" y1="{top + 8}" x2="{place(plot, 1):.1f}" y2="{bottom}"/>']
    for number, (name, ratio, spread) in enumerate(rows):
        y = top + 14 + number * ROW + ROW / 2
        x, wins = place(plot, ratio), ratio <= 1
        out.append(words(left, y + 4, name))
        out.append(f'<line class="stem {"win" if wins else "lose"}" x1="{place(plot, 1):.1f}" y1="{y}" x2="{x:.1f}" '
                   f'y2="{y}"/>')
        out.append(f'<circle class="{"ours" if wins else "loss"}" cx="{x:.1f}" cy="{y}" r="4"/>')
        out.append(words(plot + PLOT + 38, y + 4, f"{ratio:.2f}", "end"))
        out.append(words(plot + PLOT + 42, y + 4, spread, "faint"))
    return out


def worst_at_length(text):
    """The three workloads on which libhakmem loses most at full length."""
    rows = [(row[0], row[3].split(" ")[0]) for row in table(text, "workload")]
    return sorted(rows, key=lambda row: -float(row[1]))[:3]


def main():
    with open(os.path.join(FOLDER, "measurements.md"), encoding="utf-8") as file:
        text = file.read()
    means = table(text, "allocator")
    rows = []
    for name, time, *_ in table(text, "workload"):
        if name == "geometric mean":
            continue
        ratio, _, spread = time.partition(" ")
        rows.append((name, float(ratio), spread.replace(" %", "%")))
    rows.sort(key=lambda row: row[1])
    faster = [row for row in rows if row[1] < 1]
    others = [row for row in rows if row[1] >= 1]

    right = MARGIN + 292
    top = 24
    out = mean_bars(means, top, 1, MARGIN, "Time, geometric mean")
    out += mean_bars(means, top, 2, right, "Peak memory, geometric mean")
    top += 24 + MEAN_ROW * len(means) + 32
    out.append(words(MARGIN, top, f"libhakmem's time over that of the fastest other, {len(rows)} workloads", "head"))
    out.append(words(MARGIN, top + 16, "left of the line: faster; ±: more than 5 % may be chance", "faint"))
    top += 42
    out += workloads(faster, top, MARGIN, f"faster: {len(faster)}")
    out += workloads(others, top, right, f"level or slower: {len(others)}")
    height = top + 14 + ROW * max(len(faster), len(others)) + 42
    out.append(words(MARGIN, height - 26, "2026-11-26: two processors of a virtual AMD EPYC, medians of five "
                     "interleaved rounds.", "faint"))
    worst = ", ".join(f"{name} {ratio}" for name, ratio in worst_at_length(text))
    out.append(words(MARGIN, height - 10, f"At full length the largest losses are {worst}.", "faint"))
    to = sys.argv[1] if len(sys.argv) > 1 else os.path.join(FOLDER, "compare.svg")
    with open(to, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
                   f'height="{height}" role="img">\n'
                   "<title>libhakmem beside six other allocators: time and peak memory</title>\n"
                   f"<style>{STYLE}</style>\n"
                   f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>\n' + "\n".join(out) + "\n</svg>\n")


main()
