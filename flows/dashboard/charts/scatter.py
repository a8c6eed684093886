"""Scatters of sweeps and searches with their Pareto front; latency is logarithmic."""

from __future__ import annotations

import itertools
import math

from flows.dashboard import numbers
from flows.dashboard.charts.axes import plot, x_axis, y_axis
from flows.dashboard.markup import behind, pct, table, tag
from flows.dashboard.palette import CLUSTERS
from flows.dashboard.points import Cloud, Point

TOP, HEIGHT = 34, 300
SHAPES = (
    "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0z",
    "M-4,-4h8v8h-8z",
    "M0,-5.2L5,4H-5z",
    "M0,-5.6L5.6,0L0,5.6L-5.6,0z",
    "M0,5.2L5,-4H-5z",
    "M-1.7,-5h3.4v3.3H5v3.4H1.7V5h-3.4V1.7H-5v-3.4h3.3z",
)
"""Circle, square, triangles, diamond, cross."""


def scatter_chart(cloud: Cloud) -> str:
    """Filled marks are simulated, hollow ones modelled, faint ones do not fit their board."""
    xs, ys = [point.x for point in cloud.points], [point.y for point in cloud.points]
    low, high = min(xs) / 1.15, max(xs) * 1.15
    span = (max(ys) - min(ys)) or abs(max(ys)) or 1.0
    floor, roof = min(ys) - 0.06 * span, max(ys) + 0.06 * span
    if not cloud.up:
        floor = min(floor, 0.0) if min(ys) < span else floor

    def x(value: float) -> float:
        return math.log(value / low) / math.log(high / low)

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - (value - floor) / (roof - floor))

    front = cloud.front
    steps = "".join(_stair(x(a.x), y(a.y), x(b.x), y(b.y)) for a, b in itertools.pairwise(front))
    marks = "".join(_mark(cloud, point, x(point.x), y(point.y), point in front) for point in cloud.points)
    axes = x_axis([(x(value), numbers.short(value)) for value in numbers.log_ticks(low, high)], TOP, TOP + HEIGHT,
                  cloud.x_title)
    axes += y_axis([(y(value), _y_text(cloud, value)) for value in _between(floor, roof)], cloud.y_title)
    drawn = plot(f"scatter {cloud.name}", TOP + HEIGHT + 40, axes, steps, marks, left=56, label=cloud.title)
    return _legend(cloud) + drawn + behind(f"All {len(cloud.points):,} points", _table(cloud))


def _between(low: float, high: float) -> list[float]:
    step = numbers.ticks(high - low)[1]
    first = math.ceil(low / step - 1e-9)
    return [step * index for index in range(first, int(high / step + 1e-9) + 1)]


def _y_text(cloud: Cloud, value: float) -> str:
    return f"{100 * value:g} %".replace("-0 %", "0 %") if cloud.y_share else f"{value:g}"


def _stair(x1: float, y1: float, x2: float, y2: float) -> str:
    """What is not worse: from a point of the front to the next, along the axes."""
    return (tag("line", x1=pct(x1), x2=pct(x2), y1=float(y1), y2=float(y1), class_="front")
            + tag("line", x1=pct(x2), x2=pct(x2), y1=float(y1), y2=float(y2), class_="front"))


def _mark(cloud: Cloud, point: Point, x: float, y: float, front: bool) -> str:
    tip = [point.label, *([point.series] if point.series != point.label else []),
           f"{numbers.digits(point.x)} ms", f"{cloud.y_title} {_exact(cloud, point.y)}", *point.lines,
           *(["on the Pareto front"] if front else [])]
    number = cloud.series.index(point.series) if point.series in cloud.series else 0
    colour = "var(--accent)" if point.here else f"var(--cluster-{number % 16})"
    shape = tag("path", d=SHAPES[number % len(SHAPES)], style=f"--c:{colour}",
                class_=" ".join(name for name, on in (("solid", point.measured or point.here), ("here", point.here),
                                                      ("out", not point.fits), ("best", front)) if on) or None)
    return _glyph(shape, point, tip, x, y)


def _glyph(shape: str, point: Point, tip: list[str], x: float, y: float) -> str:
    label = f"{tip[0]}: {', '.join(tip[1:])}"
    return tag("svg", shape, x=pct(x), y=float(y), width=1, height=1, class_="mark glyph", role="img", tabindex="-1",
               aria_label=label, data_tip="\n".join(tip), data_value=repr(point.y), data_x=repr(point.x),
               data_key=f"{point.key}/{point.y_name}" if point.key else None,
               data_x_key=f"{point.key}/{point.x_name}" if point.key else None)


def _exact(cloud: Cloud, value: float) -> str:
    return numbers.percent(value, 2) if cloud.y_share else numbers.digits(value)


def _legend(cloud: Cloud) -> str:
    items = "".join(
        tag(
            "li",
            tag(
                "svg",
                tag("path", d=SHAPES[index % len(SHAPES)], style=f"--c:{_series_colour(name, index)}", class_="solid"),
                class_="key",
                aria_hidden="true",
                width=12,
                height=12,
                viewBox="-6 -6 12 12",
            ),
            name,
        )
        for index, name in enumerate(cloud.series)
    )
    items += tag("li", tag("i", class_="line", aria_hidden="true"), "Pareto front")
    if any(point.measured for point in cloud.points) and not all(point.measured for point in cloud.points):
        items += tag("li", "filled: simulated RTL, hollow: models")
    return tag("ul", items, class_="legend")


def _series_colour(name: str, index: int) -> str:
    return "var(--accent)" if name == "this run" else f"var(--cluster-{index % len(CLUSTERS)})"


def front_table(cloud: Cloud) -> str:
    """The Pareto front as a table, fastest first."""
    front = cloud.front
    rows = [(point.label, point.series, *_figures(cloud, point), ", ".join(point.lines)) for point in front]
    return table(("point", "board", "ms", cloud.y_title, ""), rows, left=2) if front else ""


def _table(cloud: Cloud) -> str:
    front = set(map(id, cloud.front))
    rows = [(point.label, point.series, *_figures(cloud, point), "front" if id(point) in front else "",
             "fits" if point.fits else "too large", ", ".join(point.lines)) for point in cloud.points]
    return table(("point", "board", "ms", cloud.y_title, "", "", ""), rows, left=2)


def _figures(cloud: Cloud, point: Point) -> tuple[tuple[str, float, str | None], ...]:
    return ((numbers.digits(point.x), point.x, f"{point.key}/{point.x_name}" if point.key else None),
            (_exact(cloud, point.y), point.y, f"{point.key}/{point.y_name}" if point.key else None))
