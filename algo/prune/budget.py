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

ATTEMPTS = 4
"""Networks made from sketches, at most."""


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

    A family whose networks take long to make may have a second function, ``sketch``, for a network of the same cost as
    that of ``at`` (or nearly); the search then looks at sketches, and only its result is made.

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
    sketch: Callable[[float], Pruned] | None = getattr(family, "sketch", None)
    target = limit
    for _ in range(ATTEMPTS):
        found = _search(sketch or family.at, cost, target, within, steps)
        if found is None:
            break
        if sketch is None:
            return found
        pruned = family.at(found.share)
        made = Fitted(pruned, found.share, cost(pruned))
        if made.cost <= limit:
            return made
        # Where equal counts of parts do not cost exactly the same, aim lower by what was too much.
        target = found.cost - (made.cost - limit)
    smallest = cost(family.at(0.0))
    raise ConfigError(f"no plan meets {limit:g} {unit}: even the smallest network needs {smallest:g}; "
                      "raise the budget")


def _search(at: Callable[[float], Pruned], cost: Cost, limit: float, within: float, steps: int) -> Fitted | None:
    low, high, found = 0.0, 1.0, None
    for _ in range(steps):
        share = (low + high) / 2
        pruned = at(share)
        candidate = Fitted(pruned, share, cost(pruned))
        if candidate.cost > limit:
            high = share
            continue
        low = share
        if found is None or candidate.cost > found.cost:
            found = candidate
        if found.cost >= (1 - within) * limit:
            break
    return found
