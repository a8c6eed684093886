"""The roofline: array and memory as limits, steps and run as dots, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable

from flows.dashboard import numbers
from flows.dashboard.charts.axes import plot, x_axis, y_axis
from flows.dashboard.markup import behind, legend, mark, pct, table, tag, text
from flows.dashboard.palette import KINDS, kind_of
from flows.dashboard.roofline import Dot, Roofline

TOP, HEIGHT = 48, 240


def roofline_chart(roof: Roofline | None) -> str:
    """Useful MACs per cycle over useful MACs per byte from memory."""
    if roof is None:
        return ""
    dots = (*roof.steps, roof.run)
    low = min(roof.ridge, *(dot.intensity for dot in dots)) / 1.6
    high = max(roof.ridge, *(dot.intensity for dot in dots)) * 1.6
    floor = min(*(dot.rate for dot in dots), roof.peak / 8) / 1.5
    x = _log(low, high)
    y_share = _log(floor, roof.peak * 1.25)

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - y_share(value))

    start = max(low, floor / roof.bandwidth)
    roofs = "".join(
        (
            _roof(x(start), y(roof.limit(start)), x(roof.ridge), y(roof.peak)),
            _roof(x(roof.ridge), y(roof.peak), 1.0, y(roof.peak)),
            tag(
                "text",
                text(f"array {roof.peak:,} MACs/cycle = {2e-3 * roof.peak * roof.clock_mhz:,.1f} GOPS"),
                x="100%",
                y=y(roof.peak) - 7,
                class_="axis",
                text_anchor="end",
            ),
            tag(
                "text",
                text(f"{roof.bandwidth:g} B/cycle = {1e-3 * roof.bandwidth * roof.clock_mhz:,.2f} GB/s"),
                x=pct((x(start) + x(roof.ridge)) / 2),
                dx=12,
                y=(y(roof.limit(start)) + y(roof.peak)) / 2 + 8,
                class_="axis",
            ),
        )
    )
    marks = "".join(_dot(dot, x, y, roof) for dot in dots)
    axes = x_axis([(x(value), numbers.short(value)) for value in numbers.log_ticks(low, high)], TOP, TOP + HEIGHT,
                  "useful MACs per byte from memory")
    axes += y_axis([(y(value), numbers.short(value)) for value in numbers.log_ticks(floor, roof.peak * 1.25)],
                   "useful MACs per cycle", 14)
    kinds = [kind for kind in KINDS if any(kind_of(dot.name) == kind for dot in roof.steps)]
    drawn = plot("roofline", TOP + HEIGHT + 40, axes, roofs, marks, left=52,
                 label="roofline: useful MACs per cycle over MACs per byte")
    return (legend([*((f"var(--kind-{kind})", kind) for kind in kinds), ("var(--accent)", "whole run")]) + drawn
            + behind("All steps", _table(roof)))


def _log(low: float, high: float) -> Callable[[float], float]:
    span = math.log(high / low)
    return lambda value: math.log(value / low) / span


def _roof(x1: float, y1: float, x2: float, y2: float) -> str:
    return tag("line", x1=pct(x1), y1=float(y1), x2=pct(x2), y2=float(y2), class_="roof")


def _dot(dot: Dot, x: Callable[[float], float], y: Callable[[float], float], roof: Roofline) -> str:
    run = dot.name == "run"
    tip = ["whole run" if run else dot.name, f"{numbers.digits(dot.rate)} useful MACs per cycle",
           f"{numbers.percent(dot.rate / roof.limit(dot.intensity))} of the roof above it",
           f"{numbers.digits(dot.intensity)} useful MACs per byte",
           f"{dot.macs:,} MACs, {dot.bytes:,} bytes, {dot.cycles:,} cycles"]
    return mark("circle", value=dot.rate, tip=tip, cx=pct(x(dot.intensity)), cy=float(y(dot.rate)), r=7 if run else 4,
                fill="var(--accent)" if run else f"var(--kind-{kind_of(dot.name)}, var(--base))",
                class_="mark dot run" if run else "mark dot", data_intensity=dot.intensity, data_name=dot.name)


def _table(roof: Roofline) -> str:
    rows = [("whole run" if dot.name == "run" else dot.name, (numbers.count(dot.macs), dot.macs, None),
             (numbers.count(dot.bytes), dot.bytes, None), (numbers.count(dot.cycles), dot.cycles, None),
             (numbers.digits(dot.intensity), dot.intensity, None), (numbers.digits(dot.rate), dot.rate, None),
             (numbers.percent(dot.rate / roof.limit(dot.intensity)), dot.rate / roof.limit(dot.intensity), None))
            for dot in (roof.run, *roof.steps)]
    return table(("step", "useful MACs", "bytes", "cycles", "MACs/byte", "MACs/cycle", "of its roof"), rows)
