"""Multiplications and parameters of a plain ViT with pruned weights and dropped tokens.

Counted as the compiler counts useful MACs (``Step.useful_macs``): kept 16x16 blocks of weights for alive tokens,
padding left out; attention for all alive tokens; the CLS token takes no part in the patch embedding and is alone in the
head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from algo.prune.plan import kept_weights, zero_block_masks
from algo.tokens.count import alive_tokens
from flows.contracts.artifact import TokenDrop
from flows.contracts.hardware import BLOCK, ceil_div

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Work:
    """MACs of one image, and parameters.

    Attributes
    ----------
    embed, linear, attention, head : MACs of the patch embedding, of the linear layers of the blocks, of scores and
        contexts, and of the classifier
    parameters : in kept blocks, and everything that is no matrix
    tokens : alive in the MLP of each block
    """

    embed: int
    linear: int
    attention: int
    head: int
    parameters: int
    tokens: tuple[int, ...]

    @property
    def macs(self) -> int:
        """All multiplications of one image."""
        return self.embed + self.linear + self.attention + self.head


def count_work(
    state: State,
    heads: int,
    drops: Mapping[int, TokenDrop] | None = None,
    masks: Mapping[str, np.ndarray] | None = None,
    *,
    skip_unused: bool = True,
) -> Work:
    """MACs and parameters of the network with these weights.

    Parameters
    ----------
    state : weights with timm names; hidden neurons may have been removed
    heads : attention heads
    drops : token drop per block; a threshold drop counts as dropping nothing, which is its worst case
    masks : kept 16x16 blocks per layer; by default the blocks that are not all zero
    skip_unused : leave out attention that changes nothing: values and context of a column of 16 channels that the
        projection does not read, the scores of a head without a column that is read, products of queries and keys that
        are zero (but one per head). Where tokens are dropped, every head's scores count, and its first value column.
    """
    drops = drops or {}
    masks = zero_block_masks(dict(state)) if masks is None else masks
    kept = {name: kept_weights(state[f"{name}.weight"], masks.get(name)) for name in _matrices(state)}
    tokens = state["pos_embed"].shape[1]
    alive = alive_tokens(tokens, sum(name.endswith("mlp.fc1.weight") for name in state), drops)
    linear = attention = 0
    for index, (before, after) in enumerate(alive):
        path = f"blocks.{index}"
        pairs, values = _attention_columns(state, path, heads, masks, selects=index in drops, skip=skip_unused)
        used = np.concatenate([pairs.ravel(), pairs.ravel(), values.ravel()])
        attention += before**2 * BLOCK * int(pairs.sum() + values.sum())
        linear += before * (_weights_of_rows(state, f"{path}.attn.qkv", masks, used) + kept[f"{path}.attn.proj"])
        linear += after * (kept[f"{path}.mlp.fc1"] + kept[f"{path}.mlp.fc2"])
    others = sum(tensor.numel() for name, tensor in state.items() if name.removesuffix(".weight") not in kept)
    return Work(embed=(tokens - 1) * kept["patch_embed.proj"], linear=linear, attention=attention, head=kept["head"],
                parameters=sum(kept.values()) + others, tokens=tuple(after for _, after in alive))


def _matrices(state: State) -> list[str]:
    return [name.removesuffix(".weight") for name, tensor in state.items()
            if name.endswith(".weight") and tensor.dim() >= 2]


def _mask(state: State, name: str, masks: Mapping[str, np.ndarray]) -> np.ndarray:
    weight = state[f"{name}.weight"]
    return masks.get(name, np.ones((ceil_div(weight.shape[0], BLOCK), ceil_div(weight[0].numel(), BLOCK)), dtype=bool))


def _weights_of_rows(state: State, name: str, masks: Mapping[str, np.ndarray], rows: np.ndarray) -> int:
    """Kept weights in the block rows ``rows``."""
    return int(_mask(state, name, masks)[rows].sum()) * BLOCK**2


def _attention_columns(
    state: State, path: str, heads: int, masks: Mapping[str, np.ndarray], *, selects: bool, skip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Columns of 16 channels that are computed, bool ``(heads, columns)``: of queries and keys, and of values."""
    read = _mask(state, f"{path}.attn.proj", masks).any(axis=0).reshape(heads, -1)
    if not skip:
        return np.ones_like(read), np.ones_like(read)
    alive = _mask(state, f"{path}.attn.qkv", masks).any(axis=1)
    bias = state.get(f"{path}.attn.qkv.bias")
    if bias is not None:
        biased = (bias != 0).reshape(3, -1, BLOCK).any(dim=2).numpy()
        biased[1] = False  # keys without weights are constant, and quantization takes the mean of the keys away
        alive = alive | biased.ravel()
    query, key, _ = alive.reshape(3, *read.shape)
    values, pairs = read.copy(), query & key
    if selects:
        values[~read.any(axis=1), 0] = True
    pairs[~pairs.any(axis=1), 0] = True
    pairs[~values.any(axis=1)] = False
    return pairs, values
