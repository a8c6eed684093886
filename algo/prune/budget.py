"""Budgets: the largest network of a family that costs no more than allowed.

The cost is any function of a pruned network: multiplications (:mod:`algo.macs`), or the cycles that the compiler
predicts for a hardware configuration (``flows.cycle_cost``), which is what makes pruning aware of the hardware.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from algo.prune.methods import Family
from algo.prune.plan import Pruned
from flows.contracts.errors import ConfigError

Cost = Callable[[Pruned], float]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A network that meets its budget.

    Attributes
    ----------
    pruned : the network
    share : of the family
    cost : what it costs, in units of the budget
    """

    pruned: Pruned
    share: float
    cost: float


def fit(family: Family, cost: Cost, limit: float, *, unit: str = "", within: float = 0.002, steps: int = 16) -> Fitted:
    """The largest network of ``family`` whose cost is at most ``limit``, by bisection of the share.

    Parameters
    ----------
    cost : of a network; roughly monotone in the share
    limit : most it may cost
    unit : of the cost, for the error
    within : stop as soon as the cost is above ``(1 - within) * limit``
    steps : networks looked at, at most

    Raises
    ------
    ConfigError
        When even the smallest network costs more.
    """
    dense = family.at(1.0)
    best = Fitted(dense, 1.0, cost(dense))
    if best.cost <= limit:
        return best
    low, high, found = 0.0, 1.0, None
    for _ in range(steps):
        share = (low + high) / 2
        pruned = family.at(share)
        candidate = Fitted(pruned, share, cost(pruned))
        if candidate.cost > limit:
            high = share
            continue
        low = share
        if found is None or candidate.cost > found.cost:
            found = candidate
        if found.cost >= (1 - within) * limit:
            return found
    if found is None:
        smallest = cost(family.at(0.0))
        raise ConfigError(f"no plan meets {limit:g} {unit}: even the smallest network needs {smallest:g}; "
                          "raise the budget")
    return found
