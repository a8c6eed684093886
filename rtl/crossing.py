"""Register slices between what exists once and the token groups, so that a group can lie on another die.

A path from die to die takes most of a clock cycle, so every signal between the shared part and a group passes a number
of registers in each direction. Whatever a group gets is late by the same number of cycles, so inside nothing changes;
what comes back is late by as much again. The barriers between steps (:func:`rtl.core.core_drain_cycles`) and the rows
that wait for the fused token (``HardwareConfig.fuse_stages``) account for it.
"""

from typing import Any

from amaranth.hdl import Cat, Module, ResetInserter, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from rtl.decoder import WordWrite
from rtl.delay import delayed

__all__ = ["WriteCrossing", "crossed", "crossing_bits", "registered"]

NO_SHIFT_REGISTER = {"shreg_extract": "no"}
"""Keeps synthesis from making a shift register in a LUT of the stages: they have to lie apart."""


def registered(m: Module, value: Value, stages: int, name: str) -> Value:
    """``value`` after that many registers, each with a place of its own.

    Single bits are reset, as they say whether the rest means anything.
    """
    return delayed(m, value, stages, name, reset_less=len(value) > 1, attrs=NO_SHIFT_REGISTER)


class WriteCrossing(wiring.Component):
    """A write with back-pressure across register slices: words wait in a small FIFO on the far side.

    The near side counts what it has sent and not yet heard of, so the FIFO never overflows.

    Parameters
    ----------
    bits : int
        Of a word's data.
    stages : int
        Registers in each direction.

    Members
    -------
    clear : :py:`In(1)`
        Forget what is on its way; held for longer than ``2 * stages`` cycles unless nothing is.
    i : :py:`In(WordWrite(bits))`, o : :py:`Out(WordWrite(bits))`

    Latency
    -------
    ``stages + 1`` cycles.

    Throughput
    ----------
    One word a cycle while the far side is ready.
    """

    DEPTH = 16

    def __init__(self, bits: int, stages: int) -> None:
        if not 0 <= 2 * stages + 4 <= self.DEPTH:
            raise ValueError(f"stages must be 0 to {(self.DEPTH - 4) // 2}, not {stages}")
        self.stages = stages
        super().__init__({"clear": In(1), "i": In(WordWrite(bits)), "o": Out(WordWrite(bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fields = ("address", "word", "data")
        sent, heard, far_clear = Signal(), Signal(), Signal()
        out = Signal(range(self.DEPTH + 1))
        # The highest bit is set when there are DEPTH words, a power of two, and never more.
        m.d.comb += [self.i.ready.eq(~out[-1]), sent.eq(self.i.valid & self.i.ready)]
        m.d.sync += out.eq(out + sent - heard)
        with m.If(self.clear):
            m.d.sync += out.eq(0)

        payload = Cat(getattr(self.i, name) for name in fields)
        fifo = SyncFIFO(width=len(payload), depth=self.DEPTH)
        m.submodules.fifo = ResetInserter(far_clear)(fifo)
        m.d.comb += [
            far_clear.eq(registered(m, self.clear, self.stages, "clear")),
            fifo.w_en.eq(registered(m, sent, self.stages, "sent")),
            fifo.w_data.eq(registered(m, payload, self.stages, "payload")),
            self.o.valid.eq(fifo.r_rdy & ~far_clear),
            Cat(getattr(self.o, name) for name in fields).eq(fifo.r_data),
            fifo.r_en.eq(self.o.valid & self.o.ready),
            heard.eq(registered(m, fifo.r_en, self.stages, "heard") & ~self.clear),
        ]
        return m


def crossed(m: Module, name: str, far: Any, stages: int, clear: Value, *, constant: tuple[str, ...] = ()) -> Any:
    """The near side of a component's interface behind register slices.

    Parameters
    ----------
    m : Module
        Gets the registers.
    name : prefix of their names
    far : interface of the component
        Members of :class:`WordWrite` get a :class:`WriteCrossing`, all others registers.
    stages : int
        Registers in each direction; with 0 the interface itself is returned.
    clear : Value
        See :class:`WriteCrossing`.
    constant : names of members that never change
    """
    if stages == 0:
        return far
    near = far.signature.create(path=(f"near_{name}",))
    for member, description in far.signature.members.items():
        here, there = getattr(near, member), getattr(far, member)
        if description.is_signature and isinstance(description.signature, WordWrite):
            m.submodules[f"{name}_{member}"] = write = WriteCrossing(len(there.data), stages)
            m.d.comb += write.clear.eq(clear)
            _connect(m, write.i, here)
            _connect(m, there, write.o)
        else:
            _cross(m, f"{name}_{member}", description, here, there, 0 if member in constant else stages)
    return near


def crossing_bits(far: wiring.Signature) -> dict[str, int]:
    """Bits of a component's interface by member, as :func:`crossed` gives registers to them."""
    return {name: _port_bits(member) if member.is_port else sum(map(_port_bits, member.signature.members.values()))
            for name, member in far.members.items()}


def _port_bits(port: Any) -> int:
    return Shape.cast(port.shape).width


def _cross(m: Module, name: str, description: Any, here: Any, there: Any, stages: int) -> None:
    """Registers for a port, or for every port of a member that is an interface."""
    if description.is_port:
        source, target = (here, there) if description.flow == wiring.In else (there, here)
        m.d.comb += Value.cast(target).eq(registered(m, Value.cast(source), stages, name))
        return
    for inner, port in description.signature.members.items():
        _cross(m, f"{name}_{inner}", port, getattr(here, inner), getattr(there, inner), stages)


def _connect(m: Module, target: Any, source: Any) -> None:
    """``source`` writes into ``target``."""
    m.d.comb += [source.ready.eq(target.ready), *(getattr(target, name).eq(getattr(source, name))
                                                  for name in ("valid", "address", "word", "data"))]
