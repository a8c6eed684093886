"""Values that change while a network is trained, as functions of the finished share of the run."""

from __future__ import annotations

import math


def learning_rate(share: float, warmup: float, final: float) -> float:
    """Factor of the learning rate: linear from 0 to 1 within ``warmup``, then a cosine down to ``final``."""
    if share < warmup:
        return share / warmup
    return final + (1 - final) * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup))) / 2


def kept_blocks(share: float, start: float, end: float, keep: float) -> float:
    """Share of weights kept: 1 until ``start``, ``keep`` from ``end`` on, a cubic between (Zhu and Gupta 2017)."""
    if share >= end:
        return keep
    left = 1 - max(share - start, 0) / (end - start)
    return keep + (1 - keep) * left**3


def kept_token_share(share: float, start: float, end: float, keep: float) -> float:
    """Share of tokens kept: 1 until ``start``, ``keep`` from ``end`` on, a cosine between (EViT's warm-up)."""
    if share >= end:
        return keep
    return keep + (1 - keep) * (1 + math.cos(math.pi * max(share - start, 0) / (end - start))) / 2
