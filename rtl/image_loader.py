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
    """Requests the image when a program has been accepted and counts the columns that have arrived.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    hello : :py:`In(Flow(hello_layout))`
        Image tokens and words per token.
    address : :py:`In(64)`
    request : :py:`Out(ReadRequest())`
    words : :py:`In(stream.Signature(stream_bits))`
    write : :py:`Out(ColumnWrite(act_cols / rows_per_word, max_tokens, stream_bits))`
    available : :py:`Out(8)`
        Columns that have been written completely.

    Throughput
    ----------
    One word (``rows_per_word`` columns of a token) a cycle.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        super().__init__({
            "hello": In(Flow(hello_layout)),
            "address": In(64),
            "request": Out(ReadRequest()),
            "words": In(stream.Signature(config.stream_bits)),
            "write": Out(ColumnWrite(config.act_cols // config.rows_per_word, config.max_tokens, config.stream_bits)),
            "available": Out(8),
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
        hello = self.hello.payload
        m.d.comb += [
            last.eq(token == tokens - 1),
            self.request.start.eq(start[1] & (words != 0)),
            self.request.address.eq(self.address),
            self.request.words.eq(words),
            self.words.ready.eq(1),
        ]
        m.d.sync += [
            start.eq((start << 1) | self.hello.valid),
            self.write.enable.eq(self.words.valid),
            self.write.column.eq(part),
            self.write.token.eq(token),
            self.write.data.eq(self.words.payload),
        ]
        with m.If(self.words.valid):
            m.d.sync += token.eq(Mux(last, 0, token + 1))
            with m.If(last):
                m.d.sync += [part.eq(part + 1), self.available.eq((part + 1) * self.config.rows_per_word)]
        with m.If(self.hello.valid):
            m.d.sync += [tokens.eq(hello.image_tokens), per_token.eq(hello.image_words), token.eq(0), part.eq(0),
                         self.available.eq(0)]
        with m.If(start[0]):
            m.d.sync += words.eq(tokens * per_token)
        return m
