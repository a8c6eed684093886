"""Token group: the part of the datapath that exists once per group of tokens."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, WORD_BITS, HardwareConfig
from flows.contracts.numerics import ROW_SUM_BITS
from flows.contracts.program import Drop
from rtl.banks import ColumnWrite
from rtl.cluster import Cluster, operand_layout
from rtl.decoder import BlockLoad, WordWrite
from rtl.delay import delayed
from rtl.drain import Drain, recip_layout
from rtl.flow import Flow, TableWrite, lanes
from rtl.norm_pass import NormPass
from rtl.operands import Operands, capture_layout
from rtl.packets import slot_layout, step_layout
from rtl.residual import Residual, moved_layout
from rtl.sequencer import token_control_layout
from rtl.shared import shared_instance
from rtl.token_drop import Fuse, Select, TokenMap

__all__ = ["Group"]


class Group(wiring.Component):
    """Memories, clusters, drain and norm pass for the tokens with ``token mod groups == group``.

    All groups work in lock-step on the same slots; weights and tables are broadcast to them. What crosses groups goes
    through the core: keys and values, rows of kept tokens, the parts of the fused token, and the CLS row's scores.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    group : :py:`In(range(groups))`
        Number of this group; a constant.
    clear : :py:`In(1)`
        Give up what runs.
    step, draining, tokens, started, draining_started, upcoming, take, taken, control : :py:`In(...)`
        From decoder and sequencer, see there.
    valid : :py:`In(1)`
        This group has a token in the row.
    load, parameter_load, exp_table, gelu_table, norm_write, residual_write : :py:`In(...)`
        From the decoder. ``residual_write`` reaches the group that holds the token.
    image_write : :py:`In(ColumnWrite(act_cols / 2, group_tokens, 256))`
    map_write, new_tokens, dropped : :py:`In(...)`
        From the selection.
    capture, recip : :py:`Out(Flow(...))`
        Exponentials and reciprocals of this group's first token.
    kv : :py:`Out(ColumnWrite(kv_cols, group_tokens))`
    logit : :py:`Out(ColumnWrite(class_cols, 16, 256))`
    parameters_taken : :py:`Out(1)`, retire : :py:`In(1)`
    available : :py:`Out(8)`, norm_storing : :py:`Out(1)`
        Columns of the norm pass, and that it is not finished.
    moved, placed, part, total
        Only with several groups, see :class:`Residual`.

    Throughput
    ----------
    One token a cycle.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        slots = slot_layout(config)
        super().__init__({
            "group": In(range(max(config.groups, 2))),
            "clear": In(1),
            "step": In(step_layout),
            "draining": In(step_layout),
            "tokens": In(9),
            "started": In(1),
            "draining_started": In(1),
            "upcoming": In(slots),
            "take": In(1),
            "taken": In(slots),
            "valid": In(1),
            "control": In(token_control_layout(config.clusters)),
            "load": In(BlockLoad(config)),
            "parameter_load": In(Flow(config.stream_bits)),
            "exp_table": In(TableWrite()),
            "gelu_table": In(TableWrite()),
            "norm_write": In(WordWrite(config.stream_bits)),
            "residual_write": In(WordWrite(WORD_BITS)),
            "image_write": In(ColumnWrite(config.act_cols // config.rows_per_word, config.group_tokens,
                                          config.stream_bits)),
            "map_write": In(Flow(Select.MAP_WRITE)),
            "new_tokens": In(9),
            "dropped": In(1),
            "capture": Out(Flow(capture_layout())),
            "recip": Out(Flow(recip_layout())),
            "kv": Out(ColumnWrite(config.kv_cols, config.group_tokens)),
            "logit": Out(ColumnWrite(config.class_cols, 16, WORD_BITS)),
            "parameters_taken": Out(1),
            "retire": In(1),
            "available": Out(8),
            "norm_storing": Out(1),
            **({"moved": Out(Flow(moved_layout())), "placed": In(Flow(moved_layout())),
                "part": Out(lanes(Fuse.SUM_BITS)), "total": In(lanes(Fuse.SUM_BITS))} if config.groups > 1 else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.operands = operands = Operands(config)
        m.submodules.drain = drain = Drain(config)
        m.submodules.residual = residual = Residual(config)
        m.submodules.norm_pass = norm = NormPass(config)
        m.submodules.token_map = token_map = TokenMap(config)
        self._operands(m, operands, drain, norm)
        self._clusters(m, operands, drain)
        self._drain(m, drain, residual)
        self._norm(m, norm, residual)
        self._map(m, drain, token_map)
        return m

    def _operands(self, m: Module, operands: Operands, drain: Drain, norm: NormPass) -> None:
        """Rows of the running slot, from the sequencer to the clusters' inputs."""
        m.d.comb += [getattr(operands, name).eq(getattr(self, name))
                     for name in ("tokens", "upcoming", "take", "taken", "valid", "control")]
        wiring.connect(m, wiring.flipped(self.image_write), operands.image_write)
        wiring.connect(m, wiring.flipped(self.exp_table), operands.exp_table)
        wiring.connect(m, norm.write, operands.x_write)
        wiring.connect(m, drain.a, operands.a_write)
        wiring.connect(m, drain.s, operands.s_write)
        wiring.connect(m, drain.row_max, operands.row_max)
        wiring.connect(m, operands.capture, wiring.flipped(self.capture))

    def _clusters(self, m: Module, operands: Operands, drain: Drain) -> None:
        """The MAC array; its outputs go to the drain."""
        config, control = self.config, operands.out_control
        rows = config.group_tokens + config.fuse_stages
        for cluster in range(config.clusters):
            acc = Signal(32 * BLOCK, name=f"acc{cluster}")
            row_sum = Signal(ROW_SUM_BITS, name=f"row_sum{cluster}")
            payload = Signal(operand_layout(rows), name=f"operand{cluster}")
            m.d.comb += [
                payload.a.eq(operands.operand[cluster]),
                payload.token.eq(control.token),
                payload.start.eq(control.start),
                payload.fresh.eq(control.fresh.bit_select(cluster, 1)),
                drain.acc[cluster].eq(acc),
                drain.row_sum[cluster].eq(row_sum),
            ]
            m.submodules[f"cluster{cluster}"] = shared_instance(
                "sievit_cluster", lambda: Cluster(rows, config.multiplier, config.stream_bits, config.row_cycles),
                i__payload=payload.as_value(),
                i__valid=operands.out_valid & control.active.bit_select(cluster, 1),
                load_enable=self.load.enable[cluster],
                load_transposed=self.load.transposed,
                load_word=self.load.word,
                acc=acc, row_sum=row_sum, valid=Signal(name=f"valid{cluster}"))
        latency = Cluster.LATENCY + config.part_cycles
        m.d.comb += [
            drain.valid.eq(delayed(m, operands.out_valid, latency, "cluster_valid", reset_less=False)),
            drain.control.eq(delayed(m, control.as_value(), latency, "cluster_control")),
        ]

    def _drain(self, m: Module, drain: Drain, residual: Residual) -> None:
        """Where finished columns go."""
        m.d.comb += [getattr(drain, name).eq(getattr(self, name))
                     for name in ("group", "clear", "tokens", "upcoming", "take", "new_tokens")]
        m.d.comb += [drain.step.eq(self.draining), drain.started.eq(self.draining_started)]
        m.d.comb += [self.parameters_taken.eq(drain.parameters_taken), drain.retire.eq(self.retire)]
        wiring.connect(m, wiring.flipped(self.parameter_load), drain.parameter_load)
        wiring.connect(m, wiring.flipped(self.gelu_table), drain.gelu_table)
        wiring.connect(m, drain.residual, residual.i)
        wiring.connect(m, drain.recip, wiring.flipped(self.recip))
        wiring.connect(m, drain.kv, wiring.flipped(self.kv))
        wiring.connect(m, drain.logit, wiring.flipped(self.logit))
        wiring.connect(m, wiring.flipped(self.residual_write), residual.initial)
        if self.config.groups > 1:
            wiring.connect(m, residual.moved, wiring.flipped(self.moved))
            wiring.connect(m, wiring.flipped(self.placed), residual.placed)
            m.d.comb += [self.part.eq(residual.part), residual.total.eq(self.total)]

    def _norm(self, m: Module, norm: NormPass, residual: Residual) -> None:
        """Statistics and norm pass, between the residual memory and X."""
        step = self.step
        m.d.comb += [
            residual.width.eq(step.width),
            norm.group.eq(self.group),
            norm.start.eq(self.started & step.norm),
            norm.columns.eq(step.norm_columns),
            norm.half.eq(step.norm_half),
            norm.shift.eq(step.norm_shift),
            norm.tokens.eq(self.tokens),
            norm.width.eq(step.width),
            residual.read_address.eq(norm.read_address),
            norm.read_data.eq(residual.read_data),
            norm.clear.eq(self.clear),
            self.available.eq(norm.available),
            self.norm_storing.eq(norm.storing),
        ]
        wiring.connect(m, residual.statistic, norm.statistic)
        wiring.connect(m, wiring.flipped(self.norm_write), norm.parameters)

    def _map(self, m: Module, drain: Drain, token_map: TokenMap) -> None:
        """Where this group's tokens go when tokens are dropped."""
        m.d.comb += [
            token_map.group.eq(self.group),
            token_map.row.eq(drain.map_address),
            drain.map_data.eq(token_map.place),
            drain.dropping.eq(self.dropped & (self.draining.drop != Drop.NONE)),
        ]
        wiring.connect(m, wiring.flipped(self.map_write), token_map.write)

