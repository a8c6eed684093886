"""What of a network stays: the one description that every pruning method produces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from algo.prune.order import reorder
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK, ceil_div

State = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class PruningPlan:
    """Kept parts of a ViT. What a mapping does not name stays.

    Attributes
    ----------
    method : registry name of the method that made it
    blocks : layer name (``"blocks.3.mlp.fc1"``) to bool ``(out / 16, in / 16)``, on the grid of the layer that is left
        after ``neurons`` are gone
    neurons : block number to bool ``(hidden,)``, the kept hidden units of its MLP; their number is a multiple of 16
    heads : block number to bool ``(heads,)``
    pairs : block number to bool ``(heads, head width)``, the kept channels of queries and, alike, of keys
    values : block number to bool ``(heads, head width)``, the kept channels of values
    order : order of channels that everything above refers to, see :mod:`algo.prune.order`; the old one by default
    """

    method: str
    blocks: Mapping[str, np.ndarray] = field(default_factory=dict)
    neurons: Mapping[int, np.ndarray] = field(default_factory=dict)
    heads: Mapping[int, np.ndarray] = field(default_factory=dict)
    pairs: Mapping[int, np.ndarray] = field(default_factory=dict)
    values: Mapping[int, np.ndarray] = field(default_factory=dict)
    order: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Pruned:
    """A plan, and the weights it leaves: same names as before, zero where pruned, hidden neurons removed.

    Attributes
    ----------
    plan : what stays
    state : weights with timm names
    masks : kept 16x16 blocks of every layer that lost some: bool ``(out / 16, in / 16)``
    """

    plan: PruningPlan
    state: State
    masks: Mapping[str, np.ndarray]


def apply_plan(state: State, plan: PruningPlan) -> Pruned:
    """Put the channels of ``state`` into the plan's order and take out everything that it does not keep.

    A head that goes leaves zero rows (weights and biases) in queries, keys and values, and zero columns in the
    projection. Kept channels of a head move to its front, in their order, so that the others leave whole blocks empty:
    queries and keys alike, which leaves their products as they are; values together with the projection's columns.

    Parameters
    ----------
    state : weights of a dense ViT with timm names; not changed

    Raises
    ------
    ConfigError
        When the plan does not fit the network, or keeps a number of neurons that is no multiple of 16.
    """
    pruned = reorder(state, plan.order)
    for layer, kept in plan.neurons.items():
        _remove_neurons(pruned, layer, kept)
    for layer in sorted({*plan.heads, *plan.pairs, *plan.values}):
        _prune_attention(pruned, layer, plan)
    for name, mask in plan.blocks.items():
        weight = pruned[f"{name}.weight"]
        pruned[f"{name}.weight"] = (weight.flatten(1) * expand(mask, weight)).reshape(weight.shape)
    return Pruned(plan, pruned, zero_block_masks(pruned))


def expand(mask: np.ndarray, weight: Tensor) -> Tensor:
    """A block mask as one value per weight: bool ``(out, in)``.

    Raises
    ------
    ConfigError
        When the mask is not of the weight's size.
    """
    rows, columns = weight.shape[0], weight[0].numel()
    if mask.shape != (ceil_div(rows, BLOCK), ceil_div(columns, BLOCK)):
        raise ConfigError(f"a block mask is {mask.shape}, the layer has {rows}x{columns} weights; they do not fit")
    full = torch.from_numpy(np.ascontiguousarray(mask)).repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    return full[:rows, :columns]


def kept_weights(weight: Tensor, mask: np.ndarray | None) -> int:
    """Weights of a layer in kept blocks; all of them without a mask."""
    return weight.numel() if mask is None else int(expand(mask, weight).sum())


def zero_block_masks(state: State) -> dict[str, np.ndarray]:
    """Masks of the linear layers of ``state`` that have 16x16 blocks of zeros: what is zero is pruned.

    Returns
    -------
    Layer name to bool ``(out / 16, in / 16)``, True where a block holds a weight; layers without empty blocks are left
    out.
    """
    masks = {}
    for key, weight in state.items():
        if not key.endswith(".weight") or weight.dim() < 2:
            continue
        matrix = (weight.detach().flatten(1) != 0).float()
        padding = (0, -matrix.shape[1] % BLOCK, 0, -matrix.shape[0] % BLOCK)
        tiles = torch.nn.functional.pad(matrix, padding)
        mask = torch.nn.functional.max_pool2d(tiles[None, None], BLOCK)[0, 0].bool().numpy()
        if not mask.all():
            masks[key.removesuffix(".weight")] = mask
    return masks


def _remove_neurons(state: State, layer: int, kept: np.ndarray) -> None:
    path = f"blocks.{layer}.mlp"
    if f"{path}.fc1.weight" not in state or kept.shape != (len(state[f"{path}.fc1.bias"]),):
        raise ConfigError(f"the plan keeps neurons of {path}, which the network does not have in that number")
    if not kept.any() or kept.sum() % BLOCK:
        raise ConfigError(f"the plan keeps {kept.sum()} neurons of {path}; keep a multiple of {BLOCK}")
    index = torch.from_numpy(np.flatnonzero(kept))
    state[f"{path}.fc1.weight"] = state[f"{path}.fc1.weight"][index]
    state[f"{path}.fc1.bias"] = state[f"{path}.fc1.bias"][index]
    state[f"{path}.fc2.weight"] = state[f"{path}.fc2.weight"][:, index]


def _prune_attention(state: State, layer: int, plan: PruningPlan) -> None:
    """Heads and channels of one block."""
    path = f"blocks.{layer}.attn"
    shapes = [mapping[layer].shape for mapping in (plan.pairs, plan.values) if layer in mapping]
    width = state[f"{path}.proj.weight"].shape[0]
    heads = shapes[0][0] if shapes else len(plan.heads[layer])
    if width % heads or any(shape != (heads, width // heads) for shape in shapes):
        raise ConfigError(f"the plan of {path} does not fit a network {width} wide with {heads} heads")
    alive = plan.heads.get(layer, np.ones(heads, dtype=bool))[:, None]
    whole = np.ones((heads, width // heads), dtype=bool)
    pairs, values = plan.pairs.get(layer, whole) & alive, plan.values.get(layer, whole) & alive
    (pair_order, pair_kept), (value_order, value_kept) = _front(pairs), _front(values)
    for kind in ("weight", "bias"):
        if f"{path}.qkv.{kind}" not in state:
            continue
        query, key, value = state[f"{path}.qkv.{kind}"].chunk(3)
        parts = [_take(query, pair_order, pair_kept), _take(key, pair_order, pair_kept),
                 _take(value, value_order, value_kept)]
        state[f"{path}.qkv.{kind}"] = torch.cat(parts)
    projection = _take(state[f"{path}.proj.weight"].T, value_order, value_kept)
    state[f"{path}.proj.weight"] = projection.T.contiguous()


def _front(kept: np.ndarray) -> tuple[Tensor, Tensor]:
    """Order that moves the kept channels of each head to its front, and what is kept in that order."""
    order = np.argsort(~kept, axis=1, kind="stable")
    start = np.arange(len(kept))[:, None] * kept.shape[1]
    return torch.from_numpy((order + start).ravel()), torch.from_numpy(np.take_along_axis(kept, order, 1).ravel())


def _take(rows: Tensor, order: Tensor, kept: Tensor) -> Tensor:
    return rows[order] * kept.reshape(-1, *[1] * (rows.dim() - 1))
