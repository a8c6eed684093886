"""The family of plans of methods that score heads and neurons: Kwon's and OPTIN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from algo.prune.knapsack import Scores, neuron_masks, select, unit_costs
from algo.prune.methods import Subject, weights_of
from algo.prune.plan import Pruned, PruningPlan, apply_plan

State = dict[str, Tensor]
Kept = dict[int, np.ndarray]
Rearrange = Callable[[Kept, Kept], tuple[Kept, Kept]]
Tune = Callable[[Kept, Kept], State]


@dataclass(frozen=True, eq=False)
class UnitFamily:
    """Heads and groups of 16 neurons chosen by a knapsack over their importance.

    Attributes
    ----------
    method : registry name
    subject : network and images
    heads : importance of the heads per block
    members, groups : neurons of each group, and the importance of the groups, per block
    rearrange : chooses other units of the same numbers, when there is a better choice
    tune : weights of the dense network for given heads and neurons; the dense ones by default
    """

    method: str
    subject: Subject
    heads: Scores
    members: list[np.ndarray]
    groups: Scores
    rearrange: Rearrange | None = None
    tune: Tune | None = None

    def at(self, share: float) -> Pruned:
        """The network with ``share`` of the multiplications of all heads and neurons."""
        heads, neurons = self._kept(share)
        if self.rearrange is not None:
            heads, neurons = self.rearrange(heads, neurons)
        state = weights_of(self.subject) if self.tune is None or not (heads or neurons) else self.tune(heads, neurons)
        return apply_plan(state, PruningPlan(self.method, heads=heads, neurons=neurons))

    def sketch(self, share: float) -> Pruned:
        """As many units as :meth:`at` keeps, without the work on the weights that are left."""
        heads, neurons = self._kept(share)
        return apply_plan(weights_of(self.subject), PruningPlan(self.method, heads=heads, neurons=neurons))

    def _kept(self, share: float) -> tuple[Kept, Kept]:
        head_costs, neuron_costs = unit_costs(self.subject)
        total = sum(cost * len(part) for cost, part in zip(head_costs, self.heads, strict=True))
        total += sum(cost * len(part) for cost, part in zip(neuron_costs, self.groups, strict=True))
        # a millionth more, so that the sums' rounding does not cost the last unit
        heads, groups = select(self.heads, self.groups, head_costs, neuron_costs, share * total * (1 + 1e-6))
        neurons = neuron_masks(self.members, groups)
        return ({index: mask for index, mask in enumerate(heads) if not mask.all()},
                {index: mask for index, mask in enumerate(neurons) if not mask.all()})
