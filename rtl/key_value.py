"""Key/value memory: keys and values as stationary blocks, two tokens a word."""

from amaranth.hdl import Cat, Module, Mux, Signal
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
    groups : int
        Token groups that write at the same time.

    Members
    -------
    write : :py:`In(ColumnWrite(columns, max_tokens / groups, 128 * groups))`
        A row of every group, group 0 lowest.
    exists : :py:`In(groups)`
        Groups that have a token in that row; not looked at with a single group.
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

    def __init__(self, columns: int, max_tokens: int, groups: int = 1) -> None:
        self.columns, self.max_tokens, self.groups = columns, max_tokens, groups
        super().__init__({
            "write": In(ColumnWrite(columns, max_tokens // groups, ROW * groups)),
            "exists": In(groups),
            "column": In(range(columns)),
            "key_block": In(range(max(max_tokens // BLOCK, 2))),
            "word": In(3),
            "data": Out(WORD_BITS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = max(ROWS_PER_WORD, self.groups)
        words = self.max_tokens // rows
        depth = self.columns * words
        m.submodules.memory = mem = memory.Memory(shape=ROW * rows, depth=depth, init=[])
        self._read(m, mem.read_port(), rows // ROWS_PER_WORD, words, depth)
        self._write(m, mem.write_port(granularity=ROW), rows, words, depth)
        return m

    def _read(self, m: Module, read: memory.ReadPort, parts: int, words: int, depth: int) -> None:
        """Two tokens a cycle, out of ``parts`` times as many."""
        part_bits = parts.bit_length() - 1
        place = Cat(self.word, self.key_block)
        address = Signal(range(depth), reset_less=True)
        output = Signal(WORD_BITS, reset_less=True)
        part = Signal(part_bits, reset_less=True)
        part_later = Signal(part_bits, reset_less=True)
        m.d.sync += [
            address.eq(self.column * words + place[part_bits:]),
            part.eq(place[:part_bits]),
            part_later.eq(part),
            output.eq(read.data.word_select(part_later, WORD_BITS)),
        ]
        m.d.comb += [read.addr.eq(address), read.en.eq(1), self.data.eq(output)]

    def _write(self, m: Module, write: memory.WritePort, rows: int, words: int, depth: int) -> None:
        """One token of every group. A single group fills a word in two cycles."""
        address = Signal(range(depth), reset_less=True)
        enable = Signal(rows)
        row = Signal(ROW * self.groups, reset_less=True)
        single = self.groups == 1
        half = self.write.token[0]
        exists = Cat(~half, half) if single else self.exists
        m.d.sync += [
            address.eq(self.write.column * words + (self.write.token[1:] if single else self.write.token)),
            enable.eq(Mux(self.write.enable, exists, 0)),
            row.eq(self.write.data),
        ]
        m.d.comb += [write.addr.eq(address), write.en.eq(enable), write.data.eq(Cat(row, row) if single else row)]
