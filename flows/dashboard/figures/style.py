"""How figures look, and how they are saved: sizes of a two-column paper, small type, no frame, no date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from flows.contracts.files import replacing
from flows.dashboard import numbers
from flows.dashboard.palette import LIGHT

COLUMN, PAGE = 3.5, 7.16
"""Inches of a column and of a page of the IEEE's format."""

SETTINGS: Any = {"font.family": "DejaVu Sans", "font.size": 7, "axes.titlesize": 7.5, "axes.linewidth": 0.6,
            "axes.edgecolor": LIGHT.muted, "axes.labelcolor": LIGHT.ink, "xtick.color": LIGHT.muted,
            "ytick.color": LIGHT.muted, "xtick.labelcolor": LIGHT.ink, "ytick.labelcolor": LIGHT.ink,
            "xtick.major.width": 0.6, "ytick.major.width": 0.6, "legend.frameon": False, "legend.fontsize": 6.5,
            "svg.hashsalt": "sievit", "svg.fonttype": "none", "hatch.linewidth": 0.5}


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of that size in inches, with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


@contextmanager
def paper_style() -> Iterator[None]:
    """Drawing and saving happen in here: matplotlib's defaults and these settings, whatever the user's own are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def thousands(axes: Axes, which: str = "x") -> None:
    """Numbers of an axis as ``20k``."""
    getattr(axes, f"{which}axis").set_major_formatter(FuncFormatter(lambda value, _: numbers.short(value)))


def save(figure: Figure, path: Path) -> list[Path]:
    """Write ``path.svg`` and ``path.png`` (300 dots per inch); no dates and versions: equal figures are equal files."""
    files = []
    for ending, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        file = path.with_name(f"{path.name}.{ending}")
        with replacing(file) as part:
            figure.savefig(part, format=ending, dpi=300, metadata=metadata, facecolor="white")
        files.append(file)
    return files
