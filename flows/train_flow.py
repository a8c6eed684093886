"""Training under a budget of multiplications or cycles: joins :mod:`algo.train` with what a network costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from algo.prune.masking import Masks
    from algo.train.recipe import Budget, Recipe


def share_of(recipe: Recipe) -> Callable[[Budget, Masks], float]:
    """The function that turns a recipe's budget into the share of weights that meets it.

    It is asked twice: before the first step, when scores still say nothing and only the number of blocks counts, and
    when the mask is frozen. Then the plan itself is compiled for the hardware, so that the trained network meets the
    budget.
    """

    def share(budget: Budget, masks: Masks) -> float:
        from algo.macs import count_work
        from algo.prune.budget import fit
        from algo.train.tokens import final_drops
        from flows.cycle_cost import cycle_cost

        network = masks.network
        heads, drops = network.blocks[0].attn.num_heads, final_drops(network, recipe.tokens)
        if budget.cycles is not None:
            cost = cycle_cost(recipe.model, network, drops, clusters=budget.clusters,
                              hardware={"groups": budget.groups, **budget.hardware})
            return fit(masks, cost, budget.cycles, unit="cycles").share
        assert budget.macs is not None
        limit = budget.macs * count_work(network.state_dict(), heads, drops).macs
        return fit(masks, lambda pruned: count_work(pruned.state, heads, drops).macs, limit, unit="MACs").share

    return share
