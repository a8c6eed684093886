"""Cycles per layer and step, and where they go."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flows.dashboard import numbers
from flows.dashboard.charts.breakdown import NAMES
from flows.dashboard.data import RunView
from flows.dashboard.figures.style import COLUMN, new_figure, thousands
from flows.dashboard.palette import KINDS, LIGHT, kind_of, layer_of, step_colour
from flows.dashboard.parts import Step


def cycles_figure(view: RunView) -> Figure | None:
    """A row per layer: measured cycles thick, the cycle model's thin and pale."""
    if not view.steps:
        return None
    layers = list(dict.fromkeys(layer_of(step.name) for step in view.steps))
    measured = all(step.cycles is not None for step in view.steps)
    figure, axes = new_figure(COLUMN, 0.95 + 0.19 * len(layers))
    for row, layer in enumerate(layers):
        steps = [step for step in view.steps if layer_of(step.name) == layer]
        if measured:
            _bars(axes, steps, [step.cycles or 0 for step in steps], row - 0.12, 0.46, 1.0)
        _bars(axes, steps, [step.expected for step in steps], row + 0.27, 0.2, 0.55)
        total = sum((step.cycles if measured else step.expected) or 0 for step in steps)
        axes.text(total, row, f" {total:,}", va="center", fontsize=6)
    axes.set_yticks(range(len(layers)), [layer.replace("block", "block ") for layer in layers])
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_xlabel("cycles (thick: simulated RTL, thin: cycle model)" if measured else "cycles, cycle model")
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    thousands(axes)
    kinds = [kind for kind in KINDS if any(kind_of(step.name) == kind for step in view.steps)]
    figure.legend(handles=[Patch(color=LIGHT.kinds[KINDS.index(kind)], label=kind) for kind in kinds], ncols=4,
                  loc="outside upper center")
    return figure


def _bars(axes: Axes, steps: list[Step], values: list[int], y: float, height: float, alpha: float) -> None:
    left = 0
    for step, value in zip(steps, values, strict=True):
        axes.barh(y, value, height, left=left, color=step_colour(step.name), alpha=alpha, edgecolor="white",
                  linewidth=0.25)
        left += value


def breakdown_figure(view: RunView) -> Figure | None:
    """Cycles in which no row is streamed, by cause."""
    rest = view.parts[1:]
    if not rest:
        return None
    whole = sum(part.cycles for part in view.parts)
    figure, axes = new_figure(COLUMN, 0.6 + 0.16 * len(rest))
    axes.barh(range(len(rest)), [part.cycles for part in rest], 0.62, color=LIGHT.base)
    for row, part in enumerate(rest):
        axes.text(part.cycles, row, f" {part.cycles:,} ({numbers.percent(part.share, 2)})", va="center", fontsize=6)
    axes.set_yticks(range(len(rest)), [NAMES.get(part.name, part.name) for part in rest])
    axes.set_ylim(len(rest) - 0.4, -0.6)
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
    axes.set_title(
        f"{numbers.percent(view.parts[0].share, 2)} of {whole:,} cycles stream rows; the others:",
        loc="left",
        fontsize=7,
    )
    axes.set_xlabel("cycles")
    thousands(axes)
    return figure
