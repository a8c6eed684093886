"""How many tokens are alive where, and how many EViT keeps; without torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from flows.contracts.artifact import TokenDrop
from flows.contracts.errors import ConfigError


def tokens_after(drop: TokenDrop | None, tokens: int) -> int:
    """Most tokens alive after ``drop``: CLS, the kept ones and the fused one. A threshold may keep all of them."""
    if drop is None or drop.mode != "topk" or drop.keep >= tokens - 1:
        return tokens
    return drop.keep + 2


def alive_tokens(tokens: int, depth: int, drops: Mapping[int, TokenDrop]) -> list[tuple[int, int]]:
    """Tokens in the attention and in the MLP of each of ``depth`` blocks, ``tokens`` entering the first."""
    alive = []
    for index in range(depth):
        after = tokens_after(drops.get(index), tokens)
        alive.append((tokens, after))
        tokens = after
    return alive


def kept_tokens(keep: float, tokens: int) -> int:
    """``ceil(keep * (tokens - 1))``, EViT's count, safe against rounding such as ``0.7 * 10 = 7.000000000000001``."""
    return math.ceil(keep * (tokens - 1) - 1e-9)


def topk_schedule(tokens: int, layers: Iterable[int], keep: float) -> dict[int, TokenDrop]:
    """The drop of each layer in ``layers`` when every one keeps the share ``keep`` of its patch tokens.

    Layers where that would drop nothing are left out.

    Parameters
    ----------
    tokens : tokens entering the network, CLS included
    layers : 0-based blocks after whose attention tokens are dropped
    keep : 0..1, excluding 0

    Raises
    ------
    ConfigError
        When ``keep`` is out of range.
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"keep_tokens must be above 0 and at most 1, not {keep}")
    drops = {}
    for layer in sorted(layers):
        kept = kept_tokens(keep, tokens)
        if kept >= tokens - 1:
            continue
        drops[layer] = TokenDrop("topk", keep=kept)
        tokens = kept + 2
    return drops
