"""What crosses token groups when tokens are dropped: rows that change their group, and the fused token's parts."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, HardwareConfig
from rtl.flow import Flow, lanes
from rtl.residual import moved_layout
from rtl.token_drop import Fuse

__all__ = ["MOVE_CYCLES", "PartSum", "RowExchange"]

MOVE_CYCLES = 1
"""Latency of :class:`RowExchange`."""


class RowExchange(wiring.Component):
    """Hands every row to the group of its token, ``index mod groups``.

    The kept tokens of a row have consecutive new indices, so no two of them go to the same group: the exchange is a
    rotation, written as one choice per target.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    i, o : :py:`In(Flow(moved_layout()))`, :py:`Out(Flow(moved_layout()))`, one per group

    Latency
    -------
    ``MOVE_CYCLES`` = 1 cycle.

    Throughput
    ----------
    One row per group a cycle.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.groups = config.groups
        super().__init__({
            "i": In(Flow(moved_layout())).array(config.groups),
            "o": Out(Flow(moved_layout())).array(config.groups),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.groups.bit_length() - 1
        for target in range(self.groups):
            valid: Value | int = 0
            row: Value | int = 0
            for source in range(self.groups):
                hit = self.i[source].valid & (self.i[source].payload.index[:bits] == target)
                valid = valid | hit
                row = row | Mux(hit, self.i[source].payload.as_value(), 0)
            m.d.sync += [self.o[target].valid.eq(valid), self.o[target].payload.eq(row)]
        return m


class PartSum(wiring.Component):
    """Joins the groups' parts of the fused token.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    tokens : :py:`In(9)`
        Groups without a token have no part.
    part : :py:`In(lanes(Fuse.SUM_BITS))`, one per group
    total : :py:`Out(lanes(Fuse.SUM_BITS))`

    Latency
    -------
    A cycle per stage of adders, ``log2(groups)``.

    Throughput
    ----------
    One sum a cycle.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.groups = config.groups
        super().__init__({
            "tokens": In(9),
            "part": In(lanes(Fuse.SUM_BITS)).array(config.groups),
            "total": Out(lanes(Fuse.SUM_BITS)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(BLOCK):
            terms: list[Value] = [Mux(self.tokens > group, self.part[group][lane], 0) for group in range(self.groups)]
            level = 0
            while len(terms) > 1:
                sums = []
                for pair in range(0, len(terms), 2):
                    s = Signal(signed(Fuse.SUM_BITS), name=f"sum{lane}_{level}_{pair}", reset_less=True)
                    m.d.sync += s.eq(terms[pair] + terms[pair + 1])
                    sums.append(s)
                terms, level = sums, level + 1
            m.d.comb += self.total[lane].eq(terms[0])
        return m
