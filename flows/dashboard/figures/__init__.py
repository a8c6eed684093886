"""Figures for papers: the charts of a page as SVG and PNG, drawn with matplotlib on white."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from flows.dashboard.data import RunView
from flows.dashboard.figures import cycles, maps, photograph, resources, roofline, scatter, timeline
from flows.dashboard.figures.style import paper_style, save

DRAWN: dict[str, Callable[[RunView], Figure | None]] = {
    "cycles": cycles.cycles_figure, "breakdown": cycles.breakdown_figure, "timeline": timeline.timeline_figure,
    "balance": timeline.balance_figure, "roofline": roofline.roofline_figure, "blocks": maps.maps_figure,
    "photograph": photograph.photograph_figure, "resources": resources.resources_figure,
    **{f"scatter_{index}": scatter.scatter_figure(index) for index in range(4)}}
"""Figures by file name; a function gives None for a run that does not have it."""


def draw_figures(view: RunView, folder: Path) -> list[Path]:
    """Every figure that a run has, each as SVG and PNG; the same run gives the same bytes.

    Parameters
    ----------
    view : the run
    folder : where the files go
    """
    files = []
    for name, draw in DRAWN.items():
        with paper_style():
            figure = draw(view)
            if figure is not None:
                files += save(figure, folder / name)
    return files
