"""The figures at the top of a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flows.dashboard.markup import full, tag, text
from flows.dashboard.parts import Headline

WIDEST = 7
"""Tiles in a line."""


def headline(figures: Sequence[Headline]) -> str:
    """A tile per figure; nothing without any."""
    if not figures:
        return ""
    tiles = [tag("div", tag("dt", text(item.label)),
                 tag("dd", tag("b", _with_unit(item), data_value=None if item.value is None else full(item.value),
                               data_key=item.key), tag("span", text(item.note))), class_="tile") for item in figures]
    lines = math.ceil(len(tiles) / WIDEST)
    return tag("dl", *tiles, class_="headline", style=f"--columns:{math.ceil(len(tiles) / lines)}")


def _with_unit(item: Headline) -> str:
    """The number large, its unit small."""
    words, _, unit = item.text.partition(" ")
    return (
        text(item.text)
        if item.value is None or unit == "%"
        else text(words) + (f" {tag('small', text(unit))}" if unit else "")
    )
