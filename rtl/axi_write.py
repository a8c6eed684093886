"""AXI4 write master: stores a short sequence of 256-bit words (the logits) in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import WORD_BITS, HardwareConfig
from rtl.axi import BURST_INCR, PAGE_BITS, AXI4Write, Resp, burst_size

BURST_WORDS = 64
"""Words of a full burst: 2 KiB, so no burst of a transfer that starts at a multiple of 4 KiB crosses one."""


class AxiWrite(wiring.Component):
    """AXI4 write master: one burst of up to 64 words at a time, the next one after its response.

    Parameters
    ----------
    config : HardwareConfig
        ``bus_bits`` is used.

    Members
    -------
    start : :py:`In(1)`
        Pulse; ``address`` and ``words`` are taken in that cycle. Ignored during a transfer; while a cleared transfer is
        being completed it is remembered.
    address : :py:`In(64)`
        Byte address, a multiple of 4 KiB; the low 12 bits are taken as zero.
    words : :py:`In(32)`
        Number of 256-bit words; 0 writes nothing.
    i : :py:`In(stream.Signature(unsigned(256)))`
        The words. Exactly ``words`` are taken.
    busy : :py:`Out(1)`
        From the cycle after ``start`` until all responses have come.
    error : :py:`Out(1)`
        A response was not OKAY; stays until ``clear``.
    clear : :py:`In(1)`
        Pulse: resets ``error`` and ends the transfer. AXI demands that a burst is completed once its address is out:
        its missing beats then have no strobe set, take nothing from ``i``, and the response is not looked at; ``busy``
        stays high until that is done.
    bus : :py:`Out(AXI4Write(config.bus_bits))`

    Latency
    -------
    From ``start`` to ``awvalid`` 2 cycles; from a word to its beat 1 cycle.

    Throughput
    ----------
    One beat per cycle within a burst (512 bits: as fast as the words come); between bursts the round trip of the
    response.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self._bus_bits = config.bus_bits
        super().__init__({
            "start": In(1),
            "address": In(64),
            "words": In(32),
            "i": In(stream.Signature(WORD_BITS)),
            "busy": Out(1),
            "error": Out(1),
            "clear": In(1),
            "bus": Out(AXI4Write(config.bus_bits)),
        })

    if TYPE_CHECKING:  # members are attributes that only the signature names

        def __getattr__(self, name: str) -> Any: ...

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bus = self.bus
        left = Signal(32)
        chunk = Signal(64 - (BURST_WORDS * WORD_BITS // 8).bit_length() + 1)
        words = Signal(range(BURST_WORDS + 1))
        # The burst under way: beats still to send, and whether it is only being completed after ``clear``.
        beats = Signal(range(BURST_WORDS * WORD_BITS // self._bus_bits + 1))
        flush = Signal()
        # A transfer begins; one that did so while ``flush``.
        begin, again = Signal(), Signal()
        sending, moved = Signal(), Signal()
        m.d.comb += [
            words.eq(Mux(left >= BURST_WORDS, BURST_WORDS, left)),
            bus.awsize.eq(burst_size(self._bus_bits)),
            bus.awburst.eq(BURST_INCR),
        ]
        self._send(m, sending, moved, beats, flush, words)
        m.d.sync += beats.eq(beats - moved)
        m.d.comb += begin.eq(self.start & (~self.busy | flush) & (self.words != 0) & ~self.clear)
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += flush.eq(0)
                with m.If(begin):
                    m.next = "BURST"
            with m.State("BURST"):
                m.d.sync += [
                    beats.eq(self._beats(words)),
                    bus.awlen.eq(self._beats(words) - 1),
                    bus.awaddr.eq(Cat(Const(0, 64 - len(chunk)), chunk)),
                ]
                m.next = "ADDRESS"
                with m.If(self.clear):
                    m.next = "IDLE"
            with m.State("ADDRESS"):
                m.d.comb += bus.awvalid.eq(1)
                with m.If(bus.awready):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += sending.eq(1)
                with m.If(moved & (beats == 1)):
                    m.next = "RESPONSE"
            with m.State("RESPONSE"):
                m.d.comb += bus.bready.eq(1)
                with m.If(bus.bvalid):
                    m.d.sync += [flush.eq(0), left.eq(Mux(flush, left, left - words)), chunk.eq(chunk + ~flush)]
                    finished = Mux(flush, ~(again | begin), left == words)
                    m.next = "BURST"
                    with m.If(finished | self.clear):
                        m.next = "IDLE"
                    with m.If((bus.bresp != Resp.OKAY) & ~flush):
                        m.d.sync += self.error.eq(1)
        with m.If(begin):
            page = Cat(Const(0, PAGE_BITS - 64 + len(chunk)), self.address[PAGE_BITS:])
            m.d.sync += [left.eq(self.words), chunk.eq(page), again.eq(1)]
        with m.If(self.clear):
            m.d.sync += [self.error.eq(0), again.eq(0)]
            with m.If(self.busy):
                m.d.sync += flush.eq(1)
        return m

    def _beats(self, words: Signal) -> Any:
        """Beats of a burst of ``words`` words."""
        if self._bus_bits <= WORD_BITS:
            return words * (WORD_BITS // self._bus_bits)
        return (words + 1) >> 1

    def _send(self, m: Module, sending: Signal, moved: Signal, beats: Signal, flush: Signal, words: Signal) -> None:
        """Words -> beats -> the W register. ``flush`` makes the beats that are missing without data."""
        bus = self.bus
        room = ~bus.wvalid | bus.wready
        full = (1 << self._bus_bits // 8) - 1
        valid, last = Signal(), Signal()
        m.d.comb += [last.eq(beats == 1), moved.eq(sending & room & (valid | flush))]
        beat: Any = self.i.payload
        strobe: Any = Const(full, self._bus_bits // 8)
        if self._bus_bits == WORD_BITS:
            m.d.comb += [valid.eq(self.i.valid), self.i.ready.eq(sending & room & ~flush)]
        elif self._bus_bits < WORD_BITS:
            second = Signal()
            m.d.comb += [valid.eq(self.i.valid), self.i.ready.eq(sending & room & second & ~flush)]
            m.d.sync += second.eq(sending & (second ^ moved))
            beat = beat.word_select(second, self._bus_bits)
        else:
            held, low = Signal(), Signal(WORD_BITS, reset_less=True)
            alone = last & words[0]  # the last word of an odd burst goes in the low half
            m.d.comb += [valid.eq(self.i.valid & (held | alone)),
                         self.i.ready.eq(sending & ~flush & (room | ~(held | alone)))]
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += [held.eq(~held & ~alone), low.eq(self.i.payload)]
            with m.If(~sending):
                m.d.sync += held.eq(0)
            beat = Mux(alone, beat, Cat(low, beat))
            strobe = Mux(alone, full >> WORD_BITS // 8, strobe)
        with m.If(bus.wready):
            m.d.sync += bus.wvalid.eq(0)
        with m.If(moved):
            m.d.sync += [bus.wvalid.eq(1), bus.wdata.eq(beat), bus.wstrb.eq(Mux(flush, 0, strobe)),
                         bus.wlast.eq(last)]
