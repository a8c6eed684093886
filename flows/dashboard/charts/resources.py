"""Resources by unit against the board, with the share that a design may take of each kind."""

from __future__ import annotations

from flows.dashboard import numbers
from flows.dashboard.charts.axes import plot, row_label, x_axis
from flows.dashboard.fill import Fill, Kind, Unit
from flows.dashboard.markup import behind, legend, mark, pct, table, tag, text
from flows.dashboard.palette import KINDS as COLOURS

ROW, BAR, TOP = 40, 20, 4
NAMED = 7
"""Units with a colour of their own."""
ORDER = (1, 5, 3, 6, 2, 7, 4)
"""And which of the kinds' colours they take."""


def resources_chart(fill: Fill | None) -> str:
    """A bar per kind of resource; the board is 100 %."""
    if fill is None:
        return ""
    shown = [kind for kind in fill.kinds if kind.available]
    widest = max(1.0, *(kind.share for kind in shown)) * 1.02
    bottom = TOP + ROW * len(shown)
    rows = "".join(_row(kind, fill, index, widest) for index, kind in enumerate(shown))
    ticks = [(share / widest, numbers.percent(share, 0)) for share in (0, 0.25, 0.5, 0.75, 1.0)]
    drawn = plot("resources", bottom + 24, x_axis(ticks, TOP, bottom), rows, left=64,
                 label=f"resources by unit against {fill.title}")
    return legend(_legend(fill)) + drawn + behind("All units", _table(fill))


def _legend(fill: Fill) -> list[tuple[str, str]]:
    named = [(_colour(index), unit.name) for index, unit in enumerate(fill.units[:NAMED])]
    return [*named, *([(_colour(NAMED), "other units")] if len(fill.units) > NAMED else [])]


def _colour(index: int) -> str:
    return f"var(--kind-{COLOURS[ORDER[index]]})" if index < NAMED else "var(--muted)"


def _row(kind: Kind, fill: Fill, index: int, widest: float) -> str:
    y, start, bars = TOP + ROW * index + 16, 0.0, []
    for number, unit in enumerate(fill.units):
        share = unit.amounts[kind.name] / kind.available
        if share > 0:
            bars.append(_bar(unit, kind, number, start / widest, share / widest, y))
            start += share
    limit = tag("line", x1=pct(kind.limit / widest), x2=pct(kind.limit / widest), y1=y - 4, y2=y + BAR + 4,
                class_="limit")
    words = (f"{numbers.percent(kind.share)} · {_amount(kind.used)} of {_amount(kind.available)}, "
             f"limit {numbers.percent(kind.limit, 0)}")
    return (row_label(kind.title, y + 14) + tag("rect", x="0%", y=y, width=pct(1 / widest), height=BAR, class_="room")
            + "".join(bars) + limit + tag("text", text(words), x="0%", y=y - 4, class_="tick"))


def _bar(unit: Unit, kind: Kind, number: int, start: float, width: float, y: float) -> str:
    amount = unit.amounts[kind.name]
    tip = [f"{unit.name}{f' × {unit.count}' if unit.count > 1 else ''}", f"{_amount(amount)} {kind.title}",
           f"{numbers.percent(amount / kind.available, 2)} of the board"]
    return mark("rect", value=amount, tip=tip, x=pct(start), y=y, width=pct(width), height=BAR, fill=_colour(number),
                class_="mark seg")


def _amount(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0") if value < 1000 else f"{value:,.0f}"


def _table(fill: Fill) -> str:
    kinds = fill.kinds
    rows: list[tuple[object, ...]] = [
        (unit.name, str(unit.count), *((_amount(unit.amounts[kind.name]), unit.amounts[kind.name], None)
                                       for kind in kinds)) for unit in fill.units]
    rows += [("total", "", *((_amount(kind.used), kind.used, f"total/{kind.name}" if fill.own else None)
                             for kind in kinds)),
             (fill.board, "", *((_amount(kind.available), kind.available, None) for kind in kinds)),
             ("share", "", *((numbers.percent(kind.share), kind.share, fill.key_of(kind)) if kind.available else "none"
                             for kind in kinds)),
             ("limit", "", *(numbers.percent(kind.limit, 0) for kind in kinds))]
    return table(("unit", "count", *(kind.title for kind in kinds)), rows)
