"""Resources by unit against the board."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flows.dashboard import numbers
from flows.dashboard.charts.resources import NAMED, ORDER
from flows.dashboard.data import RunView
from flows.dashboard.figures.style import COLUMN, new_figure
from flows.dashboard.palette import LIGHT


def resources_figure(view: RunView) -> Figure | None:
    """A bar per kind in percent of the board; a line marks what a design should take at most."""
    fill = view.fill
    if fill is None:
        return None
    kinds = [kind for kind in fill.kinds if kind.available]
    figure, axes = new_figure(COLUMN, 0.95 + 0.24 * len(kinds))
    for row, kind in enumerate(kinds):
        left = 0.0
        for number, unit in enumerate(fill.units):
            share = 100 * unit.amounts[kind.name] / kind.available
            axes.barh(row, share, 0.55, left=left, color=_colour(number), edgecolor="white", linewidth=0.25)
            left += share
        axes.vlines(100 * kind.limit, row - 0.4, row + 0.4, color=LIGHT.ink, linewidth=0.9, linestyles="dashed")
        axes.text(left + 1, row, numbers.percent(kind.share), va="center", fontsize=6)
    axes.set_yticks(range(len(kinds)), [kind.title for kind in kinds])
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.set_xlim(0, max(100, 104 * max(kind.share for kind in kinds)))
    axes.set_xlabel(f"% of {fill.board}, {fill.source}")
    named = [Patch(color=_colour(index), label=unit.name) for index, unit in enumerate(fill.units[:NAMED])]
    figure.legend(handles=[*named, Patch(color=LIGHT.muted, label="other")], loc="outside upper center", ncols=3)
    return figure


def _colour(number: int) -> str:
    return LIGHT.kinds[ORDER[number]] if number < NAMED else LIGHT.muted
