"""How many tokens are alive where."""

from __future__ import annotations

from collections.abc import Mapping

from flows.contracts.artifact import TokenDrop


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
