"""The roofline with the run and its steps."""

from __future__ import annotations

from matplotlib.figure import Figure

from flows.dashboard.data import RunView
from flows.dashboard.figures.style import COLUMN, new_figure, thousands
from flows.dashboard.palette import KINDS, LIGHT, kind_of


def roofline_figure(view: RunView) -> Figure | None:
    """Useful MACs per cycle over useful MACs per byte, both logarithmic."""
    roof = view.roofline
    if roof is None:
        return None
    figure, axes = new_figure(COLUMN, 2.5)
    low = min(roof.ridge, *(dot.intensity for dot in roof.steps)) / 1.6
    high = max(roof.ridge, *(dot.intensity for dot in roof.steps)) * 1.6
    axes.plot([low, roof.ridge, high], [low * roof.bandwidth, roof.peak, roof.peak], color=LIGHT.ink, linewidth=1,
              zorder=1)
    for kind in KINDS:
        dots = [dot for dot in roof.steps if kind_of(dot.name) == kind]
        if dots:
            axes.scatter([dot.intensity for dot in dots], [dot.rate for dot in dots], s=9, linewidths=0.3, label=kind,
                         color=LIGHT.kinds[KINDS.index(kind)], edgecolors="white", zorder=2)
    axes.scatter([roof.run.intensity], [roof.run.rate], s=34, marker="D", color=LIGHT.accent, edgecolors="white",
                 linewidths=0.5, label="run", zorder=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(min(roof.peak / 8, *(dot.rate for dot in roof.steps)) / 1.5, roof.peak * 1.6)
    thousands(axes, "x")
    thousands(axes, "y")
    axes.set_xlabel("useful MACs per byte from memory")
    axes.set_ylabel("useful MACs per cycle")
    axes.annotate(f"array {roof.peak:,} MACs/cycle", (high, roof.peak), (0, 3), textcoords="offset points", ha="right",
                  fontsize=6)
    axes.annotate(f"memory {roof.bandwidth:g} B/cycle", (roof.ridge / 8, roof.peak / 8), (5, -6),
                  textcoords="offset points", fontsize=6)
    axes.legend(loc="lower right", ncols=2)
    return figure
