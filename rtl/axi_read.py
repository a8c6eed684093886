"""AXI4 read master: fetches the program stream and the image, each as one sequence of stream words.

A burst is asked for only when the FIFO has room for all of it, so read data is never refused (``rready`` is constant)
and one client can never block the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import AHEAD_BYTES, BURST_BYTES, HardwareConfig
from rtl.axi import BURST_INCR, PAGE_BITS, AXI4Read, Resp, burst_size
from rtl.flow import Flow
from rtl.ultra import memory_attributes


def burst_words(word_bits: int) -> int:
    """Stream words of a full burst."""
    return BURST_BYTES * 8 // word_bits


def fifo_entries(fifo_words: int, bus_bits: int, word_bits: int) -> int:
    """Depth of a client's FIFO: an entry is a word, or a beat when beats are wider.

    Raises
    ------
    ValueError
        When not even one full burst fits.
    """
    if fifo_words < burst_words(word_bits):
        raise ValueError(f"read FIFO must hold a burst of {burst_words(word_bits)} words, not {fifo_words!r}")
    return fifo_words * word_bits // max(bus_bits, word_bits)


def _first_chunk(page: Value) -> Value:
    """Number of the burst that begins a page."""
    return Cat(Const(0, PAGE_BITS - BURST_BYTES.bit_length() + 1), page)


class ReadRequest(wiring.Signature):
    """Order to read a sequence of words.

    Members
    -------
    start : :py:`Out(1)`
        Pulse; the other members are taken in that cycle. Ignored while the client's last transfer is not complete.
    address : :py:`Out(64)`
        Byte address, a multiple of 4 KiB; the low 12 bits are taken as zero.
    words : :py:`Out(32)`
        Number of stream words; 0 reads nothing.
    repeat : :py:`Out(32)`
        Number of passes, each of ``words`` words; 0 and 1 both mean one. The first burst of a pass is asked for right
        after the last one of the pass before.
    stride : :py:`Out(32)`
        Bytes from the start of a pass to that of the next, a multiple of 4 KiB; the low 12 bits are taken as zero.
    """

    def __init__(self) -> None:
        super().__init__({"start": Out(1), "address": Out(64), "words": Out(32), "repeat": Out(32),
                          "stride": Out(32)})


class _Fifo(SyncFIFOBuffered):
    """A FIFO whose memory has attributes."""

    def __init__(self, width: int, depth: int, attributes: dict[str, str]) -> None:
        self._attributes = attributes
        super().__init__(width=width, depth=depth)

    def elaborate(self, platform: Any) -> Any:
        m = super().elaborate(platform)
        m.submodules.storage.attrs.update(self._attributes)
        return m


class ReadClient(wiring.Component):
    """One or more sequences of words: cuts them into bursts, keeps the room for them, and turns beats into words.

    Parameters
    ----------
    bus_bits : int
        128, 256 or 512.
    word_bits : int
        Width of a word: 256 or 512.
    fifo_words : int
        Words the FIFO holds, at least a burst (:func:`burst_words`).
    ultra_words, lut_words : int
        See :func:`rtl.ultra.memory_attributes`; the latter counts words, not entries.

    Members
    -------
    request : :py:`In(ReadRequest())`
    want : :py:`Out(1)`
        A burst is wanted, at ``address``, of ``length + 1`` beats.
    address : :py:`Out(64)`
    length : :py:`Out(8)`
    take : :py:`In(1)`
        The burst is being issued. Only while ``want``.
    beat : :py:`In(Flow({data, last}))`
        Read data of this client.
    o : :py:`Out(stream.Signature(unsigned(word_bits)))`
    begun : :py:`Out(1)`
        Pulse: a pass begins that is not the transfer's first.
    patient : :py:`In(1)`
        While high a burst is wanted only when none is under way.
    hold : :py:`In(1)`
        While high no further pass is begun. Passes that are held back are given up by the next ``start``.
    clear : :py:`In(1)`
        Forgets the transfer and empties the FIFO; bursts still under way are thrown away as they arrive.
    stale : :py:`Out(1)`
        What arrives belongs to a forgotten transfer.
    unfinished : :py:`Out(1)`
        Bursts of the transfer are still to be issued.
    outstanding : :py:`Out(1)`
        Bursts are issued and not complete.
    ahead : :py:`Out(1)`
        With one more burst the FIFO would hold, or be promised, more than ``AHEAD_BYTES``.
    """

    def __init__(self, bus_bits: int, word_bits: int, fifo_words: int, ultra_words: int = 0,
                 lut_words: int = 0) -> None:
        self._bus_bits = bus_bits
        self._ultra_words = ultra_words
        self._lut_words = lut_words
        self._word_bits = word_bits
        self._words_per_entry = max(bus_bits // word_bits, 1)
        self._beats_per_entry = max(word_bits // bus_bits, 1)
        self._depth = fifo_entries(fifo_words, bus_bits, word_bits)
        self._burst_words = burst_words(word_bits)
        self._entry_bytes = max(bus_bits, word_bits) // 8
        super().__init__({
            "request": In(ReadRequest()),
            "want": Out(1),
            "address": Out(64),
            "length": Out(8),
            "take": In(1),
            "beat": In(Flow(data.StructLayout({"data": bus_bits, "last": 1}))),
            "o": Out(stream.Signature(word_bits)),
            "begun": Out(1),
            "patient": In(1),
            "hold": In(1),
            "clear": In(1),
            "stale": Out(1),
            "unfinished": Out(1),
            "outstanding": Out(1),
            "ahead": Out(1),
        })

    if TYPE_CHECKING:  # members are attributes that only the signature names

        def __getattr__(self, name: str) -> Any: ...

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._room = Signal(range(self._depth + 1), init=self._depth)
        self._bursts = Signal(range(self._depth + 1))  # under way; passes can be as short as an entry
        self._accept = Signal()  # a transfer begins
        self._done = Signal()  # a burst is complete
        pop = self._data_path(m)
        self._issue(m, pop)
        return m

    def _issue(self, m: Module, pop: Signal) -> None:
        """Bursts still to be asked for, and the FIFO entries promised to them."""
        left = Signal(32)
        chunk = Signal(64 - (BURST_BYTES.bit_length() - 1))
        page = Signal(64 - PAGE_BITS)  # start of the pass
        following = Signal.like(page)
        passes = Signal(32)  # that have not begun
        length, stride = Signal(32), Signal(32 - PAGE_BITS)
        words = Signal(range(self._burst_words + 1))
        entries = Signal.like(self._room)
        full_entries = self._burst_words // self._words_per_entry
        beats = Signal(9)
        m.d.comb += [
            self.unfinished.eq((left != 0) | ((passes != 0) & ~self.hold)),
            self.outstanding.eq(self._bursts != 0),
            self.address.eq(Cat(Const(0, 64 - len(chunk)), chunk)),
            entries.eq(words if self._words_per_entry == 1 else (words + 1) >> 1),
            beats.eq(entries * self._beats_per_entry),
            self.length.eq(beats - 1),
        ]
        # Registered, as the sums behind them are long; room only grows until the burst is taken.
        m.d.sync += [
            words.eq(Mux(left >= self._burst_words, self._burst_words, left)),
            self.want.eq((left != 0) & (self._room >= full_entries) & ~self.stale & ~self.take & ~self.clear
                         & ~(self.patient & self.outstanding)),
            self._room.eq(self._room + pop - Mux(self.take, entries, 0)),
            self.ahead.eq((self._depth - self._room) * self._entry_bytes > AHEAD_BYTES - BURST_BYTES),
        ]
        done = self._done
        m.d.comb += done.eq(self.beat.valid & self.beat.payload.last & self.outstanding)
        m.d.sync += self._bursts.eq(self._bursts + self.take - done)
        with m.If(self.take):
            m.d.sync += [left.eq(left - words), chunk.eq(chunk + 1)]
        m.d.sync += following.eq(page + stride)  # steady by the end of a pass, which takes some cycles per burst
        m.d.comb += self.begun.eq((left == 0) & (passes != 0) & ~self.hold)
        with m.If(self.begun):
            m.d.sync += [left.eq(length), page.eq(following), chunk.eq(_first_chunk(following)),
                         passes.eq(passes - 1)]
        m.d.comb += self._accept.eq(self.request.start & ~self.unfinished & (~self.outstanding | self.stale))
        with m.If(self._accept):
            begin = self.request.address[PAGE_BITS:]
            more = (self.request.repeat > 1) & (self.request.words != 0)
            m.d.sync += [
                left.eq(self.request.words),
                page.eq(begin),
                chunk.eq(_first_chunk(begin)),
                passes.eq(Mux(more, self.request.repeat - 1, 0)),
                length.eq(self.request.words),
                stride.eq(self.request.stride[PAGE_BITS:]),
            ]
        with m.If(done & (self._bursts == 1) & ~self.take):
            m.d.sync += self.stale.eq(0)
        with m.If(self.clear):
            still_out = (self._bursts > 1) | (self.outstanding & ~done)
            m.d.sync += [left.eq(0), passes.eq(0), self._room.eq(self._depth), self.stale.eq(still_out)]

    def _data_path(self, m: Module) -> Signal:
        """Beats -> FIFO -> words. Returns the strobe that frees a FIFO entry."""
        push, pop = Signal(), Signal()
        m.d.comb += push.eq(self.beat.valid & self.outstanding & ~self.stale)
        if self._bus_bits < self._word_bits:
            self._join_beats(m, push, pop)
        elif self._bus_bits == self._word_bits:
            fifo = self._fifo(m, self._word_bits)
            m.d.comb += [fifo.w_en.eq(push), fifo.w_data.eq(self.beat.payload.data)]
            self._connect_output(m, fifo, pop)
        else:
            self._split_beats(m, push, pop)
        return pop

    def _fifo(self, m: Module, width: int) -> Any:
        m.submodules.fifo = fifo = ResetInserter(self.clear)(_Fifo(
            width, self._depth, memory_attributes(self._depth, self._ultra_words,
                                                  self._lut_words // self._words_per_entry)))
        return fifo

    def _connect_output(self, m: Module, fifo: Any, pop: Signal) -> None:
        m.d.comb += [
            self.o.payload.eq(fifo.r_data),
            self.o.valid.eq(fifo.r_rdy),
            pop.eq(self.o.valid & self.o.ready),
            fifo.r_en.eq(pop),
        ]

    def _join_beats(self, m: Module, push: Signal, pop: Signal) -> None:
        """Two or four beats make a word."""
        fifo = self._fifo(m, self._word_bits)
        count = Signal(range(self._beats_per_entry))
        earlier = Signal(self._word_bits - self._bus_bits, reset_less=True)  # the first one ends up lowest
        word = Cat(earlier, self.beat.payload.data)
        with m.If(push):
            m.d.sync += [count.eq(count + 1), earlier.eq(word[self._bus_bits:])]
        with m.If(self.clear):
            m.d.sync += count.eq(0)
        m.d.comb += [fifo.w_en.eq(push & (count == self._beats_per_entry - 1)), fifo.w_data.eq(word)]
        self._connect_output(m, fifo, pop)

    def _split_beats(self, m: Module, push: Signal, pop: Signal) -> None:
        """A beat makes two words, except the last one of a pass of odd length, which an extra FIFO bit marks."""
        fifo = self._fifo(m, self._bus_bits + 1)
        per_pass = Signal(32 - (self._burst_words.bit_length() - 1) + 1)  # bursts
        expected = Signal.like(per_pass)  # those of the pass that have not come
        odd, final = Signal(), Signal()
        came = Signal()
        m.d.comb += came.eq(self._done & ~self.stale)
        bursts = (self.request.words + self._burst_words - 1) >> self._burst_words.bit_length() - 1
        soon = (expected == 2) | ((expected == 1) & (per_pass == 1))  # the burst after this one is a pass's last
        m.d.sync += final.eq(odd & Mux(came, soon, expected == 1))
        with m.If(came):
            m.d.sync += expected.eq(Mux(expected == 1, per_pass, expected - 1))
        with m.If(self._accept):
            m.d.sync += [per_pass.eq(bursts), expected.eq(bursts), odd.eq(self.request.words[0])]
        last = self.beat.payload.last & final
        m.d.comb += [fifo.w_en.eq(push), fifo.w_data.eq(Cat(self.beat.payload.data, last))]
        high, single = Signal(), Signal()
        m.d.comb += [
            single.eq(fifo.r_data[-1]),
            self.o.valid.eq(fifo.r_rdy),
            self.o.payload.eq(fifo.r_data[:self._bus_bits].word_select(high, self._word_bits)),
            pop.eq(self.o.valid & self.o.ready & (high | single)),
            fifo.r_en.eq(pop),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += high.eq(~high & ~single)
        with m.If(self.clear):
            m.d.sync += high.eq(0)


class AxiRead(wiring.Component):
    """AXI4 read master with two clients: the program stream (ID 0) and the image (ID 1).

    Bursts are 2 KiB (the last one of a pass shorter) and are shared out round-robin. Read data of the two IDs may
    arrive interleaved. A program that is ``AHEAD_BYTES`` ahead lets the image pass that is needed now; an image
    that is not needed yet must not delay the program: its bursts come after those of the program, and one at a time.

    Parameters
    ----------
    config : HardwareConfig
        ``bus_bits``, ``stream_bits`` and ``fifo_words`` are used.
    image_words : int
        Words the image FIFO holds, at least a burst (then one is under way at a time).

    Members
    -------
    program_request : :py:`In(ReadRequest())`
    image_request : :py:`In(ReadRequest())`
    program : :py:`Out(stream.Signature(unsigned(config.stream_bits)))`
    image : :py:`Out(stream.Signature(unsigned(config.stream_bits)))`
    next_image : :py:`In(1)`
        Pulse: from now on the words of the transfer's next pass (after the first) are needed.
    hold_program : :py:`In(1)`
        While high no pass of the program is begun but the first.
    stop : :py:`In(1)`
        While high no burst is issued.
    clear : :py:`In(1)`
        Pulse: forgets both transfers, empties the FIFOs and resets ``error``. Data that is still under way is thrown
        away when it comes, and the next transfer starts after that.
    idle : :py:`Out(1)`
        No burst is outstanding, and none will be issued (both transfers are fully issued, or ``stop`` is high). Falls
        in the cycle after a ``start``; words may still wait in the FIFOs.
    error : :py:`Out(1)`
        A beat had a response other than OKAY; stays until ``clear``. The beat's data is delivered all the same.
    bus : :py:`Out(AXI4Read(config.bus_bits))`

    Latency
    -------
    From ``start`` to ``arvalid`` 3 cycles; from a beat to its word at the output 3 cycles (narrow bus: from the word's
    last beat).

    Throughput
    ----------
    ``bus_bits / stream_bits`` words per cycle, but at most one, as long as ``fifo_words`` covers the memory latency: a
    burst must be free for it to be asked for, so ``fifo_words >= latency + 2 * burst_words(stream_bits)``, with the
    latency in words.
    """

    def __init__(self, config: HardwareConfig, *, image_words: int) -> None:
        self._bus_bits = config.bus_bits
        self._word_bits = config.stream_bits
        self._depths = (config.fifo_words, image_words)
        self._ultra_words, self._lut_words = config.uram_words, config.lut_fifo_words
        super().__init__({
            "program_request": In(ReadRequest()),
            "image_request": In(ReadRequest()),
            "program": Out(stream.Signature(config.stream_bits)),
            "image": Out(stream.Signature(config.stream_bits)),
            "next_image": In(1),
            "hold_program": In(1),
            "stop": In(1),
            "clear": In(1),
            "idle": Out(1),
            "error": Out(1),
            "bus": Out(AXI4Read(config.bus_bits)),
        })

    if TYPE_CHECKING:  # members are attributes that only the signature names

        def __getattr__(self, name: str) -> Any: ...

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.program_client = program = ReadClient(
            self._bus_bits, self._word_bits, self._depths[0], self._ultra_words, self._lut_words)
        m.submodules.image_client = image = ReadClient(
            self._bus_bits, self._word_bits, self._depths[1], self._ultra_words, self._lut_words)
        wiring.connect(m, wiring.flipped(self.program_request), program.request)
        wiring.connect(m, wiring.flipped(self.image_request), image.request)
        wiring.connect(m, wiring.flipped(self.program), program.o)
        wiring.connect(m, wiring.flipped(self.image), image.o)
        clients = (program, image)
        m.d.comb += [client.clear.eq(self.clear) for client in clients]
        m.d.comb += program.hold.eq(self.hold_program)
        m.d.comb += self.idle.eq(~(program.outstanding | image.outstanding)
                                 & (self.stop | ~(program.unfinished | image.unfinished)))
        self._look_ahead(m, image)
        self._arbitrate(m, *clients)
        self._receive(m, *clients)
        return m

    def _look_ahead(self, m: Module, image: ReadClient) -> None:
        """How many images the client is ahead of the one that is needed: as many as fit the FIFO, and one."""
        ahead = Signal(range(self._depths[1] + 2))
        m.d.sync += ahead.eq(ahead + image.begun - self.next_image)
        with m.If(self.clear):
            m.d.sync += ahead.eq(0)
        m.d.comb += image.patient.eq(ahead != 0)

    def _arbitrate(self, m: Module, program: ReadClient, image: ReadClient) -> None:
        """One burst at a time into the AR register; when both want one, the client that was not served last, but the
        program before a later image.
        """
        bus = self.bus
        open_ = ~bus.arvalid & ~self.stop & ~self.clear
        due = Signal()  # the program's HELLO, which leads to the request of an image, is on its way
        needed = Signal()  # an image; only a matter of who goes first, so it may be a cycle old
        m.d.sync += needed.eq(due | ((image.unfinished | image.outstanding) & ~image.patient))
        program_wants = program.want & ~(program.ahead & needed)
        with m.If(self.program_request.start):
            m.d.sync += due.eq(1)
        with m.If(self.image_request.start | self.clear):
            m.d.sync += due.eq(0)
        choose_image = image.want & (~program_wants | ((bus.arid == 0) & ~image.patient))
        m.d.comb += [
            program.take.eq(open_ & program_wants & ~choose_image),
            image.take.eq(open_ & image.want & choose_image),
            bus.arsize.eq(burst_size(self._bus_bits)),
            bus.arburst.eq(BURST_INCR),
        ]
        with m.If(bus.arready):
            m.d.sync += bus.arvalid.eq(0)
        with m.If(program.take | image.take):
            m.d.sync += [
                bus.arvalid.eq(1),
                bus.arid.eq(choose_image),
                bus.araddr.eq(Mux(choose_image, image.address, program.address)),
                bus.arlen.eq(Mux(choose_image, image.length, program.length)),
            ]

    def _receive(self, m: Module, program: ReadClient, image: ReadClient) -> None:
        """A register behind R, then each beat to the client whose ID it carries."""
        bus = self.bus
        valid, last, failed = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        owner = Signal(reset_less=True)
        beat = Signal(self._bus_bits, reset_less=True)
        m.d.comb += bus.rready.eq(1)
        m.d.sync += [valid.eq(bus.rvalid), last.eq(bus.rlast), failed.eq(bus.rresp != Resp.OKAY),
                     owner.eq(bus.rid[0]), beat.eq(bus.rdata)]
        for index, client in enumerate((program, image)):
            mine = valid & (owner == index)
            m.d.comb += [client.beat.valid.eq(mine), client.beat.payload.data.eq(beat),
                         client.beat.payload.last.eq(last)]
            with m.If(mine & failed & ~client.stale):
                m.d.sync += self.error.eq(1)
        with m.If(self.clear):
            m.d.sync += self.error.eq(0)
