"""Where the cycles go: rows streamed, and on a scale of their own all other causes."""

from __future__ import annotations

from collections.abc import Sequence

from flows.dashboard import numbers
from flows.dashboard.charts.axes import plot, row_label, value_label
from flows.dashboard.data import Part
from flows.dashboard.markup import behind, mark, pct, table, tag, text

ROW = 26
WIDE = 0.62
"""Longest bar, so that its figure has room on a phone."""
NAMES = {"slots": "rows streamed", "short_slots": "short slots", "first_fill": "first fill", "memory": "stream",
         "load": "block load", "barrier": "barrier", "column": "columns", "select": "selection", "output": "output"}


def breakdown_chart(parts: Sequence[Part]) -> str:
    """One bar of the whole, and below it the causes other than rows, enlarged."""
    if not parts:
        return ""
    whole = sum(part.cycles for part in parts)
    first, rest = parts[0], parts[1:]
    other = whole - first.cycles
    bar = "".join((
        row_label("all cycles", 20),
        _rect(first, 0, first.share, 6, "var(--kind-qkv)"),
        tag("rect", x=pct(first.share), y=6, width=pct(other / whole), height=20, class_="rest"),
        tag("text", text(f"{numbers.percent(first.share, 2)} streaming rows"), x="0%", dx=8, y=20, class_="inbar"),
        tag("text", text(f"the other {numbers.percent(other / whole, 2)}, {other:,} cycles, enlarged"), x="0%", y=48,
            class_="axis")))
    largest = max((part.cycles for part in rest), default=0) or 1
    rows = "".join(
        row_label(NAMES.get(part.name, part.name), 58 + ROW * index + 14)
        + _rect(part, 0, part.cycles / largest * WIDE, 58 + ROW * index, "var(--base)", 18)
        + value_label(f"{part.cycles:,} ({numbers.percent(part.share, 2)})", part.cycles / largest * WIDE,
                      58 + ROW * index + 14) for index, part in enumerate(rest))
    drawn = plot("breakdown", 64 + ROW * len(rest), bar, rows, left=96, label="where the cycles go")
    return drawn + behind("All parts", table(("part", "cycles", "share"), [
        (part.text, (numbers.count(part.cycles), part.cycles, f"breakdown/cycles/{part.name}"),
         (numbers.percent(part.share, 3), part.share, f"breakdown/shares/{part.name}")) for part in parts]))


def _rect(part: Part, start: float, width: float, y: float, fill: str, height: float = 20) -> str:
    return mark("rect", value=part.cycles, key=f"breakdown/cycles/{part.name}",
                tip=[part.text, f"{part.cycles:,} cycles", numbers.percent(part.share, 3)], x=pct(start), y=y,
                width=pct(max(width, 0.002)), height=height, fill=fill)
