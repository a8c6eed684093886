"""Image loader: patch codes from memory into the activation memory, a few columns at a time."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import HardwareConfig
from rtl.axi_read import ReadRequest
from rtl.banks import ColumnWrite
from rtl.flow import Flow
from rtl.packets import hello_layout

__all__ = ["ImageLoader"]


class ImageLoader(wiring.Component):
    """Requests the images when a program has been accepted and counts the columns that have arrived.

    All images of a run are requested together, with the first one. Words of the next image wait in the read FIFO until
    the program is accepted again: only then is the activation memory free.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    clear : :py:`In(1)`
        Take no more words.
    hello : :py:`In(Flow(hello_layout))`
        Image tokens and words per token.
    again : :py:`In(1)`
        This HELLO is not the first one of the run: its image has been requested already.
    address : :py:`In(64)`
    images, stride : :py:`In(32)`
        Number of images in the run, and bytes from one to the next.
    request : :py:`Out(ReadRequest())`
    words : :py:`In(stream.Signature(stream_bits))`
    write : :py:`Out(ColumnWrite(act_cols / rows_per_word, max_tokens, stream_bits))`
    available : :py:`Out(8)`
        Columns that have been written completely.
    loading : :py:`Out(1)`
        Words of the image are still to come; from the second cycle after ``hello`` on.

    Throughput
    ----------
    One word (``rows_per_word`` columns of a token) a cycle.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        super().__init__({
            "clear": In(1),
            "hello": In(Flow(hello_layout)),
            "again": In(1),
            "address": In(64),
            "images": In(32),
            "stride": In(32),
            "request": Out(ReadRequest()),
            "words": In(stream.Signature(config.stream_bits)),
            "write": Out(ColumnWrite(config.act_cols // config.rows_per_word, config.max_tokens, config.stream_bits)),
            "available": Out(8),
            "loading": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tokens = Signal(9)
        token = Signal(9)
        per_token = Signal(8)
        part = Signal(8)
        words = Signal(17)
        start = Signal(2)
        last = Signal()
        taken = Signal()
        hello = self.hello.payload
        m.d.comb += [
            last.eq(token == tokens - 1),
            self.request.start.eq(start[1] & (words != 0) & ~self.again),
            self.request.address.eq(self.address),
            self.request.words.eq(words),
            self.request.repeat.eq(self.images),
            self.request.stride.eq(self.stride),
            self.words.ready.eq(self.loading),
            taken.eq(self.words.valid & self.loading),
        ]
        m.d.sync += [
            start.eq((start << 1) | self.hello.valid),
            self.write.enable.eq(taken),
            self.write.column.eq(part),
            self.write.token.eq(token),
            self.write.data.eq(self.words.payload),
        ]
        with m.If(taken):
            m.d.sync += token.eq(Mux(last, 0, token + 1))
            with m.If(last):
                m.d.sync += [part.eq(part + 1), self.available.eq((part + 1) * self.config.rows_per_word),
                             self.loading.eq(part != per_token - 1)]
        with m.If(self.hello.valid):
            m.d.sync += [tokens.eq(hello.image_tokens), per_token.eq(hello.image_words), token.eq(0), part.eq(0),
                         self.available.eq(0)]
        with m.If(start[0]):
            m.d.sync += [words.eq(tokens * per_token), self.loading.eq((tokens != 0) & (per_token != 0))]
        with m.If(self.clear):
            m.d.sync += self.loading.eq(0)
        return m
