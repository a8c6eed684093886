"""Order of the channels inside a block of the network: free to choose, and it decides which weights share a block.

Hidden neurons may stand in any order, and within a head the channels of queries and, alike, of keys, and those of
values together with the projection's columns. The network computes the same. When channels of like importance stand
together, whole blocks matter little, and pruning blocks costs less accuracy (the idea of channel permutation for sparse
tensor cores: Pool and Yu, NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from flows.contracts.errors import ConfigError

State = dict[str, Tensor]
Order = Mapping[str, np.ndarray]
"""``"blocks.3.mlp"`` to the new order of its hidden neurons ``(hidden,)``; ``"blocks.3.pairs"`` to that of the channels
of queries and keys, ``"blocks.3.values"`` to that of the values: ``(D,)``, where channels stay within their head."""


def reorder(state: State, order: Order) -> State:
    """The same network with its channels in another order.

    Raises
    ------
    ConfigError
        When an order does not fit the network.
    """
    changed = dict(state)
    for name, index in order.items():
        path, _, kind = name.rpartition(".")
        rows = {"mlp": f"{path}.mlp.fc1", "pairs": f"{path}.attn.qkv", "values": f"{path}.attn.qkv"}.get(kind)
        if rows is None or f"{rows}.weight" not in state:
            raise ConfigError(f"the plan orders {name}, which the network does not have")
        full = row_order(kind, index)
        if sorted(full) != list(range(len(state[f"{rows}.weight"]))):
            raise ConfigError(f"the plan's order of {name} does not fit the network")
        for part in ("weight", "bias"):
            if f"{rows}.{part}" in state:
                changed[f"{rows}.{part}"] = changed[f"{rows}.{part}"][torch.from_numpy(full)]
        columns = {"mlp": f"{path}.mlp.fc2.weight", "values": f"{path}.attn.proj.weight"}.get(kind)
        if columns is not None:
            changed[columns] = changed[columns][:, torch.from_numpy(index)].contiguous()
    return changed


def row_order(kind: str, index: np.ndarray) -> np.ndarray:
    """Order of the rows of fc1 (``"mlp"``), or of queries, keys and values (``"pairs"``, ``"values"``)."""
    if kind == "mlp":
        return np.asarray(index)
    width = len(index)
    same = np.arange(width)
    parts = (index, index, same) if kind == "pairs" else (same, same, index)
    return np.concatenate([part + start * width for start, part in enumerate(parts)])


def by_importance(importance: np.ndarray, heads: int = 1) -> np.ndarray:
    """Order with the most important channel first, within each of ``heads`` equal parts."""
    parts = importance.reshape(heads, -1)
    order = np.argsort(-parts, axis=1, kind="stable")
    return (order + np.arange(heads)[:, None] * parts.shape[1]).ravel()
