"""Block pruning by the size of the weights: the baseline of every other method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from algo.prune.blocks import State, layer_names, prune_blocks
from algo.prune.methods import Subject, register_method, weights_of
from algo.prune.plan import Pruned, PruningPlan
from algo.prune.scores import magnitude
from flows.contracts.hardware import BLOCK, ceil_div

__all__ = ["balanced_counts", "by_balanced_magnitude", "by_magnitude", "magnitude"]

SMALLEST = 1e-9
"""Share that stands for nothing left; every matrix keeps a block."""


@dataclass(frozen=True, eq=False)
class MagnitudeFamily:
    """The same share of blocks in every matrix; queries, keys and values count as matrices."""

    state: State

    def at(self, share: float) -> Pruned:
        """The network with ``share`` of the blocks of every matrix."""
        state, masks = prune_blocks(self.state, max(share, SMALLEST))
        return Pruned(PruningPlan("magnitude", blocks=masks), state, masks)


@dataclass(frozen=True, eq=False)
class BalancedFamily:
    """As many blocks in every output column of a matrix, as nearly the same share in all matrices as that allows."""

    state: State

    def at(self, share: float) -> Pruned:
        """The network with at most ``share`` of all blocks, but at least one in every output column."""
        shapes = {name: tuple(ceil_div(edge, BLOCK) for edge in self.state[f"{name}.weight"].shape)
                  for name in layer_names(self.state)}
        counts = balanced_counts(shapes, share)
        keep: dict[int | str, float] = {name: count / shapes[name][1] for name, count in counts.items()}
        state, masks = prune_blocks(self.state, keep, balanced=True)
        return Pruned(PruningPlan("balanced_magnitude", blocks=masks), state, masks)


def balanced_counts(shapes: Mapping[str, tuple[int, ...]], share: float) -> dict[str, int]:
    """Blocks per output column of each layer: ``share`` of them rounded down, and the rest to the largest remainders.

    Parameters
    ----------
    shapes : rows (outputs) and columns (inputs) of each layer, in blocks
    share : of all blocks, an upper limit as long as it leaves every output column one
    """
    wanted = {name: share * columns for name, (_, columns) in shapes.items()}
    counts = {name: max(1, math.floor(value + 1e-9)) for name, value in wanted.items()}
    left = share * sum(math.prod(shape) for shape in shapes.values()) + 1e-6
    left -= sum(counts[name] * rows for name, (rows, _) in shapes.items())
    for name in sorted(shapes, key=lambda name: counts[name] - wanted[name]):
        rows, columns = shapes[name]
        if rows <= left and counts[name] < columns:
            counts[name] += 1
            left -= rows
    return counts


@register_method("magnitude", needs="nothing")
def by_magnitude(subject: Subject) -> MagnitudeFamily:
    """The blocks with the smallest weights go, the same share in every matrix."""
    return MagnitudeFamily(weights_of(subject))


@register_method("balanced_magnitude", needs="nothing")
def by_balanced_magnitude(subject: Subject) -> BalancedFamily:
    """As magnitude, with as many blocks in every output column, so that parallel clusters are equally busy."""
    return BalancedFamily(weights_of(subject))
