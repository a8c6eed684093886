"""Logit buffer: holds the head's output until the program has ended, then hands it to the write master."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import WORD_BITS, HardwareConfig
from rtl.banks import ColumnWrite

__all__ = ["Logits"]


class Logits(wiring.Component):
    """Sixteen logits a word, in two halves: while one is handed over the other may be written.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    clear : :py:`In(1)`
        A new program starts.
    write : :py:`In(ColumnWrite(class_cols, 16, 256))`
        Of token 0.
    words : :py:`Out(range(class_cols + 1))`
        Words written since ``clear``: the highest column and one.
    send : :py:`In(1)`
        Hand over all words. From the next cycle on the other half is written. Not while ``o`` still has words.
    o : :py:`Out(stream.Signature(256))`

    Throughput
    ----------
    One word every three cycles.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.columns = config.class_cols
        super().__init__({
            "clear": In(1),
            "write": In(ColumnWrite(config.class_cols, 16, WORD_BITS)),
            "words": Out(range(config.class_cols + 1)),
            "send": In(1),
            "o": Out(stream.Signature(WORD_BITS)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index = Signal(range(max(self.columns, 2)))
        half = Signal()  # being written
        m.submodules.memory = mem = memory.Memory(shape=WORD_BITS, depth=2 << len(index), init=[])
        read, write = mem.read_port(), mem.write_port()
        m.d.comb += [
            write.addr[:-1].eq(self.write.column),
            write.addr[-1].eq(half),
            write.data.eq(self.write.data),
            write.en.eq(self.write.enable & (self.write.token == 0)),
        ]
        following = self.write.column + 1
        with m.If(self.clear):
            m.d.sync += self.words.eq(0)
        with m.Elif(self.write.enable & (following > self.words)):
            m.d.sync += self.words.eq(following)

        left = Signal(range(self.columns + 1))
        wait = Signal(2)
        m.d.comb += [read.addr.eq(Cat(index, ~half)), read.en.eq(1), self.o.payload.eq(read.data),
                     self.o.valid.eq((left != 0) & (wait == 0))]
        m.d.sync += wait.eq(Mux(wait == 0, 0, wait - 1))
        with m.If(self.send):
            m.d.sync += [left.eq(self.words), index.eq(0), wait.eq(2), half.eq(~half)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [left.eq(left - 1), index.eq(index + 1), wait.eq(2)]
        with m.If(self.clear):
            m.d.sync += left.eq(0)
        return m
