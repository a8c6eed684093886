"""Residual stream: memory, saturating add, token compaction, fused token, and sums for the layer norm."""

from collections.abc import Callable

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Member, Out

from flows.contracts.hardware import BLOCK, WORD_BITS, HardwareConfig
from rtl.decoder import WordWrite
from rtl.delay import delayed
from rtl.flow import Flow, lanes
from rtl.layer_norm import Rsqrt
from rtl.row_parts import join_row, part_lanes, split_row
from rtl.token_drop import Fuse
from rtl.ultra import memory_attributes

__all__ = ["Residual", "residual_layout", "statistic_layout"]

S1_BITS = 27
S2_BITS = 41


def residual_layout() -> data.StructLayout:
    """A row of a finished column on its way into the residual stream.

    ``y``: what to add; ``token``: row read; ``index``: token written; ``keep``: the token stays; ``weight``: its weight
    in the fused token if not; ``start``: first row of the column; ``fused``: the extra row of the fused token;
    ``first``, ``last``: first and last column of the step, for the statistics.
    """
    return data.StructLayout({
        "y": lanes(16), "column": 7, "token": 9, "index": 9, "keep": 1, "weight": 16, "start": 1, "fused": 1,
        "first": 1, "last": 1,
    })


def statistic_layout() -> data.StructLayout:
    """Layer norm statistics of a token: sum, and inverse square root as mantissa and exponent."""
    return data.StructLayout({"index": 9, "s1": signed(S1_BITS), "mant": 16, "exp": signed(6)})


def moved_layout() -> data.StructLayout:
    """A row on its way to the group that holds token ``index``."""
    return data.StructLayout({"x": WORD_BITS, "column": 7, "index": 9, "first": 1, "last": 1})


class Residual(wiring.Component):
    """The int16 residual stream and everything that happens while a column drains into it.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    i : :py:`In(Flow(residual_layout()))`
    width : :py:`In(11)`
        D, for the statistics.
    initial : :py:`In(WordWrite())`
        Initial contents from the program stream; waits while a column is written.
    read_address : :py:`In(...)`, read_data : :py:`Out(256)`
        Read port of the norm pass, used while nothing drains here; ``READ`` cycles.
    statistic : :py:`Out(Flow(statistic_layout()))`
        After the last column of a step, once per token.
    written : :py:`Out(Flow({column, token, data}))`
        What is written into the memory, ``token`` as a row of this group.
    moved : :py:`Out(Flow(moved_layout()))`, placed : :py:`In(Flow(moved_layout()))`
        Only with several groups: rows that leave, which may belong to another group now, and rows that arrive.
    part : :py:`Out(...)`, total : :py:`In(...)`
        Only with several groups: see :class:`Fuse`.

    Latency
    -------
    ``LATENCY`` cycles from ``i`` until the row is in the memory (``written`` is valid a cycle before), ``STATISTICS``
    until whoever listens has stored its statistic (``statistic`` is valid a cycle before); ``part_cycles`` more for
    the former, twice as many for the latter.

    Throughput
    ----------
    One row every ``row_cycles`` cycles.
    """

    READ = 2
    ADD = 4
    LATENCY = ADD + Fuse.LATENCY + 2
    STATISTICS = ADD + Fuse.LATENCY + 5 + Rsqrt.LATENCY

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        self.depth = config.residual_cols * config.group_tokens
        super().__init__({
            "i": In(Flow(residual_layout())),
            "width": In(11),
            "initial": In(WordWrite(WORD_BITS)),
            "read_address": In(range(self.depth)),
            "read_data": Out(WORD_BITS),
            "statistic": Out(Flow(statistic_layout())),
            "written": Out(Flow(data.StructLayout({"column": 7, "token": 9, "data": WORD_BITS}))),
            **(self._group_ports() if config.groups > 1 else {}),
        })

    @staticmethod
    def _group_ports() -> dict[str, Member]:
        return {"moved": Out(Flow(moved_layout())), "placed": In(Flow(moved_layout())),
                "part": Out(lanes(Fuse.SUM_BITS)), "total": In(lanes(Fuse.SUM_BITS))}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = mem = memory.Memory(
            shape=WORD_BITS, depth=self.depth, init=[], attrs=memory_attributes(self.depth, self.config.uram_words))
        self._add(m, mem)
        self._fuse(m)
        self._write(m, mem)
        self._statistics(m)
        return m

    def _add(self, m: Module, mem: memory.Memory) -> None:
        """Read the token's row and add; the result is valid ``ADD`` cycles after ``i``."""
        read = mem.read_port()
        i = self.i.payload
        base = Signal(range(self.depth), reset_less=True)
        token = Signal(9, reset_less=True)
        address = Signal(range(self.depth), reset_less=True)
        adding = Signal()
        m.d.sync += [
            base.eq(i.column * self.config.group_tokens),
            token.eq(i.token),
            adding.eq(self.i.valid),
            address.eq(Mux(adding, base + token, self.read_address)),
        ]
        m.d.comb += [read.addr.eq(address), read.en.eq(1), self.read_data.eq(read.data)]

        rows = [self.i.payload.as_value()]
        valid: Value = self.i.valid
        for stage in range(self.ADD):
            row = Signal(rows[0].shape(), name=f"row{stage}", reset_less=True)
            v = Signal(name=f"row_valid{stage}")
            m.d.sync += [row.eq(rows[-1]), v.eq(valid)]
            rows.append(row)
            valid = v
        layout = residual_layout()
        before = data.View(layout, rows[self.ADD - 1])
        added = []
        for lane in range(BLOCK):
            total = Signal(signed(17), name=f"total{lane}")
            x = Signal(signed(16), name=f"x{lane}", reset_less=True)
            old = read.data.word_select(lane, 16).as_signed()
            m.d.comb += total.eq(old + before.y[lane])
            m.d.sync += x.eq(Mux(total[16] == total[15], total[:16].as_signed(),
                                 Mux(total[16], -32768, 32767)))
            added.append(x)
        self._row = data.View(layout, rows[self.ADD])
        self._row_valid = valid
        self._added = added

    def _fuse(self, m: Module) -> None:
        grouped = self.config.groups > 1
        m.submodules.fuse = fuse = Fuse(shared=grouped, row_cycles=self.config.row_cycles)
        latency = Fuse.LATENCY + self.config.part_cycles
        row = self._row
        m.d.comb += [
            fuse.i.valid.eq(self._row_valid),
            fuse.i.payload.x.eq(Cat(self._added)),
            fuse.i.payload.weight.eq(row.weight),
            fuse.i.payload.dropped.eq(~row.keep & ~row.fused),
            fuse.i.payload.first.eq(row.start),
            fuse.i.payload.fused.eq(row.fused),
        ]
        moved = Signal(moved_layout(), name="moving")
        moved_valid = Signal()
        kept = row.keep | row.fused
        m.d.comb += [
            moved_valid.eq(fuse.o.valid & delayed(m, kept, latency, "kept")),
            moved.x.eq(fuse.o.payload.as_value()),
            moved.index.eq(delayed(m, row.index, latency, "index")),
            moved.column.eq(delayed(m, row.column, latency, "column")),
            moved.first.eq(delayed(m, row.first, latency, "first")),
            moved.last.eq(delayed(m, row.last, latency, "last")),
        ]
        placed, placed_valid = moved, moved_valid
        if grouped:
            m.d.comb += [
                self.moved.valid.eq(moved_valid), self.moved.payload.eq(moved),
                self.part.eq(fuse.part), fuse.total.eq(self.total),
            ]
            placed, placed_valid = self.placed.payload, self.placed.valid
        self._x, self._x_valid = placed.x, placed_valid
        self._index = placed.index[self.config.groups.bit_length() - 1:]
        self._column, self._first, self._last = placed.column, placed.first, placed.last

    def _write(self, m: Module, mem: memory.Memory) -> None:
        write = mem.write_port()
        enable = Signal()
        address = Signal(range(self.depth), reset_less=True)
        word = Signal(WORD_BITS, reset_less=True)
        base = Signal(range(self.depth), name="write_base", reset_less=True)
        index = Signal(9, name="write_index", reset_less=True)
        x = Signal(WORD_BITS, name="write_x", reset_less=True)
        column = Signal(7, name="write_column", reset_less=True)
        valid = Signal(name="write_valid")
        m.d.sync += [
            base.eq(self._column * self.config.group_tokens),
            column.eq(self._column),
            index.eq(self._index),
            x.eq(self._x),
            valid.eq(self._x_valid),
            enable.eq(valid | self.initial.valid),
            address.eq(Mux(valid, base + index, self.initial.address)),
            word.eq(Mux(valid, x, self.initial.data)),
        ]
        m.d.comb += [
            self.initial.ready.eq(~valid),
            write.en.eq(enable),
            write.addr.eq(address),
            write.data.eq(word),
            self.written.valid.eq(valid),
            self.written.payload.column.eq(column),
            self.written.payload.token.eq(index),
            self.written.payload.data.eq(x),
        ]

    def _statistics(self, m: Module) -> None:
        """Sum and sum of squares of the 16 lanes in three stages, then accumulate over the columns."""
        values, squares = self._squares(m)
        s1 = _sum_tree(m, values, "s1", signed)
        s2 = _sum_tree(m, squares, "s2", unsigned)

        latency = 3 + self.config.part_cycles
        valid = delayed(m, self._x_valid, latency, "sum_valid", reset_less=False)
        first = delayed(m, self._first, latency, "sum_first")
        last = delayed(m, self._last, latency, "sum_last")
        index_early = delayed(m, self._index, latency - 1, "sum_index")
        index = delayed(m, index_early, 1, "sum_index_late")

        m.submodules.sums = mem = memory.Memory(
            shape=unsigned(S1_BITS + S2_BITS), depth=self.config.group_tokens, init=[])
        read, write = mem.read_port(), mem.write_port()
        m.d.comb += [read.addr.eq(index_early), read.en.eq(1)]
        old_s1 = read.data[:S1_BITS].as_signed()
        old_s2 = read.data[S1_BITS:]
        new_s1 = Signal(signed(S1_BITS), reset_less=True)
        new_s2 = Signal(unsigned(S2_BITS), reset_less=True)
        new_valid = Signal()
        new_last = Signal(reset_less=True)
        new_index = Signal(9, reset_less=True)
        m.d.sync += [
            new_s1.eq(Mux(first, 0, old_s1) + s1),
            new_s2.eq(Mux(first, 0, old_s2) + s2),
            new_valid.eq(valid),
            new_last.eq(last),
            new_index.eq(index),
        ]
        m.d.comb += [write.addr.eq(new_index), write.en.eq(new_valid), write.data.eq(Cat(new_s1, new_s2))]

        m.submodules.rsqrt = rsqrt = Rsqrt()
        m.d.comb += [
            rsqrt.i.valid.eq(new_valid & new_last),
            rsqrt.i.payload.s1.eq(new_s1),
            rsqrt.i.payload.s2.eq(new_s2),
            rsqrt.width.eq(self.width),
            self.statistic.valid.eq(rsqrt.o.valid),
            self.statistic.payload.index.eq(delayed(m, new_index, Rsqrt.LATENCY, "rsqrt_index")),
            self.statistic.payload.s1.eq(rsqrt.o.payload.s1),
            self.statistic.payload.mant.eq(rsqrt.o.payload.mant),
            self.statistic.payload.exp.eq(rsqrt.o.payload.exp),
        ]

    def _squares(self, m: Module) -> tuple[list[Value], list[Value]]:
        """The 16 lanes and their squares, a cycle later (and ``part_cycles``)."""
        cycles = self.config.row_cycles
        row = data.View(data.StructLayout({"x": lanes(16)}), self._x)
        valid, parts = split_row(m, self._x_valid, row, cycles)
        values, squares = [], []
        for lane in range(part_lanes(cycles)):
            x = parts.x[lane]
            square = Signal(unsigned(31), name=f"square{lane}", reset_less=True)
            value = Signal(signed(16), name=f"value{lane}", reset_less=True)
            m.d.sync += [square.eq(x * x), value.eq(x)]
            squares.append(square)
            values.append(value)
        return join_row(m, valid, values, cycles, "value")[1], join_row(m, valid, squares, cycles, "square")[1]


def _sum_tree(m: Module, terms: list[Value], name: str, shape: Callable[[int], Shape]) -> Value:
    """Sum of 16 terms in two registered stages of four."""
    for level in range(2):
        sums: list[Value] = []
        for group in range(0, len(terms), 4):
            s = Signal(shape(len(terms[0]) + 2), name=f"{name}_{level}_{group}", reset_less=True)
            m.d.sync += s.eq((terms[group] + terms[group + 1]) + (terms[group + 2] + terms[group + 3]))
            sums.append(s)
        terms = sums
    return terms[0]
