"""Key/value memory: keys and values as stationary blocks, some tokens a word."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, ROW_BITS
from rtl.banks import ColumnWrite
from rtl.ultra import memory_attributes

__all__ = ["KeyValue"]


class KeyValue(wiring.Component):
    """Columns of 16 channels for every token; a 16x16 tile (16 tokens of a column) is 16 / rows consecutive words.

    Parameters
    ----------
    columns : int
        Keys first, then values.
    max_tokens : int
        A multiple of 16.
    groups : int
        Token groups that write at the same time.
    word_bits : int
        Width of a word read: 128 for every token in it.
    ultra_words : int
        See :func:`rtl.ultra.memory_attributes`.

    Members
    -------
    write : :py:`In(ColumnWrite(columns, max_tokens / groups, 128 * groups))`
        A row of every group, group 0 lowest.
    exists : :py:`In(groups)`
        Groups that have a token in that row; not looked at with a single group.
    column : :py:`In(range(columns))`
    key_block : :py:`In(range(max_tokens / 16))`
    word : :py:`In(range(2048 / word_bits))`
        Which tokens of the tile.
    data : :py:`Out(word_bits)`
        Tokens ``16 key_block + rows * word ..``, the first lowest.

    Latency
    -------
    ``LATENCY`` = 3 cycles from ``column``, ``key_block``, ``word`` to ``data``.

    Throughput
    ----------
    One word a cycle.
    """

    LATENCY = 3

    def __init__(self, columns: int, max_tokens: int, groups: int = 1, word_bits: int = 256,
                 ultra_words: int = 0) -> None:
        self.columns, self.max_tokens, self.groups, self.word_bits = columns, max_tokens, groups, word_bits
        self.ultra_words = ultra_words
        self.word_rows = word_bits // ROW_BITS
        super().__init__({
            "write": In(ColumnWrite(columns, max_tokens // groups, ROW_BITS * groups)),
            "exists": In(groups),
            "column": In(range(columns)),
            "key_block": In(range(max(max_tokens // BLOCK, 2))),
            "word": In(range(BLOCK // self.word_rows)),
            "data": Out(word_bits),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = max(self.word_rows, self.groups)
        words = self.max_tokens // rows
        depth = self.columns * words
        m.submodules.memory = mem = memory.Memory(
            shape=ROW_BITS * rows, depth=depth, init=[], attrs=memory_attributes(depth, self.ultra_words))
        self._read(m, mem.read_port(), rows // self.word_rows, words, depth)
        self._write(m, mem.write_port(granularity=ROW_BITS), rows, words, depth)
        return m

    def _read(self, m: Module, read: memory.ReadPort, parts: int, words: int, depth: int) -> None:
        """A word a cycle, out of ``parts`` of them."""
        part_bits = parts.bit_length() - 1
        place = Cat(self.word, self.key_block)
        address = Signal(range(depth), reset_less=True)
        output = Signal(self.word_bits, reset_less=True)
        part = Signal(part_bits, reset_less=True)
        part_later = Signal(part_bits, reset_less=True)
        m.d.sync += [
            address.eq(self.column * words + place[part_bits:]),
            part.eq(place[:part_bits]),
            part_later.eq(part),
            output.eq(read.data.word_select(part_later, self.word_bits)),
        ]
        m.d.comb += [read.addr.eq(address), read.en.eq(1), self.data.eq(output)]

    def _write(self, m: Module, write: memory.WritePort, rows: int, words: int, depth: int) -> None:
        """One token of every group at a time; few groups fill a word in several cycles."""
        turns = rows // self.groups
        turn_bits = turns.bit_length() - 1
        turn, place = self.write.token[:turn_bits], self.write.token[turn_bits:]
        address = Signal(range(depth), reset_less=True)
        enable = Signal(rows)
        row = Signal(ROW_BITS * self.groups, reset_less=True)
        exists = 1 if self.groups == 1 else self.exists
        m.d.sync += [
            address.eq(self.write.column * words + place),
            enable.eq(Mux(self.write.enable, Cat(Mux(_is(turn, index), exists, 0)[:self.groups]
                                                 for index in range(turns)), 0)),
            row.eq(self.write.data),
        ]
        m.d.comb += [write.addr.eq(address), write.en.eq(enable), write.data.eq(row.replicate(turns))]


def _is(turn: Value, index: int) -> Value:
    """Whether it is turn ``index``; always, when there is only one."""
    return turn == index if len(turn) else Const(1)
