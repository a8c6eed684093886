"""Importance of a block by the size of its weights."""

from __future__ import annotations

from torch import Tensor

from algo.prune.scores import register_scores


@register_scores("magnitude")
def magnitude(weight: Tensor, block: tuple[int, int]) -> Tensor:
    """Root mean square of the weights of each block.

    Parameters
    ----------
    weight : ``(out, in)``
    block : rows and columns of a block

    Returns
    -------
    ``(out / rows, in / columns)``
    """
    rows, columns = block
    tiles = weight.double().reshape(weight.shape[0] // rows, rows, weight.shape[1] // columns, columns)
    return tiles.square().mean(dim=(1, 3)).sqrt()
