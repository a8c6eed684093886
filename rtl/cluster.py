"""MAC cluster: a stationary 16x16 weight block, one token per cycle streamed through it."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, ROW_BITS
from flows.contracts.numerics import ROW_SUM_BITS
from rtl.delay import delayed
from rtl.flow import Flow, lanes
from rtl.packed import PackedDotProduct
from rtl.row_parts import join_row, part_lanes
from rtl.shared import shared_instance

__all__ = ["Cluster", "DotProduct", "operand_layout"]

OPERAND_BITS = 9
PRODUCT_BITS = 17
SUM_BITS = 21


def operand_layout(max_tokens: int) -> data.StructLayout:
    """One token on its way into a cluster.

    ``a``: 16 codes of 9 bits (int8 and uint8 both fit); ``token``: accumulator row; ``start``: first token of a slot,
    the shadow weights become active with it; ``fresh``: the block is the first of its column, overwrite the sums.
    """
    return data.StructLayout({
        "a": lanes(OPERAND_BITS),
        "token": range(max_tokens + 1),
        "start": 1,
        "fresh": 1,
    })


class DotProduct(wiring.Component):
    """Sixteen products of a 9-bit and an 8-bit signed code, summed.

    Members
    -------
    a : :py:`In(144)`
        Sixteen 9-bit signed codes, lane 0 lowest.
    w : :py:`In(128)`
        Sixteen 8-bit signed weights.
    sum : :py:`Out(signed(21))`

    Latency
    -------
    3 cycles.

    Throughput
    ----------
    One dot product a cycle.
    """

    LATENCY = 3

    a: In(OPERAND_BITS * BLOCK)
    w: In(8 * BLOCK)
    sum: Out(signed(SUM_BITS))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        products = [Signal(signed(PRODUCT_BITS), name=f"product{i}", reset_less=True) for i in range(BLOCK)]
        for i, product in enumerate(products):
            a = self.a.word_select(i, OPERAND_BITS).as_signed()
            w = self.w.word_select(i, 8).as_signed()
            m.d.sync += product.eq(a * w)
        partial = [Signal(signed(PRODUCT_BITS + 2), name=f"partial{i}", reset_less=True) for i in range(BLOCK // 4)]
        for i, p in enumerate(partial):
            m.d.sync += p.eq((products[4 * i] + products[4 * i + 1]) + (products[4 * i + 2] + products[4 * i + 3]))
        total = Signal(signed(SUM_BITS), reset_less=True)
        m.d.sync += total.eq((partial[0] + partial[1]) + (partial[2] + partial[3]))
        m.d.comb += self.sum.eq(total)
        return m


class Cluster(wiring.Component):
    """256 MACs around a stationary weight block, with accumulators for every token.

    Weights are loaded into shadow registers, some rows a word, and become active with the first token of a slot, so
    loading never costs a cycle. A row of the block is an output channel; with ``transposed`` it is an input channel
    (values of attention). The accumulators hold a 17th lane, the plain sum of the streamed codes: for exponentials
    it is the row sum of the softmax.

    Parameters
    ----------
    max_tokens : int
        Rows of the accumulator memory.
    multiplier : str
        ``"plain"``, or ``"dsp48e2"`` or ``"dsp48e1"``: two MACs per DSP slice, see
        :class:`rtl.packed.PackedDotProduct`. The same integers in the same cycles.
    load_bits : int
        Width of ``load_word``: 128 for every row in it.
    row_cycles : int
        Cycles from token to token. The outputs are computed in as many parts, by 256 / ``row_cycles`` multipliers.

    Members
    -------
    i : :py:`In(Flow(operand_layout(max_tokens)))`
        Tokens of a slot, one every ``row_cycles`` cycles. The same token may come again after 3 cycles at the earliest.
    load_enable, load_transposed : :py:`In(1)`
        Shift ``load_word`` into the shadow weights. Sixteen rows make a block.
    load_word : :py:`In(load_bits)`
    acc : :py:`Out(512)`
        Sixteen int32 sums after the token.
    row_sum : :py:`Out(17)`
        Sum of the low bytes of the codes, modulo 2**17: the sum of the codes if they are uint8.
    valid : :py:`Out(1)`

    Latency
    -------
    ``LATENCY`` = 7 cycles from ``i.valid`` to ``valid``, and ``part_cycles``.

    Throughput
    ----------
    One token (256 MACs) every ``row_cycles`` cycles.
    """

    LATENCY = PackedDotProduct.LATENCY + 2
    SWAP = 0
    """Cycles from ``i.valid`` with ``start`` until the shadow weights may change."""

    def __init__(self, max_tokens: int, multiplier: str = "plain", load_bits: int = 256, row_cycles: int = 1) -> None:
        self.max_tokens, self.multiplier, self.load_bits = max_tokens, multiplier, load_bits
        self.row_cycles, self.lanes = row_cycles, part_lanes(row_cycles)
        super().__init__({
            "i": In(Flow(operand_layout(max_tokens))),
            "load_enable": In(1),
            "load_transposed": In(1),
            "load_word": In(self.load_bits),
            "acc": Out(lanes(32)),
            "row_sum": Out(ROW_SUM_BITS),
            "valid": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        active = self._weights(m)
        operand = Signal(OPERAND_BITS * BLOCK, reset_less=True)
        enter = self.i.valid, self.i.payload.token, self.i.payload.fresh
        if self.row_cycles == 1:
            m.d.sync += operand.eq(self.i.payload.a)
        else:
            m.d.sync += operand.eq(Mux(self.i.valid, self.i.payload.a, operand))
            operand, active, enter = self._parts(m, operand, active)

        dots = [Signal(signed(SUM_BITS), name=f"dot{row}") for row in range(self.lanes)]
        rows = [active.word_select(row, ROW_BITS) for row in range(self.lanes)]
        if self.multiplier == "plain":
            self._plain(m, operand, rows, dots)
        else:
            self._packed(m, operand, rows, dots)
        self._accumulate(m, [*dots, self._code_sum(m, operand)], *enter)
        return m

    def _parts(self, m: Module, operand: Signal, active: Signal) -> tuple[Signal, Signal, tuple[Value, Value, Value]]:
        """One part of the weights after the other, registered, for the same operand; and valid bit, accumulator row
        and ``fresh`` of the parts, a register earlier. A part has accumulator rows of its own."""
        cycles = self.row_cycles
        part = Signal(range(cycles), reset_less=True)
        left = Signal(cycles)  # a bit for every part that is still to come
        token = Signal(range(self.max_tokens + 1), name="part_token", reset_less=True)
        fresh = Signal(name="part_fresh", reset_less=True)
        late_operand = Signal(len(operand), reset_less=True)
        weights = Signal(self.lanes * ROW_BITS, reset_less=True)
        start = self.i.valid
        m.d.sync += [
            part.eq(Mux(start, 0, part + 1)),
            left.eq(Mux(start, (1 << cycles) - 1, left >> 1)),
            token.eq(Mux(start, self.i.payload.token, token)),
            fresh.eq(Mux(start, self.i.payload.fresh, fresh)),
            late_operand.eq(operand),
            weights.eq(active.word_select(part, self.lanes * ROW_BITS)),
        ]
        return late_operand, weights, (left[0], Cat(part, token), fresh)

    def _plain(self, m: Module, operand: Signal, rows: list[Value], dots: list[Signal]) -> None:
        """A dot product per row, as late as the packed form, so that cycles do not depend on the multiplier."""
        for index, (row, dot) in enumerate(zip(rows, dots, strict=True)):
            early = Signal(signed(SUM_BITS), name=f"early{index}")
            m.submodules[f"dot{index}"] = shared_instance(
                "sievit_dot_product", DotProduct, a=operand, w=row, sum=early)
            m.d.comb += dot.eq(delayed(m, early, PackedDotProduct.LATENCY - DotProduct.LATENCY, f"dot{index}_late"))

    def _packed(self, m: Module, operand: Signal, rows: list[Value], dots: list[Signal]) -> None:
        """Two rows share a packed dot product."""
        for index in range(0, self.lanes, 2):
            m.submodules[f"dot{index}"] = shared_instance(
                f"sievit_packed_{self.multiplier}", lambda: PackedDotProduct(self.multiplier.upper()),
                a=operand, w0=rows[index], w1=rows[index + 1], sum0=dots[index], sum1=dots[index + 1])

    def _weights(self, m: Module) -> Signal:
        """Shadow and active registers; row ``o`` of the block at bits ``128 o``."""
        shadow = Signal(BLOCK * ROW_BITS, reset_less=True)
        active = Signal(BLOCK * ROW_BITS, reset_less=True)
        new_rows = range(self.load_bits // ROW_BITS)
        by_row = Cat(shadow[self.load_bits:], self.load_word)
        by_column = Cat(
            Cat(shadow.word_select(row, ROW_BITS)[8 * len(new_rows):],
                *(self.load_word.word_select(BLOCK * new + row, 8) for new in new_rows))
            for row in range(BLOCK))
        m.d.sync += [
            shadow.eq(Mux(self.load_enable, Mux(self.load_transposed, by_column, by_row), shadow)),
            active.eq(Mux(self.i.valid & self.i.payload.start, shadow, active)),
        ]
        return active

    def _code_sum(self, m: Module, operand: Signal) -> Value:
        """Sum of the 16 codes modulo 2**17, in step with the dot products."""
        codes = [operand.word_select(i, OPERAND_BITS)[:8] for i in range(BLOCK)]
        stages = codes
        for level, fan_in in enumerate((2, 4, 2)):
            sums = []
            for i in range(0, len(stages), fan_in):
                s = Signal(8 + 4, name=f"codes{level}_{i}", reset_less=True)
                m.d.sync += s.eq(sum(stages[i:i + fan_in]))
                sums.append(s)
            stages = sums
        return delayed(m, stages[0], PackedDotProduct.LATENCY - DotProduct.LATENCY, "codes_late")

    def _accumulate(self, m: Module, sums: list[Value], first_valid: Value, first_token: Value,
                    first_fresh: Value) -> None:
        """Read, add, write back; the sum of the last block leaves on the way."""
        depth = PackedDotProduct.LATENCY + 1
        valid, token, fresh = [first_valid], [first_token], [first_fresh]
        for stage in range(depth + 1):
            v = Signal(name=f"valid{stage}")
            t = Signal(len(token[0]), name=f"token{stage}", reset_less=True)
            f = Signal(name=f"fresh{stage}", reset_less=True)
            m.d.sync += [v.eq(valid[-1]), t.eq(token[-1]), f.eq(fresh[-1])]
            valid.append(v)
            token.append(t)
            fresh.append(f)

        widths = [32] * self.lanes + [ROW_SUM_BITS]
        m.submodules.accumulators = accumulators = memory.Memory(
            shape=unsigned(sum(widths)), depth=self.row_cycles * (self.max_tokens + 1), init=[])
        read, write = accumulators.read_port(), accumulators.write_port()
        m.d.comb += [read.addr.eq(token[depth - 1]), read.en.eq(valid[depth - 1])]

        results, offset = [], 0
        for lane, (term, width) in enumerate(zip(sums, widths, strict=True)):
            old = read.data[offset:offset + width]
            shape = signed(width) if lane < self.lanes else unsigned(width)
            result = Signal(shape, name=f"result{lane}", reset_less=True)
            m.d.sync += result.eq(Mux(fresh[depth], 0, old) + term)
            results.append(result)
            offset += width
        # A row is complete with its last part.
        _, joined = join_row(m, valid[depth + 1], results[:-1], self.row_cycles, "result")
        last_part = token[depth + 1][:self.row_cycles.bit_length() - 1].all()
        m.d.comb += [
            write.addr.eq(token[depth + 1]),
            write.en.eq(valid[depth + 1]),
            write.data.eq(Cat(results)),
            self.acc.eq(Cat(joined)),
            self.row_sum.eq(results[-1]),
            self.valid.eq(valid[depth + 1] if self.row_cycles == 1 else valid[depth + 1] & last_part),
        ]
