"""Largest score of every attention row, kept up to date while scores drain."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, HardwareConfig
from rtl.flow import Flow, lanes

__all__ = ["RowMax"]


class RowMax(wiring.Component):
    """Running maximum per (local head, token).

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    i : :py:`In(Flow(RowMax.layout(config)))`
        Sixteen scores of a row, masked lanes at -128. The same row may come again ``LATENCY`` cycles later.
    local_head : :py:`In(ArrayLayout(4, clusters))`, token : :py:`In(9)`
        Row to read, per cluster.
    maximum : :py:`Out(ArrayLayout(signed(8), clusters))`

    Latency
    -------
    ``READ`` = 4 cycles from ``token`` to ``maximum`` (that of the banks the scores come from); ``local_head`` may
    change with the first token of a slot. ``LATENCY`` = 4 cycles from ``i`` until the row is up to date.

    Throughput
    ----------
    One row a cycle, and a read a cycle per cluster.
    """

    READ = 4
    LATENCY = 4

    @staticmethod
    def layout(config: HardwareConfig) -> data.StructLayout:
        """Scores of one row: ``first`` marks a head's first key block."""
        return data.StructLayout({"local_head": 4, "token": 9, "first": 1, "score": lanes(8)})

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        super().__init__({
            "i": In(Flow(self.layout(config))),
            "local_head": In(data.ArrayLayout(4, config.clusters)),
            "token": In(9),
            "maximum": Out(data.ArrayLayout(signed(8), config.clusters)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        depth = config.score_heads * config.group_tokens
        m.submodules.memory = mem = memory.Memory(shape=signed(8), depth=depth, init=[])
        self._update(m, mem, depth)
        for cluster in range(config.clusters):
            read = mem.read_port()
            base = Signal(range(depth), name=f"base{cluster}", reset_less=True)
            token = Signal(9, name=f"token{cluster}", reset_less=True)
            address = Signal(range(depth), name=f"address{cluster}", reset_less=True)
            result = Signal(signed(8), name=f"maximum{cluster}", reset_less=True)
            m.d.sync += [
                base.eq(self.local_head[cluster] * config.group_tokens),
                token.eq(self.token),
                address.eq(base + token),
                result.eq(read.data),
            ]
            m.d.comb += [read.addr.eq(address), read.en.eq(1), self.maximum[cluster].eq(result)]
        return m

    def _update(self, m: Module, mem: memory.Memory, depth: int) -> None:
        """Maximum of the 16 lanes in two stages, then read, compare, write."""
        i = self.i.payload
        quads = []
        for group in range(0, BLOCK, 4):
            q = Signal(signed(8), name=f"quad{group}", reset_less=True)
            m.d.sync += q.eq(_largest([i.score[group + k] for k in range(4)]))
            quads.append(q)
        row = Signal(signed(8), reset_less=True)
        m.d.sync += row.eq(_largest(quads))

        valid, first = self.i.valid, i.first
        address: Value = Signal(range(depth), name="update_address", reset_less=True)
        m.d.sync += address.eq(i.local_head * self.config.group_tokens + i.token)
        stages = []
        for stage in range(3):
            v = Signal(name=f"valid{stage}")
            f = Signal(name=f"first{stage}", reset_less=True)
            m.d.sync += [v.eq(valid), f.eq(first)]
            if stage:
                a = Signal(range(depth), name=f"update_address{stage}", reset_less=True)
                m.d.sync += a.eq(address)
                address = a
            valid, first = v, f
            stages.append((v, f, address))
        read, write = mem.read_port(), mem.write_port()
        m.d.comb += [read.addr.eq(stages[0][2]), read.en.eq(1)]
        result = Signal(signed(8), reset_less=True)
        m.d.sync += result.eq(Mux(stages[1][1], row, _largest([row, read.data])))
        m.d.comb += [write.addr.eq(stages[2][2]), write.en.eq(stages[2][0]), write.data.eq(result)]


def _largest(values: list[Value]) -> Value:
    while len(values) > 1:
        values = [Mux(a > b, a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]
