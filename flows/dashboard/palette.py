"""Colours of the dashboard, one table for the pages and the figures on paper.

Kinds of steps and clusters keep apart for eyes with any of the three dichromacies: a test simulates them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours of one theme as ``#rrggbb``.

    Attributes
    ----------
    page, surface, raised : backgrounds, from behind to front
    ink, muted, faint : text, secondary text, grid lines
    accent : the run that the page is about, and the focus ring
    good, bad : verdicts
    base : marks that need no colour of their own
    kinds : kinds of steps, the keys of :data:`KINDS`
    """

    page: str
    surface: str
    raised: str
    ink: str
    muted: str
    faint: str
    accent: str
    good: str
    bad: str
    base: str
    kinds: tuple[str, ...]


KINDS = ("embed", "qkv", "score", "context", "proj", "fc1", "fc2", "head")
"""Kinds of steps in the order they run, and of the colours in a theme."""

LIGHT = Theme(page="#f4f5f7", surface="#ffffff", raised="#eef0f3", ink="#16191f", muted="#59616e", faint="#dde1e7",
              accent="#c2410c", good="#17724a", bad="#b3261e", base="#5f7fa6",
              kinds=("#4c3142", "#132b72", "#9398b1", "#258b5b", "#8ae189", "#f7b90d", "#c65f0d", "#a762cd"))
DARK = Theme(page="#0f1216", surface="#171b21", raised="#20262e", ink="#e8ebef", muted="#9aa4b2", faint="#2c333d",
             accent="#ff8f4d", good="#5cc995", bad="#ff8a80", base="#7f9fc8",
             kinds=("#8f9fb6", "#195b91", "#c1f7f6", "#3ead7a", "#f7eba5", "#f7ab12", "#b6481a", "#c486f2"))

CLUSTERS = ("#1750a5", "#edbd13", "#2d9c6c", "#cb600d", "#9ca6f7", "#887497", "#8bec93", "#5d310d",
            "#3a3f8f", "#f2cf6b", "#4fb3a5", "#df8f7a", "#b9dcf5", "#c19fd0", "#5f8f57", "#a89468")
"""Colours of the clusters 0 to 15, the same in both themes. Up to eight tell themselves apart; more are also told by
hovering."""


def kind_of(step: str) -> str:
    """Kind of a step by its name: ``"block3.score.1"`` is a ``"score"``."""
    parts = step.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def layer_of(step: str) -> str:
    """What a step belongs to: ``"embed"``, ``"block3"`` or ``"head"``."""
    return step.split(".", maxsplit=1)[0]


def step_colour(step: str, theme: Theme = LIGHT) -> str:
    """Colour of a step's kind."""
    kind = kind_of(step)
    return theme.kinds[KINDS.index(kind)] if kind in KINDS else theme.base
