"""GELU as a table (``docs/numerics.md`` section 6), and the byte table it shares with the exponential."""

from amaranth.hdl import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK
from flows.contracts.numerics import GELU_ENTRIES, GELU_OFFSET
from rtl.flow import Flow, TableWrite, lanes
from rtl.pipeline import Pipeline

__all__ = ["ByteTable", "Gelu"]


class ByteTable(wiring.Component):
    """Sixteen copies of a 256-byte table: one lookup per lane and cycle.

    In LUTs (about 70 each by open synthesis): block RAMs of 18 Kb would be filled to a ninth, and there are sixteen
    for every cluster.

    Members
    -------
    index : :py:`In(lanes(8, is_signed=False))`
    value : :py:`Out(lanes(8, is_signed=False))`
    table : :py:`In(TableWrite())`
        Written to all copies. An index presented in the cycle of a write to the same entry gives either value.

    Latency
    -------
    ``LATENCY`` = 1 cycle.

    Throughput
    ----------
    Sixteen lookups a cycle.
    """

    LATENCY = 1

    index: In(lanes(8, is_signed=False))
    value: Out(lanes(8, is_signed=False))
    table: In(TableWrite())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(BLOCK):
            m.submodules[f"copy{lane}"] = copy = memory.Memory(
                shape=8, depth=256, init=[], attrs={"ram_style": "distributed"})
            write, read = copy.write_port(), copy.read_port()
            m.d.comb += [
                write.en.eq(self.table.enable), write.addr.eq(self.table.address), write.data.eq(self.table.data),
                read.en.eq(1), read.addr.eq(self.index[lane]), self.value[lane].eq(read.data),
            ]
        return m


class Gelu(wiring.Component):
    """Sixteen lanes of ``table[code + 128]``.

    Members
    -------
    i : :py:`In(Flow(lanes(8)))`
        int8 pre-activations.
    o : :py:`Out(Flow(lanes(8, is_signed=False)))`
        uint8 activations; the next layer's bias holds their zero point.
    table : :py:`In(TableWrite())`
        A write is seen by inputs of later cycles.

    Latency
    -------
    ``LATENCY`` = 2 cycles: table, output register of the block RAM.

    Throughput
    ----------
    One vector of 16 a cycle.
    """

    LATENCY = 2

    i: In(Flow(lanes(8)))
    o: Out(Flow(lanes(8, is_signed=False)))
    table: In(TableWrite())

    def elaborate(self, platform: object) -> Module:
        assert GELU_ENTRIES == 1 << 8
        m = Module()
        m.submodules.lookup = lookup = ByteTable()
        wiring.connect(m, wiring.flipped(self.table), lookup.table)
        p = Pipeline(m, self.i.valid)
        # Adding 128 to a two's complement byte and reading it unsigned flips its top bit.
        m.d.comb += [lookup.index[k].eq(self.i.payload[k] ^ GELU_OFFSET) for k in range(BLOCK)]
        p.stage()
        s = p.stage(value=lookup.value)
        m.d.comb += [self.o.valid.eq(p.valid), self.o.payload.eq(s.value)]
        return m
