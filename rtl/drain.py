"""Drain: what happens to a finished column on its way from the accumulators to a memory."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, WORD_BITS, HardwareConfig
from flows.contracts.numerics import ROW_SUM_BITS, SCORE_MASKED
from flows.contracts.program import COLUMN_PARAMETER_BITS, Dest, Post
from rtl.banks import ColumnWrite
from rtl.choose import choose
from rtl.column_queue import ColumnQueue, info_layout
from rtl.delay import DelayLine, delayed
from rtl.flow import Flow, TableWrite, lanes
from rtl.gelu import Gelu
from rtl.packets import slot_layout, step_layout
from rtl.requant import Requant
from rtl.residual import Residual, residual_layout
from rtl.row_max import RowMax
from rtl.sequencer import token_control_layout
from rtl.softmax import Normalise, Reciprocal

__all__ = ["Drain", "drain_cycles", "recip_layout"]

CONTEXT_ACC_BITS = 26
SELECT = 2
"""Cycles from the clusters' outputs to the chosen column: both halves are chosen, then added."""
TO_REQUANT = 1
REGISTER = 1
"""Register behind the requantizer, in front of everything that follows."""


def recip_layout() -> data.StructLayout:
    """Reciprocal row sum of the CLS row of ``head``."""
    return data.StructLayout({"head": 4, "mant": 16, "exp": signed(5)})


def map_layout() -> data.StructLayout:
    """Where a token goes when tokens are dropped."""
    return data.StructLayout({"keep": 1, "index": 9, "weight": 16})


def row_layout() -> data.StructLayout:
    """What travels with a row."""
    return data.StructLayout({"token": 9, "start": 1, "fused": 1})


def drain_cycles(operand_cycles: int, exp_cycles: int, cluster_cycles: int, move_cycles: int,
                 part_cycles: int = 0) -> dict[Post, int]:
    """Cycles from issuing the last token of a step until what it wrote can be read, by post-processing.

    Parameters
    ----------
    operand_cycles, exp_cycles, cluster_cycles : latencies of the stages before the drain
    move_cycles : from group to group
    part_cycles : further latency of every unit here that works on rows in parts
    """
    common = operand_cycles + cluster_cycles + SELECT + TO_REQUANT + Requant.LATENCY + part_cycles + REGISTER
    write = 4
    return {
        Post.INT8: common + write,
        Post.GELU: common + Gelu.LATENCY + 1 + write,
        Post.RESIDUAL: common + Residual.LATENCY + part_cycles + move_cycles + write,
        Post.SCORE: common + 1 + RowMax.LATENCY + write,
        Post.CONTEXT: common + exp_cycles + Reciprocal.LATENCY + Normalise.LATENCY + part_cycles + write,
        Post.LOGIT: common + write,
    }


class Drain(wiring.Component):
    """One 16-lane post-processing pipeline.

    The sums of a cluster, or of two clusters that share a column, pass the softmax division (context only), the
    requantizer, and then, by the step's ``post``, go to memory as they are, through the GELU table, through score
    masking and row maximum, or into the residual stream.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    group : :py:`In(range(groups))`
        Number of this group.
    clear : :py:`In(1)`
        Forget the columns that were to drain.
    step : :py:`In(step_layout)`, tokens : :py:`In(9)`, started : :py:`In(1)`
        The running step; ``started`` in its first cycle.
    upcoming : :py:`In(slot_layout(config))`, take : :py:`In(1)`
        The slot that starts with the next cycle.
    acc : :py:`In(ArrayLayout(512, clusters))`, row_sum : :py:`In(ArrayLayout(17, clusters))`
        The clusters' outputs.
    valid, control : :py:`In(...)`
        The token they belong to.
    parameter_load : :py:`In(Flow(stream_bits))`, parameters_taken : :py:`Out(1)`
        Column parameters; the oldest become active with the first row of the next column.
    retire : :py:`In(1)`
        The oldest column has begun to drain: the cycle after ``parameters_taken`` of a group that has a token in it. A
        group without any must let go of the column as well.
    gelu_table : :py:`In(TableWrite())`
    map_address : :py:`Out(9)`, map_data : :py:`In(map_layout())`, new_tokens : :py:`In(9)`, dropping : :py:`In(1)`
        Token selection (``map_address`` is a row of this group); ``dropping`` while the running step drops a token.
    recip : :py:`Out(Flow(recip_layout()))`
        Reciprocals of the CLS row.
    a, kv, s : :py:`Out(ColumnWrite(...))`, row_max : :py:`Out(Flow(...))`, residual : :py:`Out(Flow(...))`
    logit : :py:`Out(ColumnWrite(class_cols, 1, 256))`
        Where rows go.

    Throughput
    ----------
    One row of 16 channels every ``row_cycles`` cycles.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        clusters = config.clusters
        super().__init__({
            "group": In(range(max(config.groups, 2))),
            "clear": In(1),
            "step": In(step_layout),
            "tokens": In(9),
            "started": In(1),
            "upcoming": In(slot_layout(config)),
            "take": In(1),
            "acc": In(data.ArrayLayout(32 * BLOCK, clusters)),
            "row_sum": In(data.ArrayLayout(ROW_SUM_BITS, clusters)),
            "valid": In(1),
            "control": In(token_control_layout(clusters)),
            "parameter_load": In(Flow(config.stream_bits)),
            "parameters_taken": Out(1),
            "retire": In(1),
            "gelu_table": In(TableWrite()),
            "map_address": Out(9),
            "map_data": In(map_layout()),
            "new_tokens": In(9),
            "dropping": In(1),
            "recip": Out(Flow(recip_layout())),
            "a": Out(ColumnWrite(config.act_cols, config.group_tokens)),
            "kv": Out(ColumnWrite(config.kv_cols, config.group_tokens)),
            "s": Out(ColumnWrite(config.score_cols, config.group_tokens)),
            "row_max": Out(Flow(RowMax.layout(config))),
            "residual": Out(Flow(residual_layout())),
            "logit": Out(ColumnWrite(config.class_cols, 16, WORD_BITS)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.column_queue = queue = ColumnQueue(self.config)
        info = self._info(m, queue)
        acc, row_sum, row, valid = self._choose(m)
        p, context_row, context_valid = self._divide(m, acc, row_sum, row, valid, info)
        y, row, valid, info = self._requantize(m, acc, row, valid, p, context_row, context_valid, queue)
        self._plain(m, y, row, valid, info)
        self._gelu(m, y, row, valid, info)
        self._score(m, y, row, valid, info)
        self._residual(m, y, row, valid, info)
        return m

    def _info(self, m: Module, queue: ColumnQueue) -> data.View:
        """The column that drains next."""
        slot, info = self.upcoming, queue.started.payload
        m.d.comb += [
            queue.clear.eq(self.clear),
            queue.started.valid.eq(self.take & slot.drain),
            info.dest.eq(slot.dest), info.column.eq(slot.dest_column), info.key_block.eq(slot.key_block),
            info.local_head.eq(slot.local_head), info.head.eq(slot.head), info.capture.eq(slot.capture),
            info.last.eq(slot.stats_last),
            queue.parameter_load.valid.eq(self.parameter_load.valid),
            queue.parameter_load.payload.eq(self.parameter_load.payload),
        ]
        return queue.info

    def _choose(self, m: Module) -> tuple[Signal, Signal, data.View, Value]:
        """The draining cluster's sums, and those of the cluster that has the column's other half, if any."""
        control = self.control
        one, one_sum = self._cluster_sums(m, "one", control.drain_cluster, 1)
        other, other_sum = self._cluster_sums(m, "other", control.merge_cluster, control.merge)
        now = Signal(row_layout())
        m.d.comb += [now.token.eq(control.token), now.start.eq(control.start), now.fused.eq(control.fused)]

        acc = Signal(32 * BLOCK, reset_less=True)
        row_sum = Signal(ROW_SUM_BITS, reset_less=True)
        m.d.sync += row_sum.eq(one_sum + other_sum)
        m.d.sync += [acc.word_select(lane, 32).eq(one.word_select(lane, 32) + other.word_select(lane, 32))
                     for lane in range(BLOCK)]
        row = data.View(row_layout(), delayed(m, now.as_value(), SELECT, "chosen_row"))
        valid = delayed(m, self.valid & control.drain, SELECT, "chosen_valid", reset_less=False)
        return acc, row_sum, row, valid

    def _cluster_sums(self, m: Module, name: str, index: Value, wanted: Value | int) -> tuple[Signal, Signal]:
        """Accumulators and row sum of one cluster, registered; 0 unless wanted."""
        acc = Signal(32 * BLOCK, name=f"{name}_acc", reset_less=True)
        row_sum = Signal(ROW_SUM_BITS, name=f"{name}_sum", reset_less=True)
        clusters = range(self.config.clusters)
        m.d.sync += [acc.eq(Mux(wanted, choose([self.acc[c] for c in clusters], index), 0)),
                     row_sum.eq(Mux(wanted, choose([self.row_sum[c] for c in clusters], index), 0))]
        return acc, row_sum

    def _divide(self, m: Module, acc: Signal, row_sum: Signal, row: data.View, valid: Value,
                info: data.View) -> tuple[data.View, Value, Value]:
        """Softmax division of context columns by the row sum."""
        m.submodules.reciprocal = reciprocal = Reciprocal()
        m.submodules.normalise = normalise = Normalise(self.config.row_cycles)
        m.submodules.acc_delay = acc_delay = DelayLine(CONTEXT_ACC_BITS * BLOCK, Reciprocal.LATENCY)
        m.submodules.row_delay = row_delay = DelayLine(len(row.as_value()), Reciprocal.LATENCY)
        narrow = Cat(acc.word_select(lane, 32)[:CONTEXT_ACC_BITS] for lane in range(BLOCK))
        m.d.comb += [
            reciprocal.i.valid.eq(valid & (self.step.post == Post.CONTEXT)),
            reciprocal.i.payload.eq(row_sum),
            acc_delay.i.eq(narrow),
            row_delay.i.eq(row.as_value()),
            normalise.i.valid.eq(reciprocal.o.valid),
            normalise.i.payload.acc.eq(acc_delay.o),
            normalise.i.payload.mant.eq(reciprocal.o.payload.mant),
            normalise.i.payload.exp.eq(reciprocal.o.payload.exp),
        ]
        divided_row = data.View(row_layout(), row_delay.o)
        m.d.comb += [
            self.recip.valid.eq(reciprocal.o.valid & divided_row.start & info.capture),
            self.recip.payload.head.eq(info.head),
            self.recip.payload.mant.eq(reciprocal.o.payload.mant),
            self.recip.payload.exp.eq(reciprocal.o.payload.exp),
        ]
        context_row = delayed(m, row_delay.o, Normalise.LATENCY + self.config.part_cycles, "context_row")
        return normalise.o.payload, context_row, normalise.o.valid

    def _requantize(self, m: Module, acc: Signal, row: data.View, valid: Value, p: data.View, context_row: Value,
                    context_valid: Value, queue: ColumnQueue) -> tuple[data.View, data.View, Signal, data.View]:
        """Choose the path, take over the column's parameters with its first row, requantize."""
        context = self.step.post == Post.CONTEXT
        wide_p = Cat(_extend(p[lane]) for lane in range(BLOCK))
        r_acc = Signal(32 * BLOCK, reset_less=True)
        r_row = Signal(row_layout(), reset_less=True)
        r_valid = Signal()
        next_row = data.View(row_layout(), Mux(context, context_row, row.as_value()))
        next_valid = Mux(context, context_valid, valid)
        first = Signal()
        m.d.comb += [first.eq(next_valid & next_row.start), self.parameters_taken.eq(first)]

        active = Signal(COLUMN_PARAMETER_BITS, reset_less=True)
        active_info = Signal(info_layout(), reset_less=True)
        m.d.comb += queue.take.eq(self.retire)
        m.d.sync += [
            active.eq(Mux(first, queue.parameters, active)),
            active_info.eq(Mux(first, queue.info.as_value(), active_info.as_value())),
            r_acc.eq(Mux(context, wide_p, acc)),
            r_row.eq(next_row),
            r_valid.eq(next_valid),
        ]
        m.submodules.requant = requant = Requant(self.config.row_cycles)
        m.d.comb += [
            requant.i.valid.eq(r_valid),
            requant.i.payload.acc.eq(r_acc),
            requant.i.payload.bias.eq(active[:2 * WORD_BITS]),
            requant.i.payload.mult.eq(active[2 * WORD_BITS:]),
            requant.i.payload.shift.eq(self.step.shift),
            requant.i.payload.wide.eq((self.step.post == Post.RESIDUAL) | (self.step.post == Post.LOGIT)),
        ]
        out_row = data.View(row_layout(), delayed(m, r_row.as_value(), Requant.LATENCY + self.config.part_cycles,
                                               "requant_row"))
        # The map answers one cycle later, together with the register.
        m.d.comb += self.map_address.eq(out_row.token)
        y = Signal(lanes(16), reset_less=True)
        y_row = Signal(row_layout(), reset_less=True)
        y_valid = Signal()
        y_info = Signal(info_layout(), reset_less=True)
        m.d.sync += [
            y.eq(requant.o.payload),
            y_row.eq(out_row),
            y_valid.eq(requant.o.valid),
            y_info.eq(Mux(requant.o.valid & out_row.start, active_info.as_value(), y_info.as_value())),
        ]
        return y, y_row, y_valid, y_info

    def _plain(self, m: Module, y: data.View, row: data.View, valid: Signal, info: data.View) -> None:
        """Queries, keys, values, context and logits go to memory as they are."""
        post = self.step.post
        plain = valid & ((post == Post.INT8) | (post == Post.CONTEXT))
        narrow = Cat(y[lane][:8] for lane in range(BLOCK))
        m.d.comb += [
            self.kv.enable.eq(plain & (info.dest == Dest.KV)),
            self.kv.column.eq(info.column),
            self.kv.token.eq(row.token),
            self.kv.data.eq(narrow),
            self.logit.enable.eq(valid & (post == Post.LOGIT)),
            self.logit.column.eq(info.column),
            self.logit.token.eq(row.token),
            self.logit.data.eq(y.as_value()),
        ]
        self._a_plain = plain & (info.dest == Dest.A)
        self._a_word = narrow

    def _gelu(self, m: Module, y: data.View, row: data.View, valid: Signal, info: data.View) -> None:
        """Table lookup of hidden activations; the write port of A is shared with plain columns."""
        m.submodules.gelu = gelu = Gelu()
        m.d.comb += [
            gelu.i.valid.eq(valid & (self.step.post == Post.GELU)),
            gelu.i.payload.eq(self._a_word),
            gelu.table.enable.eq(self.gelu_table.enable),
            gelu.table.address.eq(self.gelu_table.address),
            gelu.table.data.eq(self.gelu_table.data),
        ]
        g_token = delayed(m, row.token, Gelu.LATENCY, "gelu_token")
        g_column = delayed(m, info.column, Gelu.LATENCY, "gelu_column")
        m.d.sync += [
            self.a.enable.eq(gelu.o.valid | self._a_plain),
            self.a.column.eq(Mux(gelu.o.valid, g_column, info.column)),
            self.a.token.eq(Mux(gelu.o.valid, g_token, row.token)),
            self.a.data.eq(Mux(gelu.o.valid, gelu.o.payload.as_value(), self._a_word)),
        ]

    def _score(self, m: Module, y: data.View, row: data.View, valid: Signal, info: data.View) -> None:
        """Mask keys beyond the last token, store, track the row maximum."""
        heads = self.config.score_heads
        seen = Signal(1 << 4)
        held = Signal()
        first = Signal()
        score = valid & (self.step.post == Post.SCORE)
        known = (seen >> info.local_head)[0]
        m.d.comb += first.eq(Mux(row.start, ~known, held))
        with m.If(score & row.start):
            m.d.sync += [held.eq(~known), seen.eq(seen | (1 << info.local_head))]
        with m.If(self.started):
            m.d.sync += seen.eq(0)

        last = self.tokens - 1
        count = Mux(info.key_block == last[4:], last[:4] + 1, BLOCK)
        masked = Signal(lanes(8), reset_less=True)
        m.d.sync += [masked[lane].eq(Mux(lane < count, y[lane][:8].as_signed(), SCORE_MASKED))
                     for lane in range(BLOCK)]
        enable = Signal()
        column = Signal(10, reset_less=True)
        token = Signal(9, reset_less=True)
        head = Signal(range(max(heads, 2)), reset_less=True)
        is_first = Signal(reset_less=True)
        m.d.sync += [enable.eq(score), column.eq(info.column), token.eq(row.token), head.eq(info.local_head),
                     is_first.eq(first)]
        m.d.comb += [
            self.s.enable.eq(enable),
            self.s.column.eq(column),
            self.s.token.eq(token),
            self.s.data.eq(masked.as_value()),
            self.row_max.valid.eq(enable),
            self.row_max.payload.local_head.eq(head),
            self.row_max.payload.token.eq(token),
            self.row_max.payload.first.eq(is_first),
            self.row_max.payload.score.eq(masked),
        ]

    def _residual(self, m: Module, y: data.View, row: data.View, valid: Signal, info: data.View) -> None:
        """Add to the residual stream, with each row's new place when tokens are dropped."""
        residual = valid & (self.step.post == Post.RESIDUAL)
        done = Signal()  # a column of this step has drained
        held = Signal()
        first = Mux(row.start, ~done, held)
        with m.If(residual & row.start):
            m.d.sync += [held.eq(~done), done.eq(1)]
        with m.If(self.started):
            m.d.sync += done.eq(0)
        place = self.map_data
        out = self.residual.payload
        m.d.comb += [
            # The fused row exists only if a token is dropped.
            self.residual.valid.eq(residual & (self.dropping | ~row.fused)),
            out.y.eq(y),
            out.column.eq(info.column),
            out.token.eq(row.token),
            out.index.eq(Mux(self.dropping, Mux(row.fused, self.new_tokens - 1, place.index),
                             Cat(self.group[:self.config.groups.bit_length() - 1], row.token))),
            out.keep.eq(Mux(self.dropping, place.keep & ~row.fused, 1)),
            out.weight.eq(place.weight),
            out.start.eq(row.start),
            out.fused.eq(row.fused),
            out.first.eq(first),
            out.last.eq(info.last),
        ]


def _extend(value: Value) -> Value:
    """Sign extension to 32 bits."""
    wide = value.as_signed()
    return Cat(wide, wide[-1].replicate(32 - len(wide)))
