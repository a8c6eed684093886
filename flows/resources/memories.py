"""Which memory blocks a memory of some width and depth takes, as open synthesis chooses them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from flows.contracts.hardware import ceil_div
from flows.contracts.resources import Resources

BLOCK_SHAPES = (
    # width, depth, RAMB36: one port writes, one reads (UG573 table 1-1, UG473 table 1-1)
    (72, 512, 1.0), (36, 1024, 1.0), (18, 2048, 1.0), (9, 4096, 1.0), (4, 8192, 1.0), (2, 16384, 1.0), (1, 32768, 1.0),
    (36, 512, 0.5), (18, 1024, 0.5), (9, 2048, 0.5), (4, 4096, 0.5), (2, 8192, 0.5), (1, 16384, 0.5),
)
ULTRA_WIDTH, ULTRA_DEPTH = 72, 4096


@dataclass(frozen=True)
class Distributed:
    """Memory in LUTs, a write and a read port: ``wide`` bits by 32 words or ``narrow`` by 64 take ``luts`` LUTs.

    ``cost`` is what Yosys weighs against :data:`BLOCK_COST` for a RAMB36.
    """

    wide: int
    narrow: int
    luts: int
    cost: int


DISTRIBUTED = {"xcup": Distributed(14, 7, 8, 16), "xc7": Distributed(6, 3, 4, 8)}
"""RAM32M16 and RAM64M8, RAM32M and RAM64M; figures of Yosys' ``lutrams_xcu.txt`` and ``lutrams_xc5v.txt``."""

LUT_DEPTH = 64
"""Words of a LUT as memory."""

BLOCK_COST = 257
"""Of a RAMB36, from what Yosys chooses: 529 bits by 33 words are LUTs, 26 by 208 half a block."""


@functools.cache
def memory_of(width: int, depth: int, target: str, *, ultra: bool = False, luts: bool = False) -> Resources:
    """What a memory with one write and one read port takes.

    Parameters
    ----------
    width, depth : bits of a word, words
    target : ``"xcup"`` or ``"xc7"``
    ultra, luts : the memory is marked for UltraRAM, or for LUTs

    Returns
    -------
    Resources
        UltraRAM if marked, else LUTs or block RAM, whichever Yosys weighs less. Multiplexers behind them are
        not included.
    """
    if ultra:
        return Resources(uram=ceil_div(width, ULTRA_WIDTH) * ceil_div(depth, ULTRA_DEPTH))
    kind = DISTRIBUTED[target]
    blocks = block_rams(width, depth)
    units = width / kind.wide if depth <= 32 else width / kind.narrow * ceil_div(depth, 64)
    if luts or units * kind.cost < blocks * BLOCK_COST:
        return Resources(lut=ceil_div(round(units * 1000), 1000) * kind.luts)
    return Resources(bram36=blocks)


@functools.cache
def block_rams(width: int, depth: int) -> float:
    """RAMB36 (a RAMB18 is half) of a memory: the fewest, columns of blocks of any shape side by side."""
    if width <= 0:
        return 0.0
    return min(blocks * ceil_div(depth, words) + block_rams(width - bits, depth)
               for bits, words, blocks in BLOCK_SHAPES)
