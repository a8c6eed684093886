"""The token drop of a recipe: at a moment of the run, in the end, and in words for the weights file."""

from __future__ import annotations

from typing import Any

from algo.tokens.count import topk_schedule
from algo.tokens.evit import threshold_drop
from algo.tokens.train import TokenRule, keep_above, scheduled_rules
from algo.train.recipe import Tokens
from algo.train.schedule import kept_token_share
from flows.contracts.artifact import TokenDrop


def token_share(tokens: Tokens | None, share: float) -> float:
    """Share of patch tokens kept at every drop after ``share`` of the run; 1 in threshold mode, which has none."""
    if tokens is None or tokens.threshold is not None:
        return 1.0
    return kept_token_share(share, tokens.start, tokens.end, tokens.keep)


def rules_at(model: Any, tokens: Tokens | None, share: float) -> dict[int, TokenRule]:
    """What to do after the attention of which block, after ``share`` of the run."""
    if tokens is None:
        return {}
    if tokens.threshold is not None:
        return {layer: keep_above(tokens.threshold) for layer in tokens.layers} if share >= tokens.start else {}
    return scheduled_rules(model, tokens.layers, token_share(tokens, share))


def final_drops(model: Any, tokens: Tokens | None) -> dict[int, TokenDrop]:
    """What a run ends with, as the hardware has it."""
    if tokens is None:
        return {}
    if tokens.threshold is not None:
        return {layer: threshold_drop(tokens.threshold, model.blocks[layer].attn.num_heads) for layer in tokens.layers}
    return topk_schedule(model.patch_embed.num_patches + 1, tokens.layers, tokens.keep)


def token_facts(tokens: Tokens | None) -> dict[str, Any]:
    """What the weights file says about it, see :func:`algo.weights.save_weights`."""
    if tokens is None:
        return {"keep_tokens": 1.0}
    facts: dict[str, Any] = {"drop_layers": list(tokens.layers)}
    if tokens.threshold is not None:
        return facts | {"drop_mode": "threshold", "threshold": tokens.threshold}
    return facts | {"keep_tokens": tokens.keep}
