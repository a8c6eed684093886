"""The schedule in time, and the busy share of the clusters."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flows.dashboard import numbers
from flows.dashboard.data import RunView
from flows.dashboard.figures.style import COLUMN, PAGE, new_figure, thousands
from flows.dashboard.palette import CLUSTERS, KINDS, LIGHT, kind_of, step_colour
from flows.dashboard.slots import Timeline

PIXELS = 2000


def timeline_figure(view: RunView) -> Figure | None:
    """Each cluster a row; colour is the kind of step, paler where part of the cycles are not used."""
    line = view.timeline
    if line is None:
        return None
    figure, axes = new_figure(PAGE, 0.62 + 0.2 * len(line.outputs))
    axes.imshow(_pixels(line), aspect="auto", interpolation="nearest",
                extent=(0, line.total, len(line.outputs) - 0.5, -0.5))
    axes.hlines(np.arange(1, len(line.outputs)) - 0.5, 0, line.total, color="white", linewidth=1.2)
    axes.set_yticks(range(len(line.outputs)), [f"cluster {index}" for index in range(len(line.outputs))])
    axes.set_xlabel("cycles")
    thousands(axes)
    kinds = [kind for kind in KINDS if any(kind_of(name) == kind for name in line.names)]
    figure.legend(handles=[Patch(color=LIGHT.kinds[KINDS.index(kind)], label=kind) for kind in kinds],
                  loc="outside upper center", ncols=len(kinds))
    return figure


def balance_figure(view: RunView) -> Figure | None:
    """Share of the cycles in which each cluster multiplies rows."""
    line = view.timeline
    if line is None:
        return None
    shares = [100 * busy / line.total for busy in line.busy]
    figure, axes = new_figure(COLUMN, 0.45 + 0.17 * len(shares))
    axes.barh(range(len(shares)), shares, 0.66, color=[CLUSTERS[index % 16] for index in range(len(shares))])
    for row, share in enumerate(shares):
        axes.text(share, row, f" {numbers.percent(share / 100)}", va="center", fontsize=6)
    axes.set_yticks(range(len(shares)), [f"cluster {index}" for index in range(len(shares))])
    axes.set_ylim(len(shares) - 0.4, -0.6)
    axes.set_xlim(0, 112)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("busy / % of the cycles")
    return figure


def _pixels(line: Timeline) -> np.ndarray:
    """Colours, ``(clusters, PIXELS, 3)``: of the last step in a pixel, blended with white by the busy share."""
    colours = np.array([to_rgb(step_colour(name)) for name in line.names])
    image = np.ones((len(line.outputs), PIXELS, 3))
    begin, rows, steps = (np.array(values) for values in (line.cycle, line.rows, line.step))
    edges = np.linspace(0, line.total, PIXELS + 1)
    for index, outputs in enumerate(line.outputs):
        working = np.array(outputs) >= 0
        first, size = begin[working], rows[working]
        done = np.concatenate([[0], np.cumsum(size)])
        at = np.searchsorted(first, edges, side="right") - 1
        inside = np.where(at >= 0, np.minimum(edges - first[np.maximum(at, 0)], size[np.maximum(at, 0)]), 0)
        busy = np.diff(np.where(at >= 0, done[np.maximum(at, 0)] + inside, 0)) / np.diff(edges)
        colour = colours[steps[working][np.maximum(at[1:], 0)]]
        image[index] = 1 - busy[:, None] * (1 - colour)
    return image
