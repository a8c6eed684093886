"""A rough stand-in for the resource model: grows with every size as the hardware does, and costs no time."""

from __future__ import annotations

from flows.contracts.hardware import HardwareConfig, ceil_div
from flows.contracts.resources import Resources
from flows.search import Parts

CLUSTER = {"dsp48e2": (3500, 128), "dsp48e1": (6000, 128), "plain": (4500, 256)}
"""LUTs and DSP slices of a cluster by multiplier."""


def coarse_parts(config: HardwareConfig, family: str) -> Parts:
    """Resources of the parts; ``family`` makes no difference."""
    assert family in ("7series", "ultrascale+", "versal")
    luts, slices = CLUSTER[config.multiplier]
    luts = 5000 + config.clusters * (luts + 60 * config.banks)
    memories = sum(config.banks * _bram(128, ceil_div(columns, config.banks) * config.group_tokens)
                   for columns in (config.x_cols, config.act_cols, config.score_cols))
    memories += 2 * _bram(128, config.kv_cols * config.group_tokens // 2)
    memories += _bram(256, config.residual_cols * config.group_tokens)
    group = Resources(luts, 1.5 * luts, 20 + config.clusters * slices, memories)
    width = config.stream_bits + config.bus_bits
    fifos = _bram(config.stream_bits, config.fifo_words) + _bram(config.stream_bits, config.image_fifo_words)
    return Parts(Resources(15000 + 20 * width, 20000 + 30 * width, 20, fifos + 4), group, config.groups)


def _bram(width: int, depth: int) -> int:
    """Block RAMs of 512 x 72 bits."""
    return ceil_div(width, 72) * ceil_div(depth, 512)
