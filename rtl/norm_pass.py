"""Norm pass: normalises the residual stream column by column, just ahead of the slots that read it."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import WORD_BITS, HardwareConfig
from rtl.banks import ColumnWrite
from rtl.decoder import WordWrite
from rtl.delay import delayed
from rtl.flow import Flow
from rtl.layer_norm import Normalize
from rtl.residual import Residual, statistic_layout

__all__ = ["NormPass"]


class NormPass(wiring.Component):
    """Applies the layer norm to one column of 16 channels after the other, one token every ``row_cycles`` cycles.

    It never stalls, and the array consumes a column no faster than it is made, so a slot may read a column as soon as
    its first token has been written.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    group : :py:`In(range(groups))`
        Number of this group.
    clear : :py:`In(1)`
        Give up the pass.
    start : :py:`In(1)`
    columns : :py:`In(7)`, half : :py:`In(1)`, shift : :py:`In(5)`, tokens : :py:`In(9)`, width : :py:`In(11)`
        What to normalise and which half of the parameter memory to use; stable while the pass runs.
    parameters : :py:`In(WordWrite(stream_bits))`
        Address ``half * max_width/16 + column``; words 0 and 1 are 16 int32 beta, word 2 is 16 int16 gamma.
    statistic : :py:`In(Flow(statistic_layout()))`
    read_address : :py:`Out(...)`, read_data : :py:`In(256)`
        Read port of the residual memory.
    write : :py:`Out(ColumnWrite(x_cols, max_tokens))`
    available : :py:`Out(8)`
        Columns of which the first token has been written or is just being written, since ``start``.
    busy : :py:`Out(1)`
        Reads the residual memory.
    storing : :py:`Out(1)`
        ``busy``, or the last words are still to be written.

    Latency
    -------
    ``LATENCY`` cycles from ``start`` to the first ``write``, and ``part_cycles``.

    Throughput
    ----------
    One token of a column (16 channels) every ``row_cycles`` cycles.
    """

    LATENCY = 1 + Residual.READ + Normalize.LATENCY

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        self.depth = config.residual_cols * config.group_tokens
        super().__init__({
            "group": In(range(max(config.groups, 2))),
            "clear": In(1),
            "start": In(1),
            "columns": In(7),
            "half": In(1),
            "shift": In(5),
            "tokens": In(9),
            "width": In(11),
            "parameters": In(WordWrite(config.stream_bits)),
            "statistic": In(Flow(statistic_layout())),
            "read_address": Out(range(self.depth)),
            "read_data": In(WORD_BITS),
            "write": Out(ColumnWrite(config.x_cols, config.group_tokens)),
            "available": Out(8),
            "busy": Out(1),
            "storing": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        running = Signal()
        column = Signal(7)
        token = Signal(9)
        base = Signal(range(self.depth + self.config.group_tokens))
        last_token = Signal()
        groups = self.config.groups
        group_bits = groups.bit_length() - 1
        rows = Signal(9)
        m.d.comb += [rows.eq((self.tokens + groups - 1) >> group_bits), last_token.eq(token == rows - 1)]
        issued, advance = self._cycles(m, running)
        with m.If(advance):
            m.d.sync += token.eq(Mux(last_token, 0, token + 1))
            with m.If(last_token):
                m.d.sync += [column.eq(column + 1), base.eq(base + self.config.group_tokens)]
                with m.If(column == self.columns - 1):
                    m.d.sync += running.eq(0)
        with m.If(self.start):
            m.d.sync += [running.eq(1), column.eq(0), token.eq(0), base.eq(0), self.available.eq(0)]
        with m.If(self.clear):
            m.d.sync += running.eq(0)
        latency = self.LATENCY + self.config.part_cycles
        under_way = Signal(range(latency + 1))
        m.d.sync += under_way.eq(Mux(running, latency, Mux(under_way == 0, 0, under_way - 1)))
        m.d.comb += [
            self.busy.eq(running),
            self.read_address.eq(base + token),
        ]
        # under_way != 0, known at the start of the cycle: a step's start hangs on it.
        trailing = Signal()
        m.d.sync += trailing.eq(running | (under_way > 1))
        m.d.comb += self.storing.eq(running | trailing)

        gamma, beta = self._parameters(m, column)
        statistic = self._statistics(m, token)
        m.submodules.normalize = normalize = Normalize(self.config.row_cycles)
        m.d.comb += [
            normalize.i.valid.eq(delayed(m, issued, Residual.READ, "running", reset_less=False)),
            normalize.i.payload.x.eq(self.read_data),
            normalize.i.payload.s1.eq(statistic.s1),
            normalize.i.payload.mant.eq(statistic.mant),
            normalize.i.payload.exp.eq(statistic.exp),
            normalize.i.payload.gamma.eq(gamma),
            normalize.i.payload.beta.eq(beta),
            normalize.i.payload.shift.eq(self.shift),
            normalize.width.eq(self.width),
        ]
        steps = Residual.READ + Normalize.LATENCY + self.config.part_cycles
        row = delayed(m, token, steps, "token")
        m.d.comb += [
            # The last row need not have a token of every group.
            self.write.enable.eq(normalize.o.valid & (Cat(self.group[:group_bits], row) < self.tokens)),
            self.write.column.eq(delayed(m, column, steps, "column")),
            self.write.token.eq(row),
            self.write.data.eq(normalize.o.payload),
        ]
        # A cycle ahead of the write: what is made of the count is registered.
        with m.If(delayed(m, issued & (token == 0), steps - 1, "first", reset_less=False)):
            m.d.sync += self.available.eq(self.available + 1)
        return m

    def _cycles(self, m: Module, running: Signal) -> tuple[Value, Value]:
        """First and last cycle of a token."""
        cycles = self.config.row_cycles
        if cycles == 1:
            return running, running
        cycle = Signal(range(cycles))
        m.d.sync += cycle.eq(Mux(running & ~self.start, cycle + 1, 0))
        return running & (cycle == 0), running & (cycle == cycles - 1)

    def _parameters(self, m: Module, column: Signal) -> tuple[Value, Value]:
        """Three memories of 256 bits: beta in two of them, and gamma. A stream word may write two at once."""
        columns = self.config.residual_cols
        words = []
        m.d.comb += self.parameters.ready.eq(1)
        parts = self.config.stream_bits // WORD_BITS
        for index in range(3):
            mem = memory.Memory(shape=WORD_BITS, depth=2 * columns, init=[])
            m.submodules[f"parameters{index}"] = mem
            read, write = mem.read_port(), mem.write_port()
            register = Signal(WORD_BITS, name=f"parameter{index}", reset_less=True)
            m.d.comb += [
                read.addr.eq(Mux(self.half, columns, 0) + column),
                read.en.eq(1),
                write.addr.eq(self.parameters.address),
                write.data.eq(self.parameters.data.word_select(index % parts, WORD_BITS)),
                write.en.eq(self.parameters.valid & (self.parameters.word == index // parts)),
            ]
            m.d.sync += register.eq(read.data)
            words.append(register)
        return words[2], Cat(words[0], words[1])

    def _statistics(self, m: Module, token: Signal) -> data.View:
        """The tokens' statistics, kept since the last column of the residual stream drained."""
        layout = statistic_layout()
        m.submodules.statistics = mem = memory.Memory(shape=layout.size, depth=self.config.group_tokens, init=[])
        read, write = mem.read_port(), mem.write_port()
        register = Signal(layout, name="statistic_register", reset_less=True)
        m.d.comb += [
            read.addr.eq(token),
            read.en.eq(1),
            write.addr.eq(self.statistic.payload.index),
            write.data.eq(self.statistic.payload.as_value()),
            write.en.eq(self.statistic.valid),
        ]
        m.d.sync += register.eq(read.data)
        return register
