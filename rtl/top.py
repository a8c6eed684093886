"""Top level: the core behind an AXI4-Lite register bank and an AXI4 memory master."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import HardwareConfig
from flows.contracts.registers import ADDRESS_BITS, TOKENS_KEPT_ENTRIES, Error
from rtl.axi import AXI4, AXI4Lite, join_channels
from rtl.axi_read import AxiRead
from rtl.axi_write import AxiWrite
from rtl.control import Control
from rtl.core import Core
from rtl.program_store import ProgramStore

__all__ = ["Top"]

REST_CYCLES = 128
"""After an error: longer than a word is on its way from any memory to any other."""

STALLS = ("stall_memory", "stall_load", "stall_barrier", "stall_column", "stall_select")


class State(enum.Enum):
    """Life of a run."""

    IDLE = 0
    CLEAR = 1
    START = 2
    RUN = 3
    SEND = 4
    WRITE = 5
    STOP = 6


class Top(wiring.Component):
    """The accelerator.

    A run reads a program and an image, writes the logits, and ends with ``done``; every error ends it too, with a code.
    With several images the program is executed once for each. The next image's patches and program words are fetched
    ahead, and the logits are sent to memory while the next image runs.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    s_axi_control : :py:`In(AXI4Lite())`
        Registers, see :mod:`flows.contracts.registers`.
    m_axi_gmem : :py:`Out(AXI4(config.bus_bits))`
    interrupt : :py:`Out(1)`
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        super().__init__({
            "s_axi_control": In(AXI4Lite(addr_width=ADDRESS_BITS)),
            "m_axi_gmem": Out(AXI4(config.bus_bits)),
            "interrupt": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.control = control = Control(config)
        m.submodules.axi_read = read = AxiRead(config, image_words=config.image_fifo_words)
        m.submodules.axi_write = write = AxiWrite(config)
        m.submodules.core = core = Core(config)
        self._buses(m, control, read, write, core)
        self._run(m, control, read, write, core)
        self._counters(m, control, core)
        return m

    def _buses(self, m: Module, control: Control, read: AxiRead, write: AxiWrite, core: Core) -> None:
        wiring.connect(m, wiring.flipped(self.s_axi_control), control.bus)
        m.d.comb += self.interrupt.eq(control.interrupt)
        join_channels(m, self.m_axi_gmem, read.bus, write.bus)
        self._program(m, read, core)
        wiring.connect(m, read.image, core.image)
        wiring.connect(m, core.image_request, read.image_request)
        wiring.connect(m, core.logits, write.i)
        m.d.comb += [
            core.image_address.eq(control.image_address),
            read.program_request.address.eq(control.program_address),
            read.next_image.eq(core.next_image),
            core.images.eq(control.images),
            core.image_stride.eq(control.image_stride),
            read.program_request.words.eq(control.program_words),
            read.program_request.repeat.eq(control.images),
            read.program_request.stride.eq(0),
            write.words.eq(core.logit_words),
        ]

    def _program(self, m: Module, read: AxiRead, core: Core) -> None:
        """From memory to the decoder, by way of the store if there is one."""
        if not self.config.resident_words:
            wiring.connect(m, read.program, core.program)
            return
        m.submodules.program_store = store = ProgramStore(self.config)
        wiring.connect(m, read.program, store.i)
        wiring.connect(m, store.o, core.program)
        m.d.comb += [store.clear.eq(core.clear), read.hold_program.eq(~store.more)]

    def _run(self, m: Module, control: Control, read: AxiRead, write: AxiWrite, core: Core) -> None:
        """From start to done, by way of the program, the output, or an error."""
        state = Signal(State)
        clear = Signal()
        idle_cycles = Signal(32)
        error = Signal(4)
        failed = Signal()
        code = Signal(4)
        rest = Signal(range(REST_CYCLES + 1))
        last = self._images(m, state, failed, control, write, core)
        active = (state == State.RUN) | (state == State.SEND) | (state == State.WRITE)
        # Data that arrive count, used or not: a slow memory may take long to fill the prefetch FIFO.
        moving = core.progress | (write.i.valid & write.i.ready) | self.m_axi_gmem.rvalid
        expired = Signal()
        m.d.sync += [
            idle_cycles.eq(Mux(active & ~moving, idle_cycles + 1, 0)),
            expired.eq(active & ~moving & (idle_cycles >= control.watchdog)),
        ]
        m.d.comb += [
            error.eq(Mux(core.error != 0, core.error, Mux(read.error, Error.AXI_READ, Mux(
                write.error, Error.AXI_WRITE, Mux(expired, Error.WATCHDOG, 0))))),
            failed.eq(active & (error != 0)),
            core.clear.eq(clear),
            read.clear.eq(clear),
            write.clear.eq((state == State.CLEAR) | failed),
            core.start.eq((state == State.START) | ((state == State.SEND) & ~last)),
            read.program_request.start.eq(state == State.START),
            read.stop.eq(state == State.IDLE),
            core.send.eq(state == State.SEND),
            write.start.eq(state == State.SEND),
            control.busy.eq(state != State.IDLE),
            control.error_code.eq(Mux(state == State.STOP, code, Error.NONE)),
        ]
        with m.Switch(state):
            with m.Case(State.IDLE):
                m.d.sync += rest.eq(0)
                with m.If(control.start):
                    m.d.sync += state.eq(State.CLEAR)
            with m.Case(State.CLEAR):
                m.d.comb += clear.eq(1)
                m.d.sync += state.eq(State.START)
            with m.Case(State.START):
                m.d.sync += state.eq(State.RUN)
            with m.Case(State.RUN):
                # Two outputs wait at most: one on its way, one in the logit buffer.
                with m.If(core.finished & ~write.busy):
                    m.d.sync += state.eq(State.SEND)
            with m.Case(State.SEND):
                m.d.sync += state.eq(Mux(last, State.WRITE, State.RUN))
            with m.Case(State.WRITE):
                with m.If(~write.busy & ~failed):
                    m.d.comb += control.done.eq(1)
                    m.d.sync += state.eq(State.IDLE)
            with m.Case(State.STOP):
                # Whatever is under way comes to rest before the next run can start.
                m.d.comb += clear.eq(1)
                m.d.sync += rest.eq(Mux(rest == REST_CYCLES, rest, rest + 1))
                with m.If((rest == REST_CYCLES) & ~core.selecting):
                    m.d.comb += control.done.eq(1)
                    m.d.sync += state.eq(State.IDLE)
        with m.If(failed):
            m.d.sync += [state.eq(State.STOP), code.eq(error)]

    def _images(self, m: Module, state: Any, failed: Signal, control: Control, write: AxiWrite,
                core: Core) -> Signal:
        """Count the images of a run and the outputs written. Returns whether the image at work is the last one."""
        left, last = Signal(32), Signal()
        written = Signal(32)
        sending = Signal()  # an output is on its way
        address, stride = Signal(64), Signal(32)
        m.d.comb += [write.address.eq(address), control.images_done.eq(written)]
        m.d.sync += last.eq(left == 1)
        with m.If(sending & ~write.busy):
            m.d.sync += sending.eq(0)
            with m.If(~failed & (state != State.STOP)):
                m.d.sync += written.eq(written + 1)
        with m.If(state == State.CLEAR):
            m.d.sync += [left.eq(control.images), written.eq(0), sending.eq(0), core.again.eq(0),
                         address.eq(control.output_address), stride.eq(control.output_stride)]
        with m.If(state == State.SEND):
            m.d.sync += [left.eq(left - 1), sending.eq(1), core.again.eq(1), address.eq(address + stride)]
        return last

    def _counters(self, m: Module, control: Control, core: Core) -> None:
        """What the registers show of a run."""
        drops = Signal(range(TOKENS_KEPT_ENTRIES))
        counting = Signal()
        m.d.comb += [
            control.step.eq(core.step),
            control.tokens.eq(core.tokens),
            control.kept.enable.eq(core.kept),
            control.kept.index.eq(drops),
            control.kept.tokens.eq(core.kept_tokens),
        ]
        with m.If(control.start):
            m.d.sync += counting.eq(1)
        with m.Elif(control.done):
            m.d.sync += counting.eq(0)
        with m.If(core.start):
            m.d.sync += drops.eq(0)
        with m.Elif(core.kept):
            m.d.sync += drops.eq(drops + 1)
        for name, event in [("slots", core.take)] + [(stall, getattr(core, stall)) for stall in STALLS]:
            counter = Signal(32, name=f"count_{name}")
            with m.If(control.start):
                m.d.sync += counter.eq(0)
            with m.Elif(counting & event):
                m.d.sync += counter.eq(counter + 1)
            m.d.comb += getattr(control, name).eq(counter)
