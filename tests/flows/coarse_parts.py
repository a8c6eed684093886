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
    tokens = config.group_tokens
    memories = sum((config.banks * _memory(128, ceil_div(columns, config.banks) * tokens, config)
                    for columns in (config.x_cols, config.act_cols, config.score_cols)), Resources())
    memories += 2 * _memory(128, config.kv_cols * tokens // 2, config)
    memories += _memory(256, config.residual_cols * tokens, config)
    slices = 20 + config.clusters * slices // config.row_cycles
    group = Resources(luts, 1.5 * luts + 500 * config.crossings, slices) + memories
    width = config.stream_bits + config.bus_bits
    fifos = sum((_memory(config.stream_bits, words, config)
                 for words in (config.fifo_words, config.image_fifo_words, 512) if words > config.lut_fifo_words),
                Resources())
    return Parts(Resources(15000 + 20 * width, 20000 + 30 * width, 20) + fifos, group, config.groups)


def _memory(width: int, depth: int, config: HardwareConfig) -> Resources:
    """Block RAMs of 512 x 72 bits, or UltraRAMs of 4096 x 72."""
    columns = ceil_div(width, 72)
    if config.uram_words and depth >= config.uram_words:
        return Resources(uram=columns * ceil_div(depth, 4096))
    return Resources(bram36=columns * ceil_div(depth, 512))
