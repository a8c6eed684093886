"""Axes, grid lines and frames that the charts share."""

from __future__ import annotations

from collections.abc import Sequence

from flows.dashboard.markup import pct, tag, text

HINT = "arrow keys move between marks"


def plot(name: str, height: float, *content: str, left: int = 64, right: int = 20, label: str) -> str:
    """An SVG as wide as the page allows; labels may stand left and right of it.

    Parameters
    ----------
    name : of the chart, unique on a page
    height : pixels
    left, right : room for labels in pixels
    label : what a screen reader says
    """
    drawn = tag("svg", *content, height=height, class_="marks", role="group", tabindex="0",
                aria_label=f"{label}; {HINT}", data_chart=name)
    return tag("div", drawn, class_="plot", style=f"padding-left:{left}px;padding-right:{right}px")


def x_axis(places: Sequence[tuple[float, str]], top: float, bottom: float, title: str = "") -> str:
    """Vertical grid lines at shares of the width, with labels below ``bottom``."""
    lines = [tag("line", x1=pct(x), x2=pct(x), y1=top, y2=bottom, class_="grid") for x, _ in places]
    words = [tag("text", text(label), x=pct(x), y=bottom + 15, class_="tick", text_anchor="middle")
             for x, label in places]
    name = [tag("text", text(title), x="100%", y=bottom + 32, class_="axis", text_anchor="end")] if title else []
    return "".join((*lines, *words, *name))


def y_axis(places: Sequence[tuple[float, str]], title: str = "", title_y: float = 14) -> str:
    """Horizontal grid lines at heights in pixels, labels left of them, the title at the top."""
    lines = [tag("line", x1="0%", x2="100%", y1=y, y2=y, class_="grid") for y, _ in places]
    words = [tag("text", text(label), x=-8, y=y + 4, class_="tick", text_anchor="end") for y, label in places]
    name = [tag("text", text(title), x=-36, y=title_y, class_="axis")] if title else []
    return "".join((*lines, *words, *name))


def row_label(words: str, y: float) -> str:
    """A label left of a row."""
    return tag("text", text(words), x=-8, y=y, class_="label", text_anchor="end")


def value_label(words: str, x: float, y: float) -> str:
    """A figure right of a bar's end."""
    return tag("text", text(words), x=pct(x), y=y, dx=6, class_="value")
