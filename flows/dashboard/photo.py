"""What the network saw, and which patches it dropped after which block."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.dashboard import match
from flows.runs import Kept


@dataclass(frozen=True)
class Stage:
    """A block of the encoder.

    Attributes
    ----------
    alive, kept : patches entering the block, and those alive after it
    fused : whether a token stands for the dropped ones after it
    attention : by patch, the share of the class token's attention, mean of the heads
    fused_attention : what fused tokens have of it; all together are 1
    """

    alive: tuple[int, ...]
    kept: tuple[int, ...]
    fused: bool
    attention: Mapping[int, float]
    fused_attention: float


@dataclass(frozen=True)
class Photo:
    """The picture and its stages.

    Attributes
    ----------
    png : the picture
    rows, columns : patches
    stages : one per block
    """

    png: bytes
    rows: int
    columns: int
    stages: tuple[Stage, ...]

    @property
    def uri(self) -> str:
        """The picture as an address for a page."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    @property
    def drops(self) -> tuple[int, ...]:
        """Blocks after which fewer patches are alive."""
        return tuple(index for index, stage in enumerate(self.stages) if len(stage.kept) < len(stage.alive))


def photo_of(kept: Kept, details: Mapping[str, Any]) -> Photo | None:
    """The photograph of a run; None when the picture or the details are missing."""
    png, grid, blocks = match.picture_of(kept), details.get("grid"), details.get("blocks")
    if png is None or not grid or not blocks:
        return None
    stages = tuple(Stage(tuple(block["alive"]), tuple(block["kept"]), bool(block["fused"]),
                         {int(patch): float(share) for patch, share in block["attention"].items()},
                         float(block.get("fused_attention", 0.0)))
                   for block in blocks)
    return Photo(png, grid[0], grid[1], stages)
