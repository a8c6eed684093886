"""Key/value memory: keys and values as stationary blocks, two tokens a word."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, ROWS_PER_WORD, WORD_BITS
from rtl.banks import ColumnWrite

__all__ = ["KeyValue"]

ROW = 8 * BLOCK


class KeyValue(wiring.Component):
    """Columns of 16 channels for every token; a 16x16 tile (16 tokens of a column) is 8 consecutive words.

    Parameters
    ----------
    columns : int
        Keys first, then values.
    max_tokens : int
        A multiple of 16.

    Members
    -------
    write : :py:`In(ColumnWrite(columns, max_tokens))`
    column : :py:`In(range(columns))`
    key_block : :py:`In(range(max_tokens / 16))`
    word : :py:`In(3)`
        Which two tokens of the tile.
    data : :py:`Out(256)`
        Token ``16 key_block + 2 word`` in the low half, the next one in the high half.

    Latency
    -------
    ``LATENCY`` = 3 cycles from ``column``, ``key_block``, ``word`` to ``data``.

    Throughput
    ----------
    One word a cycle.
    """

    LATENCY = 3

    def __init__(self, columns: int, max_tokens: int) -> None:
        self.columns, self.max_tokens = columns, max_tokens
        super().__init__({
            "write": In(ColumnWrite(columns, max_tokens)),
            "column": In(range(columns)),
            "key_block": In(range(max(max_tokens // BLOCK, 2))),
            "word": In(3),
            "data": Out(WORD_BITS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = self.max_tokens // ROWS_PER_WORD
        depth = self.columns * words
        m.submodules.memory = mem = memory.Memory(shape=WORD_BITS, depth=depth, init=[])
        read, write = mem.read_port(), mem.write_port(granularity=ROW)

        read_address = Signal(range(depth), reset_less=True)
        output = Signal(WORD_BITS, reset_less=True)
        m.d.sync += [
            read_address.eq(self.column * words + Cat(self.word, self.key_block)),
            output.eq(read.data),
        ]
        m.d.comb += [read.addr.eq(read_address), read.en.eq(1), self.data.eq(output)]

        write_address = Signal(range(depth), reset_less=True)
        enable = Signal(ROWS_PER_WORD)
        row = Signal(ROW, reset_less=True)
        half = self.write.token[0]
        m.d.sync += [
            write_address.eq(self.write.column * words + self.write.token[1:]),
            enable.eq(Cat(self.write.enable & ~half, self.write.enable & half)),
            row.eq(self.write.data),
        ]
        m.d.comb += [write.addr.eq(write_address), write.en.eq(enable), write.data.eq(Cat(row, row))]
        return m
