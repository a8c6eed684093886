"""Multiplications and parameters of a plain ViT with pruned weights and dropped tokens.

Counted as the compiler counts useful MACs (``Step.useful_macs``): kept 16x16 blocks of weights for alive tokens,
padding left out; attention for all alive tokens; the CLS token takes no part in the patch embedding and is alone in the
head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algo.prune.plan import expand, zero_block_masks
from algo.tokens.count import alive_tokens
from flows.contracts.artifact import TokenDrop

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
    skip_dead_heads: bool = False,
) -> Work:
    """MACs and parameters of the network with these weights.

    Parameters
    ----------
    state : weights with timm names; hidden neurons may have been removed
    heads : attention heads
    drops : token drop per block; a threshold drop counts as dropping nothing, which is its worst case
    masks : kept 16x16 blocks per layer; by default the blocks that are not all zero
    skip_dead_heads : leave out the attention of heads without a weight in the values or in the projection. Off, as
        hardware that computes all heads' scores does not save it.
    """
    masks = zero_block_masks(dict(state)) if masks is None else masks
    kept = {name: _kept_weights(state, name, masks) for name in _matrices(state)}
    tokens, width = state["pos_embed"].shape[1:]
    alive = alive_tokens(tokens, sum(name.endswith("mlp.fc1.weight") for name in state), drops or {})
    linear = attention = 0
    for index, (before, after) in enumerate(alive):
        path = f"blocks.{index}"
        living = _living_heads(state, path, heads) if skip_dead_heads else heads
        attention += 2 * before**2 * (width // heads) * living
        linear += before * (kept[f"{path}.attn.qkv"] + kept[f"{path}.attn.proj"])
        linear += after * (kept[f"{path}.mlp.fc1"] + kept[f"{path}.mlp.fc2"])
    others = sum(tensor.numel() for name, tensor in state.items() if name.removesuffix(".weight") not in kept)
    return Work(embed=(tokens - 1) * kept["patch_embed.proj"], linear=linear, attention=attention, head=kept["head"],
                parameters=sum(kept.values()) + others, tokens=tuple(after for _, after in alive))


def _matrices(state: State) -> list[str]:
    return [name.removesuffix(".weight") for name, tensor in state.items()
            if name.endswith(".weight") and tensor.dim() >= 2]


def _kept_weights(state: State, name: str, masks: Mapping[str, np.ndarray]) -> int:
    weight = state[f"{name}.weight"]
    return int(expand(masks[name], weight).sum()) if name in masks else weight.numel()


def _living_heads(state: State, path: str, heads: int) -> int:
    """Heads whose values and whose columns of the projection are not all zero."""
    value = state[f"{path}.attn.qkv.weight"].chunk(3)[2].reshape(heads, -1)
    projection = state[f"{path}.attn.proj.weight"].T.reshape(heads, -1)
    return int(torch.logical_and((value != 0).any(dim=1), (projection != 0).any(dim=1)).sum())
