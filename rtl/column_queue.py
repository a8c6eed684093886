"""Column queue: what the drain has to know of columns that have been loaded or started and do not drain yet."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import HardwareConfig
from flows.contracts.program import COLUMN_PARAMETER_BITS, column_parameter_words
from rtl.flow import Flow

__all__ = ["ColumnQueue", "info_layout"]


def info_layout() -> data.StructLayout:
    """What is known of a draining column."""
    return data.StructLayout({"dest": 3, "column": 10, "key_block": 5, "local_head": 4, "head": 4, "capture": 1,
                              "last": 1})


class ColumnQueue(wiring.Component):
    """Two queues that are emptied together: column parameters, as words of the stream, and the fields of the slot.

    Parameters are loaded before their slot starts and become active when its first row reaches the requantizer, which
    behind the softmax division is later than the start of the slots that follow.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    clear : :py:`In(1)`
    parameter_load : :py:`In(Flow(stream_bits))`
        The decoder never loads more than ``SETS`` sets ahead.
    started : :py:`In(Flow(info_layout()))`
        A slot that drains starts.
    take : :py:`In(1)`
        The oldest column's first row: its entry is used now and gone afterwards.
    parameters : :py:`Out(768)`, info : :py:`Out(info_layout())`
        The oldest column's. Two columns are taken at least 3 cycles apart.

    Latency
    -------
    2 cycles from the last word, or from ``started``, or from ``take``, to the outputs.
    """

    SETS = 4

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        super().__init__({
            "clear": In(1),
            "parameter_load": In(Flow(config.stream_bits)),
            "started": In(Flow(info_layout())),
            "take": In(1),
            "parameters": Out(COLUMN_PARAMETER_BITS),
            "info": Out(info_layout()),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        head = Signal(range(self.SETS))
        m.d.sync += head.eq(Mux(self.clear, 0, head + self.take))
        complete, words = self._collect(m)
        m.d.comb += [
            self.parameters.eq(self._queue(m, "sets", head, complete, words)),
            self.info.eq(self._queue(m, "infos", head, self.started.valid, self.started.payload.as_value())),
        ]
        return m

    def _collect(self, m: Module) -> tuple[Value, Value]:
        """Whether a word completes a set, and the set."""
        words, load = column_parameter_words(self.config), self.parameter_load
        earlier = Signal((words - 1) * self.config.stream_bits, reset_less=True)
        count = Signal(range(words))
        last = count == words - 1
        with m.If(load.valid):
            m.d.sync += [earlier.eq(Cat(earlier, load.payload)[self.config.stream_bits:]),
                         count.eq(Mux(last, 0, count + 1))]
        with m.If(self.clear):
            m.d.sync += count.eq(0)
        return load.valid & last, Cat(earlier, load.payload)[:COLUMN_PARAMETER_BITS]

    def _queue(self, m: Module, name: str, head: Signal, push: Value, entry: Value) -> Value:
        """The entry at the head of a queue in a memory."""
        m.submodules[name] = mem = memory.Memory(shape=len(entry), depth=self.SETS, init=[])
        read, write = mem.read_port(), mem.write_port()
        tail = Signal(range(self.SETS), name=f"{name}_tail")
        m.d.sync += tail.eq(Mux(self.clear, 0, tail + push))
        m.d.comb += [read.addr.eq(head), read.en.eq(1), write.addr.eq(tail), write.en.eq(push), write.data.eq(entry)]
        return read.data
