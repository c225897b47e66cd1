# SPDX-License-Identifier: MIT
"""Bar charts as inline SVG.  Colours come from the page's style sheet by class, so that they follow light and dark.

Each chart is drawn twice, for a wide page and for a telephone, and the style sheet shows one of the two.  A chart that
was scaled down would have text too small to read.
"""

from html import escape

WIDTH, NARROW = 760, 340
LABEL = 150
ROW, NARROW_ROW = 30, 42


def _text(x, y, text, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{escape(str(text))}</text>'


def _rect(x, y, width, height, style, title=None):
    inner = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}" rx="2" class="{style}">'
        f"{inner}</rect>"
    )


def _both(draw, label):
    """The chart in both widths; `draw` returns (height, parts) for a width."""
    charts = ""
    for width, style in ((WIDTH, "at-large"), (NARROW, "at-small")):
        height, body = draw(width)
        charts += (
            f'<svg viewBox="0 0 {width} {height:.0f}" class="{style}" role="img" aria-label="{escape(label)}">'
            + "".join(body)
            + "</svg>"
        )
    return charts


def _shorten(text, limit=20):
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _length(text):
    """The approximate width of a text at the size of a label."""
    return 7.0 * len(text)


def bars(rows, label):
    """Horizontal bars.  rows: dicts with label, value, text, and perhaps low and high (a whisker) and style."""
    highest = max((max(r["value"] or 0, r.get("high") or 0) for r in rows), default=0) or 1
    values = max((_length(r["text"]) for r in rows), default=0)

    def draw(width):
        wide = width == WIDTH
        row_height, left = (ROW, LABEL) if wide else (NARROW_ROW, 0)
        room = width - left - (max(130, values + 16) if wide else 2)
        body = []
        for number, row in enumerate(rows):
            y = number * row_height
            length = room * (row["value"] or 0) / highest
            top, height = (y + 5, ROW - 10) if wide else (y + 20, 14)
            title = f"{row['label']}: {row['text']}"
            body.append(_rect(left, top, length, height, row.get("style", "bar"), title))
            end = length
            if row.get("high") is not None and row["high"] > row["low"]:
                low, high = (left + room * row[key] / highest for key in ("low", "high"))
                middle = top + height / 2
                body.append(
                    f'<path d="M{low:.1f} {middle - 5}v10M{low:.1f} {middle}H{high:.1f}M{high:.1f} {middle - 5}v10" '
                    'class="whisker"/>'
                )
                end = max(end, high - left)
            if wide:
                body.append(_text(left - 10, y + 19, _shorten(row["label"]), "label", "end"))
                body.append(_text(left + end + 8, y + 19, row["text"], "value"))
            else:
                body.append(_text(0, y + 14, _shorten(row["label"]), "label"))
                body.append(_text(width, y + 14, row["text"], "value", "end"))
        return len(rows) * row_height, body

    return _both(draw, label)


def stacked(parts, label):
    """One bar of segments that add up to 1: [(name, share, style)], with a legend below."""
    total = sum(share for _, share, _ in parts) or 1

    def draw(width):
        body = []
        x = 0.0
        for name, share, style in parts:
            part = width * share / total
            body.append(_rect(x, 0, max(0, part - 1.5), 34, style, f"{name}: {share * 100:.0f} %"))
            if part > 44:
                body.append(_text(x + part / 2, 22, f"{share * 100:.0f} %", "inside", "middle"))
            x += part
        x, y = 0.0, 46
        for name, _, style in parts:
            needed = 16 + _length(name)
            if x and x + needed > width:
                x, y = 0.0, y + 20
            body.append(_rect(x, y, 11, 11, style))
            body.append(_text(x + 16, y + 10, name, "legend"))
            x += needed + 22
        return y + 16, body

    return _both(draw, label)


def ranges(rows, label):
    """For each row the span from low to high and a mark in the middle, on a scale from 0 to 1."""

    def draw(width):
        wide = width == WIDTH
        row_height, left = (ROW, LABEL) if wide else (NARROW_ROW, 0)
        room = width - left - (150 if wide else 2)
        body = []
        for tick in range(0, 101, 25):
            x = left + room * tick / 100
            anchor = "middle" if wide or 0 < tick < 100 else "end" if tick else "start"
            body.append(f'<path d="M{x:.1f} 0V{len(rows) * row_height}" class="grid"/>')
            body.append(_text(x, len(rows) * row_height + 15, f"{tick} %", "tick", anchor))
        for number, (name, low, middle, high, style) in enumerate(rows):
            y = number * row_height
            top, height = (y + 5, ROW - 10) if wide else (y + 20, 14)
            start, end = left + room * min(1, low), left + room * min(1, high)
            mark = left + room * min(1, middle)
            body.append(_rect(start, top + 4, max(2, end - start), height - 8, style + " soft"))
            body.append(_rect(max(0, mark - 2), top, 4, height, style))
            text = f"{low * 100:.0f} – {high * 100:.0f} %"
            if wide:
                body.append(_text(left - 10, y + 19, _shorten(name), "label", "end"))
                body.append(_text(left + room + 14, y + 19, text, "value"))
            else:
                body.append(_text(4, y + 14, _shorten(name), "label"))
                body.append(_text(width - 4, y + 14, text, "value", "end"))
        return len(rows) * row_height + 22, body

    return _both(draw, label)


def columns(rows, label):
    """Vertical columns, or bars where there is no room for them: [(label, share, title)]."""
    highest = max((share for _, share, _ in rows), default=0) or 1

    def upright(width):
        height, base = 150, 170
        step = min(64.0, width / max(1, len(rows)))
        body = [f'<path d="M0 {base - 18}H{step * len(rows):.0f}" class="axis"/>']
        for number, (name, share, title) in enumerate(rows):
            x = number * step
            size = (height - 30) * share / highest
            body.append(_rect(x + 3, base - 18 - size, step - 6, size, "own", title))
            if share >= 0.005:
                body.append(_text(x + step / 2, base - 23 - size, f"{share * 100:.0f} %", "tick", "middle"))
            body.append(_text(x + step / 2, base - 3, name, "tick", "middle"))
        return base + 4, body

    def lying(width):
        body = []
        left, room = 46, width - 46 - 44
        for number, (name, share, title) in enumerate(rows):
            y, size = number * 20, room * share / highest
            body.append(_text(left - 8, y + 14, name, "tick", "end"))
            body.append(_rect(left, y + 3, size, 14, "own", title))
            if share >= 0.005:
                body.append(_text(left + size + 6, y + 14, f"{share * 100:.0f} %", "tick"))
        return len(rows) * 20, body

    return _both(lambda width: upright(width) if width == WIDTH else lying(width), label)


def small(share, style, full=0.5):
    """A bar for a table's cell; `full` is the share that fills it."""
    width = 90 * min(1.0, (share or 0) / full)
    return (
        f'<svg viewBox="0 0 90 10" class="small" aria-hidden="true"><rect width="{width:.1f}" height="10" rx="2" '
        f'class="{style}"/></svg>'
    )
