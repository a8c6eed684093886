"""Softmax without a divider per element (``docs/numerics.md`` section 4).

The exponentials are multiplied with V unnormalised; the reciprocal of a row's sum is applied to the finished context,
as in FlashAttention (Dao et al. 2022, section 3.1).
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK
from flows.contracts.numerics import CONTEXT_FRACTION, EXP_ENTRIES, RECIP_ONE, ROW_SUM_BITS
from rtl.fixed_point import align_step, shift_coarse, shift_fine
from rtl.flow import Flow, TableWrite, lanes
from rtl.gelu import ByteTable
from rtl.pipeline import Pipeline
from rtl.row_parts import join_row, part_lanes, split_row

__all__ = ["Exp", "Normalise", "Reciprocal"]

MANT_BITS = 16
EXP_MIN, EXP_MAX = 1 - MANT_BITS, ROW_SUM_BITS - MANT_BITS
"""Range of the exponent ``q = bits(R) - 16``."""
EXP_BITS = 5
RECIPROCAL_LAYOUT = data.StructLayout({"mant": MANT_BITS, "exp": signed(EXP_BITS)})
CONTEXT_ACC_BITS = 26
CONTEXT_BITS = 18


class Exp(wiring.Component):
    """Sixteen lanes of ``table[row_max - score]``, zero for masked keys.

    Members
    -------
    i : :py:`In(Flow(Exp.LAYOUT))`
        ``score`` int8 lanes, ``row_max`` int8 not below any unmasked score, ``count`` 0..16: lanes from ``count`` on
        are masked.
    o : :py:`Out(Flow(lanes(8, is_signed=False)))`
        uint8 exponentials, 255 for the row's maximum.
    table : :py:`In(TableWrite())`
        A write is seen by inputs of later cycles.

    Latency
    -------
    ``LATENCY`` = 3 cycles: difference, table, mask.

    Throughput
    ----------
    One vector of 16 a cycle.
    """

    LATENCY = 3
    LAYOUT = data.StructLayout({"score": lanes(8), "row_max": signed(8), "count": 5})

    i: In(Flow(LAYOUT))
    o: Out(Flow(lanes(8, is_signed=False)))
    table: In(TableWrite())

    def elaborate(self, platform: object) -> Module:
        assert EXP_ENTRIES == 1 << 8
        m = Module()
        m.submodules.lookup = lookup = ByteTable()
        wiring.connect(m, wiring.flipped(self.table), lookup.table)
        p, i = Pipeline(m, self.i.valid), self.i.payload
        # The difference is 0..255, so its low byte is all of it.
        s = p.stage(index=[(i.row_max - i.score[k])[:8] for k in range(BLOCK)],
                    alive=[k < i.count for k in range(BLOCK)])
        m.d.comb += [lookup.index[k].eq(s.index[k]) for k in range(BLOCK)]
        s = p.stage(alive=s.alive)
        s = p.stage(value=[Mux(s.alive[k], lookup.value[k], 0) for k in range(BLOCK)])
        m.d.comb += [self.o.valid.eq(p.valid), *(self.o.payload[k].eq(s.value[k]) for k in range(BLOCK))]
        return m


class Reciprocal(wiring.Component):
    """``1 / R`` as a 16-bit mantissa and an exponent: ``1 / R`` is about ``mant * 2**-(31 + exp)``.

    ``R`` is normalised to ``M`` of 16 bits, then ``min(65535, 2**31 // M)`` comes out of a restoring division, a
    quotient bit per stage (Parhami, *Computer Arithmetic*, section 13.3). Its top bit (2**16, only for ``M = 2**15``)
    is left out; the remainder then stays 2**15, all later bits are 1, and that is the saturated 65535.

    Members
    -------
    i : :py:`In(Flow(17))`
        Row sum R, 1 .. 2**17 - 1. For 0 the result is meaningless.
    o : :py:`Out(Flow(StructLayout({"mant": 16, "exp": signed(5)})))`
        ``exp = bits(R) - 16``, -15..1.

    Latency
    -------
    ``LATENCY`` = 19 cycles: alignment in 3 stages, 16 quotient bits.

    Throughput
    ----------
    One reciprocal a cycle.
    """

    LATENCY = 3 + MANT_BITS

    i: In(Flow(ROW_SUM_BITS))
    o: Out(Flow(RECIPROCAL_LAYOUT))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = Pipeline(m, self.i.valid)
        # Left-align R: M is its top 16 bits then, and the exponent follows from the distance.
        total, by16 = align_step(self.i.payload, 16)
        total, by8 = align_step(total, 8)
        s = p.stage(total=total, zeros=Cat(by8, by16))
        total, by4 = align_step(s.total, 4)
        total, by2 = align_step(total, 2)
        s = p.stage(total=total, zeros=Cat(by2, by4, s.zeros))
        total, by1 = align_step(s.total, 1)
        s = p.stage(divisor=total[ROW_SUM_BITS - MANT_BITS:], remainder=Const(1 << MANT_BITS - 1, MANT_BITS),
                    quotient=Const(0, 0), exp=(EXP_MAX - Cat(by1, s.zeros))[:EXP_BITS].as_signed())
        for _ in range(MANT_BITS):
            difference = Signal(signed(MANT_BITS + 2), name=f"difference_{p.latency}")
            m.d.comb += difference.eq((s.remainder << 1) - s.divisor)
            fits = difference >= 0
            s = p.stage(divisor=s.divisor, exp=s.exp, quotient=Cat(fits, s.quotient),
                        remainder=Mux(fits, difference, s.remainder << 1)[:MANT_BITS])
        m.d.comb += [self.o.valid.eq(p.valid), self.o.payload.mant.eq(s.quotient), self.o.payload.exp.eq(s.exp)]
        return m


class Normalise(wiring.Component):
    """Sixteen lanes of ``rnd(acc * mant, 23 + exp)``: the context in value codes with 8 fraction bits.

    Parameters
    ----------
    row_cycles : int
        Cycles from vector to vector: 16 / ``row_cycles`` lanes do their work.

    Members
    -------
    i : :py:`In(Flow(Normalise.LAYOUT))`
        ``acc`` int26 lanes, at most 127 times the row sum in magnitude; ``mant``, ``exp`` of the row sum's
        :class:`Reciprocal`.
    o : :py:`Out(Flow(lanes(18)))`
        At most 127 * 256 + 1 in magnitude for such inputs; otherwise the low 18 bits.

    Latency
    -------
    ``LATENCY`` = 5 cycles: input registers of the DSP slice, product, shift in two steps, rounding; and
    ``part_cycles``.

    Throughput
    ----------
    One vector of 16 every ``row_cycles`` cycles.
    """

    LATENCY = 5
    LAYOUT = data.StructLayout({"acc": lanes(CONTEXT_ACC_BITS), "mant": MANT_BITS, "exp": signed(EXP_BITS)})

    i: In(Flow(LAYOUT))
    o: Out(Flow(lanes(CONTEXT_BITS)))

    def __init__(self, row_cycles: int = 1) -> None:
        self.row_cycles = row_cycles
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid, i = split_row(m, self.i.valid, self.i.payload, self.row_cycles)
        p = Pipeline(m, valid)
        # rnd(x, t) = ((x >> (t - 1)) + 1) >> 1, and of t - 1 = 22 + exp the smallest value, 7, costs no shifter.
        fixed = RECIP_ONE - CONTEXT_FRACTION + EXP_MIN - 1
        s = p.stage(acc=[i.acc[k] for k in range(part_lanes(self.row_cycles))], mant=i.mant,
                    amount=(i.exp - EXP_MIN)[:EXP_BITS])
        s = p.stage(product=[x * s.mant for x in s.acc], amount=s.amount)
        s = p.stage(product=[shift_coarse(x >> fixed, s.amount) for x in s.product], amount=s.amount)
        s = p.stage(half=[shift_fine(x, s.amount)[:CONTEXT_BITS + 1].as_signed() for x in s.product])
        s = p.stage(result=[((x + 1) >> 1)[:CONTEXT_BITS].as_signed() for x in s.half])
        valid, row = join_row(m, p.valid, s.result, self.row_cycles, "result")
        m.d.comb += [self.o.valid.eq(valid), *(o.eq(result) for o, result in zip(self.o.payload, row, strict=True))]
        return m

