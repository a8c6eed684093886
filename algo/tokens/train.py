"""Token drop while training: the selections of the hardware, on batches, with a keep rate that may change.

Top-k (EViT, Liang et al., ICLR 2022, section 3.2) keeps as many tokens in every image, so a batch stays a tensor.
Threshold selection keeps a number that depends on the image: tokens stay in place and a mask says which are alive, as
DynamicViT trains (Rao et al., NeurIPS 2021, section 3.3). Gradients reach the scores through the weights of the fused
token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from algo.tokens.count import kept_tokens
from algo.tokens.evit import SCORE_ONE
from flows.contracts.artifact import TokenDrop

TokenRule = Callable[[Tensor, Tensor, "Tensor | None"], "tuple[Tensor, Tensor | None]"]
"""``(tokens (B, N, D), CLS attention (B, N), alive (B, N) or None) -> (tokens, alive)`` after the drop."""


def keep_topk(keep: int) -> TokenRule:
    """Keep the ``keep`` best patch tokens in their order and fuse the others; of equal scores the lower index stays."""

    def rule(x: Tensor, cls_attention: Tensor, alive: Tensor | None) -> tuple[Tensor, Tensor | None]:
        score = cls_attention[:, 1:]
        if keep >= score.shape[1]:
            return x, alive
        order = score.sort(dim=1, descending=True, stable=True).indices
        index = order[:, :keep].sort(dim=1).values
        kept = torch.zeros_like(score, dtype=torch.bool).scatter_(1, index, True)
        patches = x[:, 1:]
        fused = torch.einsum("bn,bnd->bd", score * ~kept, patches)[:, None]
        chosen = patches.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
        return torch.cat([x[:, :1], chosen, fused], dim=1), alive

    return rule


def keep_above(threshold: float) -> TokenRule:
    """Keep patch tokens whose mean attention from CLS is at least ``threshold`` and fuse the others.

    The fused token of an image that drops nothing is not alive.
    """

    def rule(x: Tensor, cls_attention: Tensor, alive: Tensor | None) -> tuple[Tensor, Tensor | None]:
        candidates = torch.ones_like(cls_attention, dtype=torch.bool) if alive is None else alive
        kept = candidates & (cls_attention >= threshold)
        kept[:, 0] = True
        dropped = candidates & ~kept
        fused = torch.einsum("bn,bnd->bd", cls_attention * dropped, x)[:, None]
        return torch.cat([x, fused], dim=1), torch.cat([kept, dropped.any(dim=1, keepdim=True)], dim=1)

    return rule


def token_rules(drops: Mapping[int, TokenDrop], heads: int) -> dict[int, TokenRule]:
    """The rules that train what ``drops`` makes the hardware do."""
    return {layer: keep_topk(drop.keep) if drop.mode == "topk" else keep_above(drop.threshold / (heads * SCORE_ONE))
            for layer, drop in drops.items()}


def scheduled_rules(model: Any, layers: tuple[int, ...], keep: float) -> dict[int, TokenRule]:
    """Top-k rules for a share ``keep`` that is still on its way down; layers that would drop nothing are left out."""
    tokens, rules = model.patch_embed.num_patches + 1, {}
    for layer in sorted(layers):
        kept = kept_tokens(keep, tokens)
        if kept < tokens - 1:
            rules[layer] = keep_topk(kept)
            tokens = kept + 2
    return rules
