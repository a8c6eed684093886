"""Registry of block scores: functions from a weight matrix to the importance of each of its blocks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from algo.registry import Registry

BlockScores = Callable[[Tensor, tuple[int, int]], Tensor]
"""``(weight (out, in), (rows, columns) of a block) -> importance (out / rows, in / columns)``."""

_SCORES: Registry[BlockScores] = Registry("block scores")


def register_scores(name: str) -> Callable[[BlockScores], BlockScores]:
    """Decorator: make a score function known as ``name``."""

    def register(function: BlockScores) -> BlockScores:
        _SCORES.add(name, function)
        return function

    return register


def score_names() -> list[str]:
    """Registered names, sorted."""
    return _SCORES.names()


def block_scores(name: str) -> BlockScores:
    """The function registered as ``name``.

    Raises
    ------
    ConfigError
        When there is none.
    """
    return _SCORES.find(name)


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
