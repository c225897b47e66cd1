# SPDX-License-Identifier: MIT
"""Bar charts as inline SVG.  Colours come from the page's style sheet by class, so that they follow light and dark."""

from html import escape

WIDTH = 760
LABEL = 150
ROW = 30


def _text(x, y, text, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{escape(str(text))}</text>'


def _rect(x, y, width, height, style, title=None):
    inner = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}" rx="2" class="{style}">'
        f"{inner}</rect>"
    )


def _svg(height, label, body, width=WIDTH):
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(label)}">' + "".join(body) + "</svg>"
    )


def _shorten(text, limit=20):
    return text if len(text) <= limit else text[: limit - 1] + "…"


def bars(rows, label):
    """Horizontal bars.  rows: dicts with label, value, text, and perhaps low and high (a whisker) and style."""
    highest = max((max(r["value"] or 0, r.get("high") or 0) for r in rows), default=0) or 1
    room = WIDTH - LABEL - 130
    body = []
    for number, row in enumerate(rows):
        y = number * ROW
        length = room * (row["value"] or 0) / highest
        end = length
        body.append(_text(LABEL - 10, y + 19, _shorten(row["label"]), "label", "end"))
        body.append(_rect(LABEL, y + 5, length, ROW - 10, row.get("style", "bar"), f"{row['label']}: {row['text']}"))
        if row.get("high") is not None and row["high"] > row["low"]:
            low, high = (LABEL + room * row[key] / highest for key in ("low", "high"))
            middle = y + ROW / 2
            body.append(
                f'<path d="M{low:.1f} {middle - 5}v10M{low:.1f} {middle}H{high:.1f}M{high:.1f} {middle - 5}v10" '
                'class="whisker"/>'
            )
            end = max(end, high - LABEL)
        body.append(_text(LABEL + end + 8, y + 19, row["text"], "value"))
    return _svg(len(rows) * ROW, label, body)


def stacked(parts, label):
    """One bar of segments that add up to 1: [(name, share, style)], with a legend below."""
    body = []
    total = sum(share for _, share, _ in parts) or 1
    x = 0.0
    for name, share, style in parts:
        width = WIDTH * share / total
        body.append(_rect(x, 0, max(0, width - 1.5), 34, style, f"{name}: {share * 100:.0f} %"))
        if width > 44:
            body.append(_text(x + width / 2, 22, f"{share * 100:.0f} %", "inside", "middle"))
        x += width
    x = 0.0
    for name, share, style in parts:
        body.append(_rect(x, 46, 11, 11, style))
        body.append(_text(x + 16, 56, name, "legend"))
        x += 16 + 7.0 * len(name) + 22
    return _svg(62, label, body)


def ranges(rows, label):
    """For each row the span from low to high and a mark in the middle, on a scale from 0 to 1."""
    room = WIDTH - LABEL - 150
    body = []
    for tick in range(0, 101, 25):
        x = LABEL + room * tick / 100
        body.append(f'<path d="M{x:.1f} 0V{len(rows) * ROW}" class="grid"/>')
        body.append(_text(x, len(rows) * ROW + 15, f"{tick} %", "tick", "middle"))
    for number, (name, low, middle, high, style) in enumerate(rows):
        y = number * ROW
        start, end = LABEL + room * min(1, low), LABEL + room * min(1, high)
        mark = LABEL + room * min(1, middle)
        body.append(_text(LABEL - 10, y + 19, _shorten(name), "label", "end"))
        body.append(_rect(start, y + 9, max(2, end - start), ROW - 18, style + " soft"))
        body.append(_rect(mark - 2, y + 5, 4, ROW - 10, style))
        body.append(_text(LABEL + room + 14, y + 19, f"{low * 100:.0f} – {high * 100:.0f} %", "value"))
    return _svg(len(rows) * ROW + 22, label, body)


def columns(rows, label):
    """Vertical columns: [(label, share, title)]."""
    height, base = 150, 170
    step = min(64.0, WIDTH / max(1, len(rows)))
    highest = max((share for _, share, _ in rows), default=0) or 1
    body = [f'<path d="M0 {base - 18}H{step * len(rows):.0f}" class="axis"/>']
    for number, (name, share, title) in enumerate(rows):
        x = number * step
        size = (height - 30) * share / highest
        body.append(_rect(x + 3, base - 18 - size, step - 6, size, "own", title))
        if share >= 0.005:
            body.append(_text(x + step / 2, base - 23 - size, f"{share * 100:.0f} %", "tick", "middle"))
        body.append(_text(x + step / 2, base - 3, name, "tick", "middle"))
    return _svg(base + 4, label, body)


def small(share, style, full=0.5):
    """A bar for a table's cell; `full` is the share that fills it."""
    width = 90 * min(1.0, (share or 0) / full)
    return (
        f'<svg viewBox="0 0 90 10" class="small" aria-hidden="true"><rect width="{width:.1f}" height="10" rx="2" '
        f'class="{style}"/></svg>'
    )
