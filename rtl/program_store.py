"""Program store: keeps the program of a run on chip, so that only the first image of the run reads it from memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.hdl import ClockSignal, Instance, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import HardwareConfig
from rtl.packets import hello_layout
from rtl.shared import use_verilog
from rtl.ultra import memory_attributes

__all__ = ["ProgramStore"]

MEMORY_NAME = "sievit_program_memory"

MEMORY = f"""\
// Program memory: a write port, and a read port with an output register, as UltraRAM and block RAM have them.
// It has no initial contents (UltraRAM cannot have any); no word is read that has not been written before.
module {MEMORY_NAME} #(
    parameter WIDTH = 256,
    parameter ADDRESS = 10
) (
    input  wire               clk,
    input  wire               write_enable,
    input  wire [ADDRESS-1:0] write_address,
    input  wire [WIDTH-1:0]   write_data,
    input  wire [ADDRESS-1:0] read_address,
    output reg  [WIDTH-1:0]   read_data
);
    reg [WIDTH-1:0] words [0:(1 << ADDRESS)-1];
    reg [WIDTH-1:0] word;
    always @(posedge clk) begin
        if (write_enable) words[write_address] <= write_data;
        word <= words[read_address];
        read_data <= word;
    end
endmodule
"""
"""Written by hand: Amaranth spells out the initial value of every word, which takes minutes for a whole program."""

READ_LATENCY = 2
"""Cycles from a read address to the word."""

READ_AHEAD = 8
"""Words on their way out of the memory or waiting behind it."""


class State(enum.Enum):
    """What happens to the words."""

    FIRST = 0
    """The next word is HELLO."""
    STORE = 1
    SETTLE = 2
    """The last word is being written."""
    REPLAY = 3
    PASS = 4
    """The program is not to be kept."""


class ProgramStore(wiring.Component):
    """Words of a program pass through; a program that its HELLO declares resident is stored and repeated for ever.

    Parameters
    ----------
    config : HardwareConfig
        ``resident_words`` (above 0), ``stream_bits`` and ``uram_words`` are used.

    Members
    -------
    clear : :py:`In(1)`
        Forget the program; the next word is a HELLO.
    i : :py:`In(stream.Signature(config.stream_bits))`
        The program from memory: all passes, or the first one when it is resident.
    o : :py:`Out(stream.Signature(config.stream_bits))`
        The program, pass after pass.
    more : :py:`Out(1)`
        The program is not kept: its other passes have to be read too.

    Latency
    -------
    None while words pass through; 5 cycles between the last word of the first pass and the first word of the second.

    Throughput
    ----------
    One word a cycle.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.depth = config.resident_words
        self.word_bits = config.stream_bits
        self.ultra_words = config.uram_words
        super().__init__({
            "clear": In(1),
            "i": In(stream.Signature(self.word_bits)),
            "o": Out(stream.Signature(self.word_bits)),
            "more": Out(1),
        })

    if TYPE_CHECKING:  # members are attributes that only the signature names

        def __getattr__(self, name: str) -> Any: ...

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        state: Any = Signal(State)
        last = Signal(range(self.depth))  # address of the program's last word
        self._first_pass(m, state, last)
        words = self._replay(m, state, last)
        passing = (state != State.REPLAY) & (state != State.SETTLE)
        m.d.comb += [
            self.more.eq(state == State.PASS),
            self.i.ready.eq(passing & self.o.ready),
            self.o.valid.eq(Mux(passing, self.i.valid, words.r_rdy)),
            self.o.payload.eq(Mux(passing, self.i.payload, words.r_data)),
            words.r_en.eq(~passing & self.o.ready),
        ]
        with m.If(self.clear):
            m.d.sync += state.eq(State.FIRST)
        return m

    def _first_pass(self, m: Module, state: Any, last: Signal) -> None:
        """Write the words that pass, one cycle later."""
        address, taken = Signal.like(last), Signal()
        hello = data.View(hello_layout, self.i.payload[:hello_layout.size])
        fits = hello.resident & (hello.words > 1) & (hello.words <= self.depth)
        self._write_address, self._write_data = Signal.like(last), Signal(self.word_bits, reset_less=True)
        self._write_enable = Signal()
        m.d.comb += taken.eq(self.i.valid & self.i.ready)
        m.d.sync += [
            self._write_enable.eq(taken & ((state == State.FIRST) | (state == State.STORE))),
            self._write_address.eq(address),
            self._write_data.eq(self.i.payload),
        ]
        with m.Switch(state):
            with m.Case(State.FIRST):
                m.d.sync += [address.eq(taken), last.eq(hello.words - 1)]
                with m.If(taken):
                    m.d.sync += state.eq(Mux(fits, State.STORE, State.PASS))
            with m.Case(State.STORE):
                m.d.sync += address.eq(address + taken)
                with m.If(taken & (address == last)):
                    m.d.sync += state.eq(State.SETTLE)
            with m.Case(State.SETTLE):
                m.d.sync += state.eq(State.REPLAY)
        with m.If(self.clear):
            m.d.sync += address.eq(0)

    def _replay(self, m: Module, state: Any, last: Signal) -> Any:
        """Read the memory from first to last, again and again, as far ahead as there is room behind it."""
        m.submodules.words = words = ResetInserter(self.clear)(SyncFIFO(width=self.word_bits, depth=READ_AHEAD))
        address, read, word = Signal.like(last), Signal(), Signal(self.word_bits)
        room = Signal(range(READ_AHEAD + 1), init=READ_AHEAD)
        under_way = Signal(READ_LATENCY)
        m.d.comb += [
            read.eq((state == State.REPLAY) & (room != 0)),
            words.w_en.eq(under_way[-1]),
            words.w_data.eq(word),
        ]
        m.d.sync += [under_way.eq(under_way << 1 | read), room.eq(room - read + (words.r_en & words.r_rdy))]
        with m.If(read):
            m.d.sync += address.eq(Mux(address == last, 0, address + 1))
        with m.If(self.clear):
            m.d.sync += [address.eq(0), under_way.eq(0), room.eq(READ_AHEAD)]
        style = memory_attributes(self.depth, self.ultra_words)
        attributes = "".join(f'(* {name} = "{value}" *) ' for name, value in style.items())
        use_verilog(MEMORY_NAME, MEMORY.replace("reg [WIDTH-1:0] words", f"{attributes}reg [WIDTH-1:0] words"))
        m.submodules.memory = Instance(
            MEMORY_NAME, p_WIDTH=self.word_bits, p_ADDRESS=len(address), i_clk=ClockSignal(),
            i_write_enable=self._write_enable, i_write_address=self._write_address, i_write_data=self._write_data,
            i_read_address=address, o_read_data=word)
        return words
