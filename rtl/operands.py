"""Operand stage: memory words of the running slot become 9-bit codes at the clusters' inputs."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, HardwareConfig
from flows.contracts.program import Source
from rtl.banks import Banks, ColumnWrite
from rtl.cluster import OPERAND_BITS
from rtl.flow import Flow, TableWrite, lanes
from rtl.packets import slot_layout
from rtl.row_max import RowMax
from rtl.sequencer import token_control_layout
from rtl.softmax import Exp

__all__ = ["Operands", "capture_layout"]


def capture_layout() -> data.StructLayout:
    """Sixteen exponentials of the CLS row: of ``head``, keys ``16 key_block ..``."""
    return data.StructLayout({"head": 4, "key_block": 5, "e": lanes(8, is_signed=False)})


class Operands(wiring.Component):
    """Reads X, A or S for every cluster; scores pass through the exponential on their way.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    tokens : :py:`In(9)`
    upcoming : :py:`In(slot_layout(config))`
        The slot the decoder holds; stable for 2 cycles before ``take``.
    take : :py:`In(1)`
    taken : :py:`In(slot_layout(config))`
        The running slot, from the cycle after ``take``.
    valid, control : :py:`In(...)`
        The token to issue.
    x_write, a_write, s_write : :py:`In(ColumnWrite(...))`
    image_write : :py:`In(ColumnWrite(act_cols / rows_per_word, max_tokens, stream_bits))`
    row_max : :py:`In(Flow(RowMax.layout(config)))`
        Scores of a finished key block: see :class:`RowMax`.
    exp_table : :py:`In(TableWrite())`
    operand : :py:`Out(ArrayLayout(144, clusters))`
    out_valid, out_control : :py:`Out(...)`
        The token at the clusters' inputs.
    capture : :py:`Out(Flow(capture_layout()))`

    Latency
    -------
    ``LATENCY`` cycles, and ``Exp.LATENCY`` more when scores are streamed.

    Throughput
    ----------
    One token a cycle to every cluster.
    """

    LATENCY = Banks.LATENCY + 1

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        clusters = config.clusters
        control = token_control_layout(clusters)
        slots = slot_layout(config)
        super().__init__({
            "tokens": In(9),
            "upcoming": In(slots),
            "take": In(1),
            "taken": In(slots),
            "valid": In(1),
            "control": In(control),
            "x_write": In(ColumnWrite(config.x_cols, config.group_tokens)),
            "a_write": In(ColumnWrite(config.act_cols, config.group_tokens)),
            "s_write": In(ColumnWrite(config.score_cols, config.group_tokens)),
            "image_write": In(ColumnWrite(config.act_cols // config.rows_per_word, config.group_tokens,
                                          config.stream_bits)),
            "row_max": In(Flow(RowMax.layout(config))),
            "exp_table": In(TableWrite()),
            "operand": Out(data.ArrayLayout(OPERAND_BITS * BLOCK, clusters)),
            "out_valid": Out(1),
            "out_control": Out(control),
            "capture": Out(Flow(capture_layout())),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        x = self._memory(m, "x", config.x_cols, self.x_write)
        a = self._memory(m, "a", config.act_cols, self.a_write, config.rows_per_word)
        s = self._memory(m, "s", config.score_cols, self.s_write)
        m.d.comb += [
            a.wide_write.enable.eq(self.image_write.enable),
            a.wide_write.column.eq(self.image_write.column),
            a.wide_write.token.eq(self.image_write.token),
            a.wide_write.data.eq(self.image_write.data),
        ]
        direct = self._delay(m, "direct", Banks.LATENCY)
        scored = self._delay(m, "scored", Exp.LATENCY, *direct)
        exponentials = self._exponentials(m, s, direct)

        # Rows of the step before may still be on their way through the exponential. They never meet: a step that reads
        # scores is followed by one that starts later than that takes.
        control = token_control_layout(config.clusters)
        early, late = data.View(control, direct[1]), data.View(control, scored[1])
        from_scores = Signal()
        m.d.comb += from_scores.eq(scored[0] & (late.source == Source.S))
        m.d.sync += [
            self.out_valid.eq(from_scores | (direct[0] & (early.source != Source.S))),
            self.out_control.eq(Mux(from_scores, late.as_value(), early.as_value())),
        ]
        for cluster in range(config.clusters):
            word = Mux(from_scores, exponentials[cluster],
                       Mux(early.source == Source.X, x.data[cluster], a.data[cluster]))
            codes = []
            for lane in range(BLOCK):
                code = word.word_select(lane, 8)
                sign = code[7] & ~from_scores & ~early.unsigned
                codes.append(Cat(code, sign))
            m.d.sync += self.operand[cluster].eq(Cat(codes))
        self._capture(m, exponentials, scored)
        return m

    def _memory(self, m: Module, name: str, columns: int, write: object, wide: int = 2) -> Banks:
        config = self.config
        banks = Banks(columns, config.banks, config.group_tokens, config.clusters, wide, config.uram_words)
        m.submodules[name] = banks
        entries = self.upcoming.clusters
        m.d.comb += [
            banks.select_valid.eq(Cat(entries[c].valid for c in range(config.clusters))),
            banks.select.eq(self.take),
            banks.token.eq(self.control.token),
        ]
        m.d.comb += [banks.select_column[c].eq(entries[c].source_column) for c in range(config.clusters)]
        for member in ("enable", "column", "token", "data"):
            m.d.comb += getattr(banks.write, member).eq(getattr(write, member))
        return banks

    def _delay(self, m: Module, name: str, cycles: int, valid: Value | None = None,
               control: Value | None = None) -> tuple[Value, Value]:
        valid = self.valid if valid is None else valid
        control = self.control.as_value() if control is None else control
        for stage in range(cycles):
            v = Signal(name=f"{name}_valid{stage}")
            c = Signal(len(control), name=f"{name}_control{stage}", reset_less=True)
            m.d.sync += [v.eq(valid), c.eq(control)]
            valid, control = v, c
        return valid, control

    def _exponentials(self, m: Module, scores: Banks, direct: tuple[Value, Value]) -> list[Value]:
        """One exponential unit per cluster, with its row's maximum."""
        config = self.config
        m.submodules.row_max = row_max = RowMax(config)
        m.d.comb += [
            row_max.i.payload.eq(self.row_max.payload),
            row_max.i.valid.eq(self.row_max.valid),
            row_max.token.eq(self.control.token),
        ]
        results = []
        for cluster in range(config.clusters):
            entry = self.taken.clusters[cluster]
            # Slot constants, delayed so that they change with the slot's first word.
            count = Signal(5, name=f"count{cluster}", reset_less=True)
            # All lanes of the key blocks before the last one, the rest of the tokens in the last one.
            m.d.sync += count.eq(Mux(entry.key_block == (self.tokens - 1)[4:], (self.tokens - 1)[:4] + 1, BLOCK))
            for stage in range(Banks.LATENCY - 1):
                delayed = Signal(5, name=f"count{cluster}_{stage}", reset_less=True)
                m.d.sync += delayed.eq(count)
                count = delayed
            m.d.comb += row_max.local_head[cluster].eq(entry.local_head)
            m.submodules[f"exp{cluster}"] = exp = Exp()
            m.d.comb += [
                exp.i.valid.eq(direct[0]),
                exp.i.payload.score.eq(scores.data[cluster]),
                exp.i.payload.row_max.eq(row_max.maximum[cluster]),
                exp.i.payload.count.eq(count),
                exp.table.enable.eq(self.exp_table.enable),
                exp.table.address.eq(self.exp_table.address),
                exp.table.data.eq(self.exp_table.data),
            ]
            results.append(exp.o.payload.as_value())
        return results

    def _capture(self, m: Module, exponentials: list[Value], scored: tuple[Value, Value]) -> None:
        """Hand the CLS row's exponentials to the selection, one cluster a cycle."""
        config = self.config
        control = data.View(token_control_layout(config.clusters), scored[1])
        first = scored[0] & control.start & (control.source == Source.S)
        pending = Signal(config.clusters)
        lowest = pending & (~pending + 1)[:config.clusters]
        held = [Signal(capture_layout(), name=f"held{c}", reset_less=True) for c in range(config.clusters)]
        captures = []
        for cluster in range(config.clusters):
            entry = self.taken.clusters[cluster]
            captures.append(entry.capture & entry.valid)
            with m.If(first):
                m.d.sync += [held[cluster].e.eq(exponentials[cluster]), held[cluster].head.eq(entry.head),
                             held[cluster].key_block.eq(entry.key_block)]
        m.d.sync += pending.eq(Mux(first, Cat(captures), pending & ~lowest))
        chosen: Value | int = 0
        for cluster in range(config.clusters):
            chosen = chosen | Mux(lowest[cluster], held[cluster].as_value(), 0)
        m.d.comb += [self.capture.valid.eq(pending != 0), self.capture.payload.eq(chosen)]
