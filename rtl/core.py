"""The datapath: decoder, sequencer, memories, clusters, drain, norm pass and token selection, wired together."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, WORD_BITS, HardwareConfig
from flows.contracts.program import Drop
from rtl.axi_read import ReadRequest
from rtl.cluster import ROW_SUM_BITS, Cluster, operand_layout
from rtl.decoder import Decoder
from rtl.delay import delayed
from rtl.drain import Drain, drain_cycles
from rtl.image_loader import ImageLoader
from rtl.key_value import KeyValue
from rtl.logits import Logits
from rtl.norm_pass import NormPass
from rtl.operands import Operands
from rtl.residual import Residual
from rtl.sequencer import Sequencer
from rtl.shared import shared_instance
from rtl.softmax import Exp
from rtl.token_drop import Select

__all__ = ["Core", "core_drain_cycles"]


def core_drain_cycles() -> dict:
    """Barrier lengths by post-processing: see :func:`rtl.drain.drain_cycles`."""
    return drain_cycles(Operands.LATENCY, Exp.LATENCY, Cluster.LATENCY)


NORM_CYCLES = Residual.STATISTICS - Residual.LATENCY
"""From the last residual row until its statistic can be read."""


class Core(wiring.Component):
    """Runs a program from a word stream; knows nothing of buses and registers.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    clear, start : :py:`In(1)`
        ``clear`` forgets everything, ``start`` (a later cycle) begins to read a program.
    program, image : :py:`In(stream.Signature(256))`
    image_address : :py:`In(64)`, image_request : :py:`Out(ReadRequest())`
    finished : :py:`Out(1)`
        The program has ended and everything is stored.
    error : :py:`Out(4)`
    selecting : :py:`Out(1)`
        Token selection runs; it does not stop at ``clear``.
    progress : :py:`Out(1)`
        Something moves; for the watchdog.
    logit_words, send : the output buffer, logits : :py:`Out(stream.Signature(256))`
    step : :py:`Out(16)`, tokens : :py:`Out(9)`
    kept : :py:`Out(1)`, kept_tokens : :py:`Out(9)`
        A selection has ended.
    take : :py:`Out(1)`
        A slot starts.
    stall_memory, stall_load, stall_barrier, stall_column, stall_select : :py:`Out(1)`
        Why no slot runs.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        super().__init__({
            "clear": In(1),
            "start": In(1),
            "program": In(stream.Signature(WORD_BITS)),
            "image": In(stream.Signature(WORD_BITS)),
            "image_address": In(64),
            "image_request": Out(ReadRequest()),
            "finished": Out(1),
            "error": Out(4),
            "selecting": Out(1),
            "progress": Out(1),
            "logit_words": Out(32),
            "send": In(1),
            "logits": Out(stream.Signature(WORD_BITS)),
            "step": Out(16),
            "tokens": Out(9),
            "kept": Out(1),
            "kept_tokens": Out(9),
            "take": Out(1),
            "stall_memory": Out(1),
            "stall_load": Out(1),
            "stall_barrier": Out(1),
            "stall_column": Out(1),
            "stall_select": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        self._decoder = m.submodules.decoder = Decoder(config)
        self._sequencer = m.submodules.sequencer = Sequencer(config, core_drain_cycles(), NORM_CYCLES)
        self._operands = m.submodules.operands = Operands(config)
        self._key_value = m.submodules.key_value = KeyValue(config.kv_cols, config.max_tokens)
        self._drain = m.submodules.drain = Drain(config)
        self._residual = m.submodules.residual = Residual(config)
        self._norm = m.submodules.norm_pass = NormPass(config)
        self._select = m.submodules.token_drop = Select(config)
        self._image = m.submodules.image_loader = ImageLoader(config)
        self._logits = m.submodules.logit_buffer = Logits(config)
        self._control(m)
        self._stream(m)
        self._clusters(m)
        self._tables(m)
        self._sinks(m)
        self._layer_norm(m)
        self._token_drop(m)
        self._state(m)
        return m

    def _control(self, m: Module) -> None:
        """Program stream, decoder and sequencer."""
        decoder, sequencer = self._decoder, self._sequencer
        wiring.connect(m, wiring.flipped(self.program), decoder.program)
        wiring.connect(m, decoder.step, sequencer.step)
        wiring.connect(m, decoder.slot, sequencer.slot)
        m.d.comb += [
            decoder.start.eq(self.start | self.clear),
            decoder.tokens.eq(sequencer.tokens),
            decoder.parameters_taken.eq(self._drain.parameters_taken),
            sequencer.clear.eq(self.clear),
            sequencer.norm_busy.eq(self._norm.storing),
            sequencer.select_busy.eq(self._select.busy),
            sequencer.new_tokens.eq(self._select.new_tokens),
            sequencer.columns.eq(Mux(sequencer.current.image, self._image.available, self._norm.available)),
        ]
        image = self._image
        wiring.connect(m, decoder.hello, image.hello)
        wiring.connect(m, wiring.flipped(self.image), image.words)
        wiring.connect(m, image.request, wiring.flipped(self.image_request))
        m.d.comb += image.address.eq(self.image_address)

    def _stream(self, m: Module) -> None:
        """Tokens of the running slot, from the sequencer to the clusters' inputs."""
        sequencer, operands = self._sequencer, self._operands
        m.d.comb += [
            operands.step.eq(sequencer.current),
            operands.tokens.eq(sequencer.tokens),
            operands.upcoming.eq(self._decoder.slot.payload),
            operands.take.eq(sequencer.take),
            operands.taken.eq(sequencer.taken),
            operands.valid.eq(sequencer.valid),
            operands.control.eq(sequencer.control),
        ]
        wiring.connect(m, self._image.write, operands.image_write)
        wiring.connect(m, self._norm.write, operands.x_write)
        wiring.connect(m, self._drain.a, operands.a_write)
        wiring.connect(m, self._drain.s, operands.s_write)
        wiring.connect(m, self._drain.row_max, operands.row_max)

    def _clusters(self, m: Module) -> None:
        """The MAC array; its outputs go to the drain."""
        config, operands, decoder, drain = self.config, self._operands, self._decoder, self._drain
        control = operands.out_control
        for cluster in range(config.clusters):
            acc = Signal(32 * BLOCK, name=f"acc{cluster}")
            row_sum = Signal(ROW_SUM_BITS, name=f"row_sum{cluster}")
            payload = Signal(operand_layout(config.max_tokens), name=f"operand{cluster}")
            m.d.comb += [
                payload.a.eq(operands.operand[cluster]),
                payload.token.eq(control.token),
                payload.start.eq(control.start),
                payload.fresh.eq(control.fresh.bit_select(cluster, 1)),
                drain.acc[cluster].eq(acc),
                drain.row_sum[cluster].eq(row_sum),
            ]
            m.submodules[f"cluster{cluster}"] = shared_instance(
                "sievit_cluster", lambda: Cluster(config.max_tokens),
                i__payload=payload.as_value(),
                i__valid=operands.out_valid & control.active.bit_select(cluster, 1),
                load_enable=decoder.load.enable[cluster],
                load_transposed=decoder.load.transposed,
                load_word=decoder.load.word,
                acc=acc, row_sum=row_sum, valid=Signal(name=f"valid{cluster}"))
        swapped = Signal()
        m.d.sync += swapped.eq(operands.out_valid & control.start)
        m.d.comb += decoder.swapped.eq(swapped)
        m.d.comb += [
            drain.valid.eq(delayed(m, operands.out_valid, Cluster.LATENCY, "cluster_valid", reset_less=False)),
            drain.control.eq(delayed(m, control.as_value(), Cluster.LATENCY, "cluster_control")),
        ]

    def _tables(self, m: Module) -> None:
        """What the program stream writes besides weights."""
        decoder = self._decoder
        wiring.connect(m, decoder.exp_table, self._operands.exp_table)
        wiring.connect(m, decoder.gelu_table, self._drain.gelu_table)
        wiring.connect(m, decoder.norm_write, self._norm.parameters)
        wiring.connect(m, decoder.residual_write, self._residual.initial)
        m.d.comb += [
            self._key_value.column.eq(decoder.tile_column),
            self._key_value.key_block.eq(decoder.tile_key_block),
            self._key_value.word.eq(decoder.tile_word),
            decoder.tile_data.eq(self._key_value.data),
        ]

    def _sinks(self, m: Module) -> None:
        """Where finished columns go."""
        drain, sequencer = self._drain, self._sequencer
        m.d.comb += [
            drain.step.eq(sequencer.current),
            drain.tokens.eq(sequencer.tokens),
            drain.started.eq(sequencer.started),
            drain.upcoming.eq(self._decoder.slot.payload),
            drain.take.eq(sequencer.take),
        ]
        wiring.connect(m, self._decoder.parameter_load, drain.parameter_load)
        wiring.connect(m, drain.kv, self._key_value.write)
        wiring.connect(m, drain.residual, self._residual.i)
        wiring.connect(m, drain.logit, self._logits.write)
        wiring.connect(m, self._logits.o, wiring.flipped(self.logits))
        m.d.comb += [
            self._logits.clear.eq(self.clear),
            self._logits.send.eq(self.send),
            self.logit_words.eq(self._logits.words),
        ]

    def _layer_norm(self, m: Module) -> None:
        """Statistics and norm pass, between the residual memory and X."""
        norm, residual, sequencer = self._norm, self._residual, self._sequencer
        step = sequencer.current
        m.d.comb += [
            residual.width.eq(step.width),
            norm.clear.eq(self.clear),
            norm.start.eq(sequencer.started & step.norm),
            norm.columns.eq(step.norm_columns),
            norm.half.eq(step.norm_half),
            norm.shift.eq(step.norm_shift),
            norm.tokens.eq(sequencer.tokens),
            norm.width.eq(step.width),
            residual.read_address.eq(norm.read_address),
            norm.read_data.eq(residual.read_data),
        ]
        wiring.connect(m, residual.statistic, norm.statistic)

    def _token_drop(self, m: Module) -> None:
        """Selection runs while the projection's first columns are computed."""
        select, drain, sequencer = self._select, self._drain, self._sequencer
        step = sequencer.current
        dropping = step.drop != Drop.NONE
        m.d.comb += [
            select.capture.valid.eq(self._operands.capture.valid),
            select.capture.payload.eq(self._operands.capture.payload),
            select.recip.valid.eq(drain.recip.valid),
            select.recip.payload.eq(drain.recip.payload),
            select.start.eq(sequencer.started & dropping),
            select.mode.eq(step.drop),
            select.keep.eq(step.keep),
            select.threshold.eq(step.threshold),
            select.heads.eq(step.heads),
            select.inverse_heads.eq(step.inverse_heads),
            select.tokens.eq(sequencer.tokens),
            select.map_address.eq(drain.map_address),
            drain.map_data.eq(select.map_data),
            drain.new_tokens.eq(select.new_tokens),
            drain.dropping.eq(dropping & select.dropped),
        ]
        was_busy = Signal()
        m.d.sync += was_busy.eq(select.busy)
        m.d.comb += [self.kept.eq(was_busy & ~select.busy), self.kept_tokens.eq(select.new_tokens)]

    def _state(self, m: Module) -> None:
        """Progress, errors, and why nothing runs."""
        decoder, sequencer = self._decoder, self._sequencer
        quiet = ~sequencer.running
        loading: Value = quiet & ~decoder.slot.valid & ~sequencer.wait_step & ~decoder.finished
        m.d.comb += [
            self.finished.eq(decoder.finished & sequencer.idle),
            self.error.eq(decoder.error),
            self.selecting.eq(self._select.busy),
            self.progress.eq((self.program.valid & self.program.ready) | self.image.valid | sequencer.valid),
            self.step.eq(sequencer.current.index),
            self.tokens.eq(sequencer.tokens),
            self.take.eq(sequencer.take),
            self.stall_memory.eq(loading & decoder.waiting),
            self.stall_load.eq(loading & ~decoder.waiting),
            self.stall_barrier.eq(sequencer.wait_step),
            self.stall_column.eq(sequencer.wait_columns),
            self.stall_select.eq(sequencer.wait_select),
        ]
