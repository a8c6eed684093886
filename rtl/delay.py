"""Delay line in a memory: long delays of wide words without a register per stage."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["DelayLine", "delayed"]


class DelayLine(wiring.Component):
    """Hands on every word ``cycles`` cycles later.

    Parameters
    ----------
    width : int
    cycles : int
        At least 3.

    Members
    -------
    i : :py:`In(width)`
    o : :py:`Out(width)`

    Latency
    -------
    ``cycles``.

    Throughput
    ----------
    One word a cycle.
    """

    def __init__(self, width: int, cycles: int) -> None:
        if cycles < 3:
            raise ValueError(f"cycles must be at least 3, not {cycles}")
        self.width, self.cycles = width, cycles
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = mem = memory.Memory(shape=self.width, depth=self.cycles, init=[])
        read, write = mem.read_port(), mem.write_port()
        position = Signal(range(self.cycles))
        following = Signal(range(self.cycles))
        m.d.comb += [
            following.eq(Mux(position == self.cycles - 1, 0, position + 1)),
            write.addr.eq(position),
            write.data.eq(self.i),
            write.en.eq(1),
            # The slot written cycles - 1 cycles ago; its word appears one cycle later.
            read.addr.eq(following),
            read.en.eq(1),
            self.o.eq(read.data),
        ]
        m.d.sync += position.eq(following)
        return m


def delayed(m: Module, value: Value, cycles: int, name: str, *, reset_less: bool = True,
            attrs: dict[str, str] | None = None) -> Value:
    """``value`` after ``cycles`` registers; for narrow signals."""
    for stage in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{stage}", reset_less=reset_less, attrs=attrs or {})
        m.d.sync += register.eq(value)
        value = register
    return value
