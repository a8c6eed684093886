"""MLP neuron pruning: whole hidden units go, with their row of fc1 and their column of fc2."""

from __future__ import annotations

from itertools import count

from torch import Tensor

from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK

State = dict[str, Tensor]


def neuron_norms(rows: Tensor, columns: Tensor) -> Tensor:
    """How much a hidden neuron counts: the norm of its fc1 row times the norm of its fc2 column.

    Scaling one up and the other down by the same factor changes neither its effect (where GELU is linear) nor its rank.

    Parameters
    ----------
    rows : weights of fc1 ``(hidden, D)``
    columns : weights of fc2 ``(D, hidden)``

    Returns
    -------
    float64 ``(hidden,)``
    """
    return rows.double().norm(dim=1) * columns.double().norm(dim=0)


def prune_neurons(state: State, keep: float) -> State:
    """Remove the least important hidden neurons of every MLP, see :func:`neuron_norms`.

    Parameters
    ----------
    state : weights with timm names; not changed
    keep : share of neurons to keep, 0 excluded; the number is rounded to a multiple of 16, at least 16

    Returns
    -------
    The weights with smaller ``mlp.fc1`` and ``mlp.fc2``; the neurons left are in their old order.

    Raises
    ------
    ConfigError
        When ``keep`` is not in 0..1.
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"keep_neurons must be above 0 and at most 1, not {keep}")
    pruned = dict(state)
    if keep == 1:
        return pruned
    for index in count():
        path = f"blocks.{index}.mlp"
        if f"{path}.fc1.weight" not in state:
            return pruned
        rows, columns = state[f"{path}.fc1.weight"], state[f"{path}.fc2.weight"]
        importance = neuron_norms(rows, columns)
        number = max(1, round(keep * len(importance) / BLOCK)) * BLOCK
        best = importance.sort(descending=True, stable=True).indices[:number].sort().values
        pruned[f"{path}.fc1.weight"] = rows[best]
        pruned[f"{path}.fc1.bias"] = state[f"{path}.fc1.bias"][best]
        pruned[f"{path}.fc2.weight"] = columns[:, best]
    raise AssertionError("unreachable")
