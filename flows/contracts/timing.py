"""Cycle counts of the hardware that the compiler's cycle model needs. Tests hold them against the RTL."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flows.contracts.hardware import AHEAD_BYTES, BURST_BYTES, HardwareConfig, ceil_div
from flows.contracts.program import Drop, Post, Target


def _drain() -> dict[Post, int]:
    return {Post.INT8: 28, Post.GELU: 31, Post.RESIDUAL: 38, Post.SCORE: 33, Post.CONTEXT: 55, Post.LOGIT: 28}


def crosses(post: Post, config: HardwareConfig) -> bool:
    """Whether a step's columns leave their token group: keys and values, logits, the scores of CLS that come with
    context, and residual rows when there are several groups.
    """
    return post in (Post.INT8, Post.CONTEXT, Post.LOGIT) or (post is Post.RESIDUAL and config.groups > 1)


@dataclass(frozen=True)
class Timing:
    """Constants of the cycle model, all in cycles unless said otherwise. The defaults describe ``rtl``."""

    min_slot: int = 16
    """Shortest slot: a stationary block is loaded in 16 cycles, and the accumulators need that many rows."""
    param_gap: int = 17
    """From a slot's start until its column parameters have become active and leave their place in the queue."""
    parameter_sets: int = 4
    """Places in that queue."""
    exp: int = 3
    """Further cycles while scores are streamed: the exponential."""
    divide: int = 24
    """Further cycles while context drains: the softmax division."""
    slot_decode: int = 1
    """Between a slot's header, or the place that the slot before has left if that is later, and its blocks."""
    slot_free: int = 1
    """From a slot's start until its place in the decoder is free for the next one."""
    tile_extra: int = 1
    """Cycles of a slot's tiles beyond their words."""
    key_extra: int = 1
    """And of keys: the latency of the key/value memory, as far as nothing else takes as long."""
    drain: dict[Post, int] = field(default_factory=_drain)
    """From the start of a slot until the first row it wrote can be read by another slot, by post-processing."""
    move: int = 1
    """Further cycles of rows that may change their token group."""
    turn: int = 3
    """From the end of a step's last slot until a slot of the next one can start, at least."""
    drain_turn: int = 1
    """From a step's last value being stored until a slot of the next one that drains can start."""
    rsqrt: int = 19
    """Further cycles of the barrier when the next step has a norm pass: the inverse square root."""
    norm_read: int = 30
    """From the end of a step's last slot until a norm pass may read what it wrote, as two slots share the memory."""
    norm_fill: int = 16
    """From the start of the norm pass until its first column can be streamed."""
    start: int = 10
    """From the start command to the first read request."""
    image_request: int = 3
    """From HELLO until the image is requested."""
    ahead_bytes: int = AHEAD_BYTES
    """What the program may be ahead while the image is loaded."""
    read_pipe: int = 4
    """From a word's last beat on the bus until the decoder sees it, and from its use until the room is free again."""
    finish: int = 75
    """From the end of the last slot until the output is sent: the longest barrier there is."""
    output_word: int = 4
    """Cycles of a word of the output."""
    output_burst_words: int = 64
    """Words per write burst; the next one waits for the response."""
    output_burst: int = -3
    """Cycles per write burst beside its words and the memory's latency."""

    @classmethod
    def of(cls, config: HardwareConfig) -> Timing:
        """The constants of a configuration: where a row is worked on in parts, the units that do so are later.

        These are cluster and requantizer on every way, then the softmax division or the fused token, and the sums for
        the layer norm, or its normalising pass.
        """
        default, late = cls(), config.part_cycles
        units = {Post.RESIDUAL: 3, Post.CONTEXT: 3}
        return replace(
            default, drain={post: cycles + units.get(post, 2) * late for post, cycles in default.drain.items()},
            param_gap=default.param_gap + late, divide=default.divide + late, rsqrt=default.rsqrt + late,
            norm_read=default.norm_read + 2 * late, norm_fill=default.norm_fill + late,
            finish=default.finish + 4 * late)

    @staticmethod
    def burst_words(config: HardwareConfig) -> int:
        """Words per read burst."""
        return BURST_BYTES // config.stream_bytes

    @staticmethod
    def write_word(target: Target, config: HardwareConfig) -> int:
        """Cycles of one payload word of a WRITE packet: the tokens of a residual word are written together as far as
        they belong to different groups."""
        return max(1, config.tokens_per_word // config.groups) if target is Target.RESIDUAL else 1

    @staticmethod
    def table_word(config: HardwareConfig) -> int:
        """Cycles from taking a word of a table until the next one can be taken: it is written entry by entry."""
        return 1 + config.stream_bytes

    @staticmethod
    def select(tokens: int, heads: int, mode: Drop, row_cycles: int = 1) -> int:
        """Token selection: sum over heads, search of the k-th largest score bit by bit, map of new indices."""
        blocks = ceil_div(tokens, 16)
        search = 21 * (blocks + 4) if mode is Drop.TOPK else 0
        return row_cycles * blocks * heads + int(row_cycles > 1) + search + tokens + 9
