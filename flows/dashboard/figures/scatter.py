"""Scatters of sweeps and searches with their Pareto front."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from flows.dashboard.data import RunView
from flows.dashboard.figures.style import COLUMN, new_figure, thousands
from flows.dashboard.palette import CLUSTERS, LIGHT

MARKERS = ("o", "s", "^", "D", "v", "P")


def scatter_figure(index: int) -> Callable[[RunView], Figure | None]:
    """The function that draws the scatter with that number."""
    def draw(view: RunView) -> Figure | None:
        if index >= len(view.clouds):
            return None
        cloud = view.clouds[index]
        figure, axes = new_figure(COLUMN, 2.6)
        for number, series in enumerate(cloud.series):
            colour = LIGHT.accent if series == "this run" else CLUSTERS[number % 16]
            for measured, face in ((False, "white"), (True, colour)):
                points = [point for point in cloud.points if point.series == series and point.measured is measured]
                axes.scatter([point.x for point in points], [point.y for point in points], s=13, linewidths=0.7,
                             marker=MARKERS[number % len(MARKERS)], facecolors=face, edgecolors=colour, zorder=2,
                             alpha=1.0, label=series if measured is any(
                                 point.measured for point in cloud.points if point.series == series) else None)
        front = cloud.front
        axes.step([point.x for point in front], [point.y for point in front], where="post", color=LIGHT.ink,
                  linewidth=0.8, zorder=1)
        axes.set_xscale("log")
        thousands(axes)
        axes.xaxis.set_minor_formatter(NullFormatter())
        if cloud.y_share:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel(cloud.x_title)
        axes.set_ylabel(cloud.y_title)
        axes.legend(loc="best")
        return figure

    return draw
