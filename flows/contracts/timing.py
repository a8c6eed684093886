"""Cycle counts of the hardware that the compiler's cycle model needs. Tests hold them against the RTL."""

from __future__ import annotations

from dataclasses import dataclass, field

from flows.contracts.hardware import ceil_div
from flows.contracts.program import Drop, Post, Target


def _drain() -> dict[Post, int]:
    return {Post.INT8: 30, Post.GELU: 33, Post.RESIDUAL: 40, Post.SCORE: 35, Post.CONTEXT: 57, Post.LOGIT: 30}


def _write_cycles() -> dict[Target, int]:
    return {Target.EXP: 33, Target.GELU: 33, Target.NORM: 1, Target.RESIDUAL: 1}


@dataclass(frozen=True)
class Timing:
    """Constants of the cycle model, all in cycles unless said otherwise. The defaults describe ``rtl``."""

    min_slot: int = 16
    """Shortest slot: a stationary block is loaded in 16 cycles, and the accumulators need that many rows."""
    load_gap: int = 7
    """From a slot's start until the block words of the next slot may be taken (its own have become active)."""
    param_gap: int = 15
    """From a slot's start until the column parameters of the next slot may be taken (no longer in use)."""
    exp: int = 3
    """Further cycles of both while scores are streamed: the exponential."""
    divide: int = 24
    """Further cycles of the column parameters while context drains: the softmax division."""
    ready: int = 1
    """From the last word of a slot until it can start."""
    slot_decode: int = 1
    """Between a slot's header and its blocks: which clusters have work."""
    no_parameters: int = 1
    """In place of the column parameters when no column drains."""
    tile_extra: int = 5
    """Cycles a key or value tile takes beyond its 8 words: the latency of the key/value memory."""
    drain: dict[Post, int] = field(default_factory=_drain)
    """From the end of a step's last slot until its last value is stored, by post-processing."""
    move: int = 1
    """Further cycles of rows that may change their token group."""
    rsqrt: int = 20
    """From the barrier until the first token's inverse square root, when a step has a norm pass."""
    norm_fill: int = 16
    """From the start of the norm pass until its first column can be streamed."""
    write_word: dict[Target, int] = field(default_factory=_write_cycles)
    """Cycles of one payload word of a WRITE packet, by target."""
    start: int = 10
    """From the start command to the first read request."""
    burst_words: int = 64
    """Words per read burst (2 KiB)."""
    image_fifo_words: int = 256
    """Depth of the image FIFO."""
    read_pipe: int = 4
    """From a word's last beat on the bus until the decoder sees it, and from its use until the room is free again."""
    finish: int = 74
    """From the end of the last slot until the output is sent: the longest barrier there is."""
    output_word: int = 4
    """Cycles of a word of the output."""
    output_burst_words: int = 16
    """Words per write burst; the next one waits for the response."""
    output_burst: int = -3
    """Cycles per write burst beside its words and the memory's latency."""

    @staticmethod
    def select(tokens: int, heads: int, mode: Drop) -> int:
        """Token selection: sum over heads, search of the k-th largest score bit by bit, map of new indices."""
        blocks = ceil_div(tokens, 16)
        search = 21 * (blocks + 4) if mode is Drop.TOPK else 0
        return blocks * heads + search + tokens + 9
