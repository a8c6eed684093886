"""Skid buffer: cuts the paths between the two ends of a stream, in both directions."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Skid"]


class Skid(wiring.Component):
    """Hands words on through registers: neither valid and payload nor ready pass without one.

    A second register takes the word that arrives while the receiver has just stopped, as the sender hears of it a cycle
    late.

    Parameters
    ----------
    width : int
        Bits of a word.

    Members
    -------
    clear : :py:`In(1)`
        Forget what is held.
    i : :py:`In(stream.Signature(width))`, o : :py:`Out(stream.Signature(width))`

    Latency
    -------
    1 cycle.

    Throughput
    ----------
    One word a cycle.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__({"clear": In(1), "i": In(stream.Signature(width)), "o": Out(stream.Signature(width))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        front, spare = Signal(self.width, reset_less=True), Signal(self.width, reset_less=True)
        held, spilt = Signal(), Signal()  # there is a word in front, and one behind it
        moves = Signal()
        m.d.comb += [
            self.i.ready.eq(~spilt),
            self.o.valid.eq(held),
            self.o.payload.eq(front),
            moves.eq(self.o.ready | ~held),
        ]
        m.d.sync += [
            held.eq(~self.clear & (self.i.valid | spilt | ~moves)),
            spilt.eq(~self.clear & ~moves & (spilt | self.i.valid)),
            front.eq(Mux(moves, Mux(spilt, spare, self.i.payload), front)),
            spare.eq(Mux(spilt, spare, self.i.payload)),
        ]
        return m
