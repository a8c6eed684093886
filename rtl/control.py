"""AXI4-Lite control: start, state, interrupt, addresses, counters. The map is ``flows/contracts/registers.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import HardwareConfig
from flows.contracts.registers import (
    ADDRESS_ALIGNMENT,
    ADDRESS_BITS,
    DEFAULT_WATCHDOG,
    ID_VALUE,
    TOKENS_KEPT_ENTRIES,
    VERSION_VALUE,
    Error,
    offset,
)
from rtl.axi import AXI4Lite, Resp

_ALIGNED = 0xFFFF_FFFF & ~(ADDRESS_ALIGNMENT - 1)
_STORED_BITS = {
    "GIER": 0x1,
    "IER": 0x3,
    "PROGRAM_LO": _ALIGNED, "PROGRAM_HI": 0xFFFF_FFFF,
    "IMAGE_LO": _ALIGNED, "IMAGE_HI": 0xFFFF_FFFF,
    "OUTPUT_LO": _ALIGNED, "OUTPUT_HI": 0xFFFF_FFFF,
    "PROGRAM_WORDS": 0xFFFF_FFFF,
    "WATCHDOG": 0xFFFF_FFFF,
    "IMAGES": 0xFFFF_FFFF,
    "IMAGE_STRIDE": _ALIGNED, "OUTPUT_STRIDE": _ALIGNED,
}
"""Registers that just hold what is written, and their bits."""

PAGE_BITS = 4
PAGE = 1 << PAGE_BITS
"""Registers among which one cycle chooses."""

_COUNTERS = ("images_done", "slots", "stall_memory", "stall_load", "stall_barrier", "stall_column", "stall_select")


class KeptWrite(wiring.Signature):
    """Write port of the TOKENS_KEPT registers.

    Members
    -------
    enable : :py:`Out(1)`
    index : :py:`Out(5)`
        Number of the token drop in the image, from 0.
    tokens : :py:`Out(9)`
        Tokens alive after it.
    """

    def __init__(self) -> None:
        super().__init__({"enable": Out(1), "index": Out(range(TOKENS_KEPT_ENTRIES)), "tokens": Out(9)})


class Control(wiring.Component):
    """AXI4-Lite slave with the registers of :mod:`flows.contracts.registers`, in the manner of ap_ctrl_hs.

    Unknown addresses read 0, writes to them have no effect, and both answer OKAY; the low two address bits are not
    looked at. A start that is written during a run takes effect when the run has ended.

    Parameters
    ----------
    config : HardwareConfig
        Its hash is the CONFIG_HASH register.

    Members
    -------
    bus : :py:`In(AXI4Lite())`
    interrupt : :py:`Out(1)`
        Level: GIER and any cause (ISR) that is enabled (IER).
    start : :py:`Out(1)`
        Pulse. Never while ``busy``, nor between a start and its ``done``.
    program_address, image_address, output_address : :py:`Out(64)`
        Multiples of 4 KiB. To be sampled with ``start``, as are the next five.
    program_words : :py:`Out(32)`
    images : :py:`Out(32)`
        Images of the run, at least 1.
    image_stride, output_stride : :py:`Out(32)`
        Multiples of 4 KiB.
    watchdog : :py:`Out(32)`
        Cycles without progress; the default when the register is 0.
    done : :py:`In(1)`
        Pulse: the run has ended. Without effect when there is none.
    error_code : :py:`In(4)`
        Sampled with ``done``: an :class:`flows.contracts.registers.Error`.
    busy : :py:`In(1)`
        The core is not at rest; keeps the next start back.
    images_done, slots, stall_memory, stall_load, stall_barrier, stall_column, stall_select : :py:`In(32)`
        Counters of the run, read as they are.
    step : :py:`In(16)`
    tokens : :py:`In(9)`
    kept : :py:`In(KeptWrite())`
        The entries are emptied by ``start``.

    Latency
    -------
    Read: data 4 cycles after ``arvalid``. Write: effective 2 cycles after both ``awvalid`` and ``wvalid``. The cycle
    counter includes the cycle of ``start`` and that of ``done``.

    Throughput
    ----------
    One read every five cycles, one write every two.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self._config_hash = config.config_hash()
        super().__init__({
            "bus": In(AXI4Lite(addr_width=ADDRESS_BITS)),
            "interrupt": Out(1),
            "start": Out(1),
            "program_address": Out(64),
            "image_address": Out(64),
            "output_address": Out(64),
            "program_words": Out(32),
            "images": Out(32),
            "image_stride": Out(32),
            "output_stride": Out(32),
            "watchdog": Out(32),
            "done": In(1),
            "error_code": In(4),
            "busy": In(1),
            **{name: In(32) for name in _COUNTERS},
            "step": In(16),
            "tokens": In(9),
            "kept": In(KeptWrite()),
        })

    if TYPE_CHECKING:  # members are attributes that only the signature names

        def __getattr__(self, name: str) -> Any: ...

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._write_port(m)
        self._read_port(m)
        self._stored_registers(m)
        self._run_state(m)
        self._interrupts(m)
        self._read_values(m)
        return m

    def _write_port(self, m: Module) -> None:
        """Takes address and data together; ``_write`` is high in the cycle in which they are."""
        bus = self.bus
        self._write = Signal()
        self._write_bits = Cat(bit.replicate(8) for bit in bus.wstrb)
        m.d.comb += [bus.awready.eq(self._write), bus.wready.eq(self._write), bus.bresp.eq(Resp.OKAY)]
        m.d.sync += self._write.eq(bus.awvalid & bus.wvalid & ~self._write & (~bus.bvalid | bus.bready))
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(self._write):
            m.d.sync += bus.bvalid.eq(1)

    def _written(self, name: str) -> Any:
        """High while register ``name`` is being written."""
        return self._write & (self.bus.awaddr[2:] == offset(name) >> 2)

    def _read_port(self, m: Module) -> None:
        """Takes an address; one cycle later (``_fetch``) the value is sampled and what reading clears is cleared.

        What is sampled are the registers of that place in every page; a cycle later (``_collect``) the page is chosen.
        """
        bus = self.bus
        self._fetch, self._collect = Signal(), Signal()
        self._read_index = Signal(ADDRESS_BITS - 2)
        m.d.comb += bus.rresp.eq(Resp.OKAY)
        m.d.sync += [
            bus.arready.eq(bus.arvalid & ~bus.arready & ~self._fetch & ~self._collect & ~bus.rvalid),
            self._fetch.eq(bus.arvalid & bus.arready),
            self._collect.eq(self._fetch),
        ]
        with m.If(bus.arready):
            m.d.sync += self._read_index.eq(bus.araddr[2:])
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(self._collect):
            m.d.sync += bus.rvalid.eq(1)

    def _being_read(self, name: str) -> Any:
        """High in the cycle in which register ``name`` is sampled for reading."""
        return self._fetch & (self._read_index == offset(name) >> 2)

    def _stored_registers(self, m: Module) -> None:
        self._stored = {name: Signal(32, name=f"{name.lower()}_register") for name in _STORED_BITS}
        for name, bits in _STORED_BITS.items():
            value, mask = self._stored[name], self._write_bits & bits
            with m.If(self._written(name)):
                m.d.sync += value.eq(value & ~mask | self.bus.wdata & mask)
        for name in ("program", "image", "output"):
            low, high = (self._stored[f"{name.upper()}_{half}"] for half in ("LO", "HI"))
            m.d.comb += getattr(self, f"{name}_address").eq(Cat(low, high))
        watchdog, images = self._stored["WATCHDOG"], self._stored["IMAGES"]
        m.d.comb += [
            self.program_words.eq(self._stored["PROGRAM_WORDS"]),
            self.images.eq(Mux(images == 0, 1, images)),
            self.image_stride.eq(self._stored["IMAGE_STRIDE"]),
            self.output_stride.eq(self._stored["OUTPUT_STRIDE"]),
            self.watchdog.eq(Mux(watchdog == 0, DEFAULT_WATCHDOG, watchdog)),
        ]

    def _run_state(self, m: Module) -> None:
        """Start, done and ready flags, error code, cycle counter."""
        pending, self._running = Signal(), Signal()
        done_flag, ready_flag = Signal(), Signal()
        self._ended = Signal()
        self._error, self._cycles, self._cycles_held = Signal(4), Signal(64), Signal(32)
        begin = pending & ~self._running & ~self.busy
        m.d.comb += self._ended.eq(self.done & self._running)
        m.d.sync += self.start.eq(begin)
        with m.If(self._being_read("CTRL")):
            m.d.sync += [done_flag.eq(0), ready_flag.eq(0)]
        with m.If(self._running):
            m.d.sync += self._cycles.eq(self._cycles + 1)
        with m.If(begin):
            m.d.sync += [pending.eq(0), self._running.eq(1), self._cycles.eq(0), self._error.eq(Error.NONE)]
        with m.If(self._ended):
            m.d.sync += [self._running.eq(0), done_flag.eq(1), ready_flag.eq(1), self._error.eq(self.error_code)]
        with m.If(self._written("CTRL") & self._write_bits[0] & self.bus.wdata[0]):
            m.d.sync += pending.eq(1)
        with m.If(self._being_read("CYCLES_LO")):
            m.d.sync += self._cycles_held.eq(self._cycles[32:])
        self._ctrl = Cat(pending, done_flag, ~(pending | self._running | self.busy), ready_flag)
        self._status = Cat(self._running, self.busy, self._error != Error.NONE)

    def _interrupts(self, m: Module) -> None:
        """Causes are toggled by writing 1; one that occurs in that cycle is not lost."""
        self._causes = Signal(2)
        toggled = Mux(self._written("ISR"), self._write_bits & self.bus.wdata, 0)[:2]
        occurred = Mux(self._ended, Cat(Const(1), self.error_code != Error.NONE), 0)
        m.d.sync += [
            self._causes.eq((self._causes ^ toggled) | occurred),
            self.interrupt.eq(self._stored["GIER"][0] & (self._causes & self._stored["IER"][:2]).any()),
        ]

    def _kept_tokens(self, m: Module) -> Signal:
        """Memory of TOKENS_KEPT: the entry that is being read, 0 unless written since ``start``."""
        m.submodules.kept = entries = memory.Memory(shape=9, depth=TOKENS_KEPT_ENTRIES, init=[])
        write, read = entries.write_port(), entries.read_port()
        filled, value = Signal(TOKENS_KEPT_ENTRIES), Signal(9)
        was_filled, half = Signal(TOKENS_KEPT_ENTRIES // PAGE), Signal()
        m.d.comb += [
            write.en.eq(self.kept.enable), write.addr.eq(self.kept.index), write.data.eq(self.kept.tokens),
            read.en.eq(1), read.addr.eq(self.bus.araddr[2:]),
            value.eq(Mux(was_filled.bit_select(half, 1), read.data, 0)),
        ]
        with m.If(self.kept.enable):
            m.d.sync += filled.eq(filled | (1 << self.kept.index))
        with m.If(self.start):
            m.d.sync += filled.eq(0)
        m.d.sync += [was_filled.eq(Cat(filled[first:first + PAGE].bit_select(self.bus.araddr[2:2 + PAGE_BITS], 1)
                                       for first in range(0, TOKENS_KEPT_ENTRIES, PAGE))),
                     half.eq(self.bus.araddr[2 + PAGE_BITS])]
        return value

    def _read_values(self, m: Module) -> None:
        values: dict[str, Any] = {
            "CTRL": self._ctrl, "ISR": self._causes, **self._stored,
            "ID": Const(ID_VALUE, 32), "VERSION": Const(VERSION_VALUE, 32),
            "CONFIG_HASH": Const(self._config_hash, 32),
            "STATUS": self._status, "ERROR": self._error, "STEP": self.step, "TOKENS": self.tokens,
            "CYCLES_LO": self._cycles[:32], "CYCLES_HI": self._cycles_held,
            **{name.upper(): getattr(self, name) for name in _COUNTERS},
        }
        pages: dict[int, Any] = {}
        for page in sorted({offset(name) >> 2 + PAGE_BITS for name in values}):
            pages[page] = Signal(32, name=f"page{page}", reset_less=True)
            with m.Switch(self._read_index[:PAGE_BITS]):
                for name, value in values.items():
                    if offset(name) >> 2 + PAGE_BITS == page:
                        with m.Case((offset(name) >> 2) % PAGE):
                            m.d.sync += pages[page].eq(value)
                with m.Default():
                    m.d.sync += pages[page].eq(0)
        kept = Signal(9, reset_less=True)
        m.d.sync += kept.eq(self._kept_tokens(m))
        pages |= {(offset("TOKENS_KEPT") >> 2 + PAGE_BITS) + part: kept for part in range(TOKENS_KEPT_ENTRIES // PAGE)}
        with m.If(self._collect), m.Switch(self._read_index[PAGE_BITS:]):
            for page, value in pages.items():
                with m.Case(page):
                    m.d.sync += self.bus.rdata.eq(value)
            with m.Default():
                m.d.sync += self.bus.rdata.eq(0)
