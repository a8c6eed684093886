"""The datapath: decoder, sequencer, memories, clusters, drain, norm pass and token selection, wired together."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import WORD_BITS, HardwareConfig
from flows.contracts.program import Drop, Post
from flows.contracts.timing import crosses
from rtl.axi_read import ReadRequest
from rtl.cluster import Cluster
from rtl.crossing import crossed
from rtl.decoder import BlockLoad, Decoder
from rtl.delay import delayed
from rtl.drain import drain_cycles
from rtl.exchange import MOVE_CYCLES, PartSum, RowExchange
from rtl.group import Group
from rtl.image_loader import ImageLoader
from rtl.key_value import KeyValue
from rtl.logits import Logits
from rtl.operands import Operands
from rtl.residual import Residual
from rtl.sequencer import Sequencer
from rtl.shared import shared_component
from rtl.skid import Skid
from rtl.softmax import Exp
from rtl.token_drop import Select

__all__ = ["Core", "core_drain_cycles"]


def core_drain_cycles(config: HardwareConfig) -> dict[Post, int]:
    """Barrier lengths by post-processing: see :func:`rtl.drain.drain_cycles`.

    What is written outside of the groups, or has been there, comes later by a round trip; the groups' own memories are
    in step with what reads them.
    """
    cycles = drain_cycles(Operands.LATENCY, Exp.LATENCY, Cluster.LATENCY + config.part_cycles,
                          MOVE_CYCLES if config.groups > 1 else 0, config.part_cycles)
    return {post: cycles[post] + (config.round_trip if crosses(post, config) else 0) for post in cycles}


NORM_CYCLES = Residual.STATISTICS - Residual.LATENCY
"""From the last residual row until its statistic can be read, beyond ``part_cycles``."""


LOAD_DELAY = Operands.LATENCY - 1
"""Cycles from the decoder to the clusters' shadow registers, beyond the decoder's own register.

A slot's blocks are sent before it is taken, and the next slot's blocks from two cycles after that on. Its first row,
with which the blocks become active, reaches the clusters ``Operands.LATENCY`` cycles after it is issued; with this
delay the last word of its own blocks comes before that row, and the first word of the next ones with it, which is soon
enough (``Cluster.SWAP``). Scores take ``Exp.LATENCY`` cycles longer to the clusters, and so do the value tiles loaded
meanwhile (``KeyValue.LATENCY``); weights that follow them have a STEP packet and a header in front.
"""


class Core(wiring.Component):
    """Runs a program from a word stream; knows nothing of buses and registers.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    clear, start : :py:`In(1)`
        ``clear`` forgets everything, ``start`` (a later cycle) begins to read a program. It may come again, without
        ``clear``, when that has ``finished``.
    again : :py:`In(1)`
        The program runs again, on another image of the same run. Changes only together with ``start``.
    images, image_stride : :py:`In(32)`
        Images of the run, and bytes from one to the next.
    program, image : :py:`In(stream.Signature(stream_bits))`
    next_image : :py:`Out(1)`
        The words of the run's next image (after the first) are needed.
    image_address : :py:`In(64)`, image_request : :py:`Out(ReadRequest())`
    finished : :py:`Out(1)`
        The program has ended and everything is stored.
    error : :py:`Out(4)`
    selecting : :py:`Out(1)`
        Token selection runs; it does not stop at ``clear``.
    progress : :py:`Out(1)`
        Something has moved in the cycle before; for the watchdog.
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
            "again": In(1),
            "images": In(32),
            "image_stride": In(32),
            "program": In(stream.Signature(config.stream_bits)),
            "image": In(stream.Signature(config.stream_bits)),
            "image_address": In(64),
            "next_image": Out(1),
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
        barriers = core_drain_cycles(config)
        self._sequencer = m.submodules.sequencer = Sequencer(config, barriers, NORM_CYCLES + config.part_cycles,
                                                            barriers[Post.INT8] - config.round_trip)
        self._key_value = m.submodules.key_value = KeyValue(
            config.kv_cols, config.max_tokens, config.groups, config.stream_bits, config.uram_words)
        self._select = m.submodules.token_drop = Select(config)
        self._image = m.submodules.image_loader = ImageLoader(config)
        self._logits = m.submodules.logit_buffer = Logits(config)
        self._groups = [crossed(m, f"group{index}",
                                shared_component(m, f"group{index}", "sievit_group", lambda: Group(config)),
                                config.crossings, self.clear, constant=("group",))
                        for index in range(config.groups)]
        # The first group has a token in every slot, others may have none.
        self._retire = Signal()
        m.d.sync += self._retire.eq(self._groups[0].parameters_taken)
        self._control(m)
        self._load = self._delayed_load(m)
        for index, group in enumerate(self._groups):
            self._broadcast(m, index, group)
        self._writes(m)
        self._residual_writes(m)
        self._sinks(m)
        self._key_values(m)
        self._token_drop(m)
        if config.groups > 1:
            self._exchange(m)
        self._state(m)
        return m

    def _control(self, m: Module) -> None:
        """Program stream, decoder and sequencer. All groups are in step: the first one speaks for them."""
        decoder, sequencer, first = self._decoder, self._sequencer, self._groups[0]
        outdated = self._outdated(m)
        m.submodules.program_skid = skid = Skid(self.config.stream_bits)
        wiring.connect(m, wiring.flipped(self.program), skid.i)
        wiring.connect(m, skid.o, decoder.program)
        wiring.connect(m, decoder.step, sequencer.step)
        wiring.connect(m, decoder.slot, sequencer.slot)
        m.d.comb += [
            skid.clear.eq(self.clear),
            decoder.clear.eq(self.clear),
            decoder.start.eq(self.start | self.clear),
            decoder.tokens.eq(sequencer.tokens),
            decoder.parameters_taken.eq(self._retire),
            sequencer.clear.eq(self.clear),
            # Patches share a memory with queries and hidden activations: later steps wait for the last of them, also
            # when no block reads it.
            sequencer.norm_busy.eq(outdated | first.norm_storing
                                   | (self._image.loading & ~decoder.step.payload.image)),
            sequencer.select_busy.eq(self._select.busy),
            sequencer.new_tokens.eq(self._select.new_tokens),
            sequencer.columns.eq(Mux(sequencer.current.image, self._image.available,
                                     Mux(outdated, 0, first.available))),
        ]
        image = self._image
        wiring.connect(m, decoder.hello, image.hello)
        wiring.connect(m, wiring.flipped(self.image), image.words)
        wiring.connect(m, image.request, wiring.flipped(self.image_request))
        m.d.comb += [
            image.clear.eq(self.clear),
            image.again.eq(self.again),
            image.address.eq(self.image_address),
            image.images.eq(self.images),
            image.stride.eq(self.image_stride),
        ]
        m.d.sync += self.next_image.eq(decoder.hello.valid & self.again)

    def _outdated(self, m: Module) -> Value:
        """What the groups say of their norm pass is still about the step before: the answer takes a round trip."""
        if not self.config.round_trip:
            return Const(0)
        left = Signal(range(self.config.round_trip + 1))
        m.d.sync += left.eq(Mux(self._sequencer.started, self.config.round_trip, Mux(left == 0, 0, left - 1)))
        with m.If(self.clear):
            m.d.sync += left.eq(0)
        return left != 0

    def _delayed_load(self, m: Module) -> Any:
        """Blocks on their way to the clusters, see :data:`LOAD_DELAY`."""
        load = self._decoder.load
        late = BlockLoad(self.config).create(path=("late_load",))
        m.d.comb += [
            late.enable.eq(delayed(m, load.enable, LOAD_DELAY, "load_enable", reset_less=False)),
            late.transposed.eq(delayed(m, load.transposed, LOAD_DELAY, "load_transposed")),
            late.word.eq(delayed(m, load.word, LOAD_DELAY, "load_word")),
        ]
        return late

    def _broadcast(self, m: Module, index: int, group: Any) -> None:
        """What every group gets alike."""
        decoder, sequencer, select = self._decoder, self._sequencer, self._select
        m.d.comb += [
            group.group.eq(index),
            group.retire.eq(self._retire),
            group.clear.eq(self.clear),
            group.step.eq(sequencer.current),
            group.tokens.eq(sequencer.tokens),
            group.draining.eq(sequencer.draining),
            group.started.eq(sequencer.started),
            group.draining_started.eq(sequencer.draining_started),
            group.upcoming.eq(decoder.slot.payload),
            group.take.eq(sequencer.take),
            group.taken.eq(sequencer.taken),
            group.valid.eq(sequencer.valid[index]),
            group.control.eq(sequencer.control),
            group.load.enable.eq(self._load.enable),
            group.load.transposed.eq(self._load.transposed),
            group.load.word.eq(self._load.word),
            group.new_tokens.eq(select.new_tokens),
            group.dropped.eq(select.dropped),
        ]
        for flow, source in ((group.parameter_load, decoder.parameter_load), (group.map_write, select.map_write)):
            m.d.comb += [flow.valid.eq(source.valid), flow.payload.eq(source.payload)]
        for table, source in ((group.exp_table, decoder.exp_table), (group.gelu_table, decoder.gelu_table)):
            m.d.comb += [table.enable.eq(source.enable), table.address.eq(source.address), table.data.eq(source.data)]

    def _writes(self, m: Module) -> None:
        """Norm parameters go to every group, patches to the group that holds the token."""
        decoder, image = self._decoder, self._image
        bits = self.config.groups.bit_length() - 1
        for index, group in enumerate(self._groups):
            m.d.comb += [
                group.norm_write.valid.eq(decoder.norm_write.valid),
                group.norm_write.address.eq(decoder.norm_write.address),
                group.norm_write.word.eq(decoder.norm_write.word),
                group.norm_write.data.eq(decoder.norm_write.data),
                group.image_write.enable.eq(image.write.enable & (image.write.token[:bits] == index)),
                group.image_write.column.eq(image.write.column),
                group.image_write.token.eq(image.write.token[bits:]),
                group.image_write.data.eq(image.write.data),
            ]
        m.d.comb += decoder.norm_write.ready.eq(self._groups[0].norm_write.ready)

    def _residual_writes(self, m: Module) -> None:
        """A word holds one or two tokens of a column. They belong to different groups, or are written in turn."""
        source = self._decoder.residual_write
        config, bits = self.config, self.config.groups.bit_length() - 1
        tokens = config.tokens_per_word
        together = min(tokens, config.groups)
        turn = Signal(range(max(tokens // together, 2)))
        last_turn = turn == tokens // together - 1
        # A column's rows lie one behind the other, and max_tokens is a multiple of the groups.
        address = source.address + turn
        ready: Value | int = 0
        for index, group in enumerate(self._groups):
            mine = (address[:bits] | (together - 1)) == (index | (together - 1)) if bits else Const(1)
            m.d.comb += [
                group.residual_write.valid.eq(source.valid & mine),
                group.residual_write.address.eq(address[bits:]),
                group.residual_write.word.eq(source.word),
                group.residual_write.data.eq(source.data.word_select(turn + index % together, WORD_BITS)),
            ]
            ready = ready | (group.residual_write.ready & mine)
        m.d.comb += source.ready.eq(ready & last_turn)
        with m.If(source.valid & ready):
            m.d.sync += turn.eq(Mux(last_turn, 0, turn + 1))
        with m.If(self.clear):
            m.d.sync += turn.eq(0)

    def _sinks(self, m: Module) -> None:
        """Logits are token 0's."""
        wiring.connect(m, self._groups[0].logit, self._logits.write)
        wiring.connect(m, self._logits.o, wiring.flipped(self.logits))
        m.d.comb += [
            self._logits.clear.eq(self.clear),
            self._logits.send.eq(self.send),
            self.logit_words.eq(self._logits.words),
        ]

    def _key_values(self, m: Module) -> None:
        """Keys and values of all groups form one memory; its tiles are broadcast like weights."""
        memory, decoder, first = self._key_value, self._decoder, self._groups[0].kv
        m.d.comb += [
            memory.column.eq(decoder.tile_column),
            memory.key_block.eq(decoder.tile_key_block),
            memory.word.eq(decoder.tile_word),
            decoder.tile_data.eq(memory.data),
            memory.write.enable.eq(first.enable),
            memory.write.column.eq(first.column),
            memory.write.token.eq(first.token),
            memory.write.data.eq(Cat(group.kv.data for group in self._groups)),
            memory.exists.eq(Cat(group.kv.enable for group in self._groups)),
        ]

    def _token_drop(self, m: Module) -> None:
        """Selection runs while the projection's first columns are computed."""
        select, sequencer, first = self._select, self._sequencer, self._groups[0]
        step = sequencer.current
        m.d.comb += [
            select.capture.valid.eq(first.capture.valid),
            select.capture.payload.eq(first.capture.payload),
            select.recip.valid.eq(first.recip.valid),
            select.recip.payload.eq(first.recip.payload),
            select.start.eq(sequencer.started & (step.drop != Drop.NONE)),
            select.mode.eq(step.drop),
            select.keep.eq(step.keep),
            select.threshold.eq(step.threshold),
            select.heads.eq(step.heads),
            select.inverse_heads.eq(step.inverse_heads),
            select.tokens.eq(sequencer.tokens),
        ]
        was_busy = Signal()
        m.d.sync += was_busy.eq(select.busy)
        m.d.comb += [self.kept.eq(was_busy & ~select.busy), self.kept_tokens.eq(select.new_tokens)]

    def _exchange(self, m: Module) -> None:
        """Rows of kept tokens move to their new group; the parts of the fused token are joined."""
        m.submodules.row_exchange = rows = RowExchange(self.config)
        m.submodules.part_sum = parts = PartSum(self.config)
        m.d.comb += parts.tokens.eq(self._sequencer.tokens)
        for index, group in enumerate(self._groups):
            m.d.comb += [
                rows.i[index].valid.eq(group.moved.valid),
                rows.i[index].payload.eq(group.moved.payload),
                group.placed.valid.eq(rows.o[index].valid),
                group.placed.payload.eq(rows.o[index].payload),
                parts.part[index].eq(group.part),
                group.total.eq(parts.total if index == 0 else 0),
            ]

    def _state(self, m: Module) -> None:
        """Progress, errors, and why nothing runs."""
        decoder, sequencer = self._decoder, self._sequencer
        quiet = ~sequencer.running
        at_rest = Signal()
        m.d.sync += [
            at_rest.eq(decoder.finished & sequencer.idle & ~self._image.loading),
            self.progress.eq((self.program.valid & self.program.ready) | (self.image.valid & self.image.ready)
                             | sequencer.valid.any()),
        ]
        loading: Value = quiet & ~decoder.slot.valid & ~sequencer.wait_step & ~decoder.finished
        m.d.comb += [
            self.finished.eq(decoder.finished & at_rest),
            self.error.eq(decoder.error),
            self.selecting.eq(self._select.busy),
            self.step.eq(sequencer.current.index),
            self.tokens.eq(sequencer.tokens),
            self.take.eq(sequencer.take),
            self.stall_memory.eq(loading & decoder.waiting),
            self.stall_load.eq(loading & ~decoder.waiting),
            self.stall_barrier.eq(sequencer.wait_step),
            self.stall_column.eq(sequencer.wait_columns),
            self.stall_select.eq(sequencer.wait_select),
        ]
