"""Token drop after EViT (Liang et al., ICLR 2022), with the semantics of ``docs/numerics.md`` section 5.

After a block's attention, patch tokens are ranked by the attention that the CLS token pays them, averaged over the
heads. The best stay in their order, the others are fused into one last token, their sum weighted by that attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from flows.contracts.artifact import TokenDrop
from flows.contracts.errors import ConfigError

Observer = Callable[[str, Tensor], None]

SCORE_ONE = 1 << 16
"""A score of 1.0 (16 fraction bits)."""
SCORE_LIMIT = 1 << 21


def threshold_drop(probability: float, heads: int) -> TokenDrop:
    """Keep the tokens whose mean attention from CLS is at least ``probability``.

    Raises
    ------
    ConfigError
        When ``probability`` is not in 0..1.
    """
    if not 0 <= probability <= 1:
        raise ConfigError(f"threshold must be a mean attention from 0 to 1, not {probability}")
    return TokenDrop("threshold", threshold=min(round(probability * heads * SCORE_ONE), SCORE_LIMIT - 1))


@torch.no_grad()
def forward_with_drop(
    model: nn.Module, images: Tensor, drops: Mapping[int, TokenDrop] | None = None, observe: Observer | None = None
) -> Tensor:
    """Float forward pass of a plain timm ViT with token drop.

    Parameters
    ----------
    model : VisionTransformer that :func:`algo.models.check_supported` accepts
    images : float ``(B, 3, size, size)``, normalised
    drops : what to drop after the attention of which block; none by default
    observe : called with the name and value of every tensor that is quantized. ``residual`` ``(B, N, D)`` after each
        block; with the prefix ``blocks.{l}.``: ``norm1``, ``query``, ``key``, ``value``, ``context``, ``norm2`` and
        ``middle`` (the residual stream after attention) ``(B, N, D)``, ``score`` ``(B, H, N, N)``, ``cls_attention``
        ``(B, N)``, ``pre`` and ``hidden`` ``(B, N, F)``; at the end ``norm`` ``(B, 1, D)`` and ``logits``
        ``(B, 1, classes)``

    Returns
    -------
    Logits ``(B, classes)``.
    """
    drops = drops or {}
    if images.shape[0] > 1 and any(drop.mode == "threshold" for drop in drops.values()):
        # the number of tokens depends on the image
        return torch.cat([forward_with_drop(model, image[None], drops, observe) for image in images])
    see = observe or (lambda name, value: None)
    net: Any = model
    x = net._pos_embed(net.patch_embed(images))
    see("residual", x)
    for layer, block in enumerate(net.blocks):
        x = block_with_drop(block, x, drops.get(layer), lambda name, value, at=layer: see(f"blocks.{at}.{name}", value))
        see("residual", x)
    y = net.norm(x[:, :1])
    see("norm", y)
    logits = net.head(y)
    see("logits", logits)
    return logits[:, 0]


def block_with_drop(block: Any, x: Tensor, drop: TokenDrop | None, see: Observer) -> Tensor:
    """One encoder block; tokens are dropped between attention and MLP."""
    y = block.norm1(x)
    see("norm1", y)
    attended, cls_attention = attention(block.attn, y, see)
    x = x + attended
    see("middle", x)
    if drop is not None:
        x = drop_tokens(x, cls_attention, drop, block.attn.num_heads)
    y = block.norm2(x)
    see("norm2", y)
    pre = block.mlp.fc1(y)
    see("pre", pre)
    hidden = block.mlp.act(pre)
    see("hidden", hidden)
    return x + block.mlp.fc2(hidden)


def attention(attn: Any, y: Tensor, see: Observer) -> tuple[Tensor, Tensor]:
    """Multi-head attention with explicit probabilities.

    Returns
    -------
    The projected context ``(B, N, D)`` and the head-mean attention of the CLS token ``(B, N)``.
    """
    batch, tokens, width = y.shape
    qkv = attn.qkv(y)
    for name, part in zip(("query", "key", "value"), qkv.split(width, dim=-1), strict=True):
        see(name, part)
    q, k, v = qkv.reshape(batch, tokens, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
    score = (q * attn.scale) @ k.transpose(-2, -1)
    see("score", score)
    probability = score.softmax(dim=-1)
    context = (probability @ v).transpose(1, 2).reshape(batch, tokens, width)
    see("context", context)
    cls_attention = probability[:, :, 0].mean(dim=1)
    see("cls_attention", cls_attention)
    return attn.proj(context), cls_attention


def drop_tokens(x: Tensor, cls_attention: Tensor, drop: TokenDrop, heads: int) -> Tensor:
    """Drop and fuse tokens.

    Parameters
    ----------
    x : ``(B, N, D)``; a batch above 1 in top-k mode only
    cls_attention : ``(B, N)``, attention of the CLS token, mean over heads
    drop : mode and limit
    heads : turns ``drop.threshold``, a sum over heads, into a mean

    Returns
    -------
    ``(B, 1 + kept + 1, D)``, or ``x`` itself when nothing is dropped.
    """
    score = cls_attention[:, 1:]
    if drop.mode == "topk":
        if drop.keep >= score.shape[1]:
            return x
        # a stable sort puts the lower index first among equal scores
        order = score.sort(dim=1, descending=True, stable=True).indices[:, : drop.keep]
        kept = torch.zeros_like(score, dtype=torch.bool).scatter_(1, order, True)
    else:
        kept = score >= drop.threshold / (heads * SCORE_ONE)
        if bool(kept.all()):
            return x
    batch, _, width = x.shape
    patches = x[:, 1:]
    fused = ((score * ~kept)[:, :, None] * patches).sum(dim=1, keepdim=True)
    return torch.cat([x[:, :1], patches[kept].reshape(batch, -1, width), fused], dim=1)
