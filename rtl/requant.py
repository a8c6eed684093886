"""Requantizer (``docs/numerics.md`` section 1)."""

from amaranth.hdl import Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.numerics import ACC_BITS, MULT_BITS, SHIFT_BITS
from rtl.fixed_point import LOW_BITS, clamp, join_product, round_limits, shift_coarse, shift_fine
from rtl.flow import Flow, lanes
from rtl.pipeline import Pipeline
from rtl.row_parts import join_row, part_lanes, split_row

__all__ = ["Requant"]


class Requant(wiring.Component):
    """Sixteen lanes of ``sat(rnd((acc + bias) * mult, shift))``.

    The 33-bit sum times the 16-bit multiplier takes two DSP slices a lane.

    Parameters
    ----------
    row_cycles : int
        Cycles from vector to vector: 16 / ``row_cycles`` lanes do their work.

    Members
    -------
    i : :py:`In(Flow(Requant.LAYOUT))`
        ``acc`` and ``bias`` int32 lanes, ``mult`` uint16 lanes, ``shift`` 1..47 for all lanes, ``wide`` 1 to saturate
        to 16 bits (-32768..32767), 0 to 8 bits (-127..127).
    o : :py:`Out(Flow(lanes(16)))`
        Results, sign extended.

    Latency
    -------
    ``LATENCY`` = 7 cycles, and ``part_cycles``.

    Throughput
    ----------
    One vector of 16 every ``row_cycles`` cycles.
    """

    LATENCY = 7
    LAYOUT = data.StructLayout({
        "acc": lanes(ACC_BITS),
        "bias": lanes(ACC_BITS),
        "mult": lanes(MULT_BITS, is_signed=False),
        "shift": SHIFT_BITS,
        "wide": 1,
    })

    i: In(Flow(LAYOUT))
    o: Out(Flow(lanes(16)))

    def __init__(self, row_cycles: int = 1) -> None:
        self.row_cycles = row_cycles
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        each = range(part_lanes(self.row_cycles))
        valid, i = split_row(m, self.i.valid, self.i.payload, self.row_cycles)
        p = Pipeline(m, valid)
        s = p.stage(total=[i.acc[k] + i.bias[k] for k in each], mult=[i.mult[k] for k in each],
                    amount=(i.shift - 1)[:SHIFT_BITS], wide=i.wide)
        s = p.stage(low=[s.total[k][:LOW_BITS] * s.mult[k] for k in each],
                    high=[s.total[k][LOW_BITS:].as_signed() * s.mult[k] for k in each],
                    amount=s.amount, wide=s.wide)
        # One bit of the 50 is never used: 33 + 16 bits hold the product.
        s = p.stage(product=[join_product(s.high[k], s.low[k])[:ACC_BITS + 1 + MULT_BITS].as_signed() for k in each],
                    amount=s.amount, wide=s.wide)
        s = p.stage(product=[shift_coarse(x, s.amount) for x in s.product], amount=s.amount, wide=s.wide)
        s = p.stage(product=[shift_fine(x, s.amount) for x in s.product], wide=s.wide)
        (low8, high8), (low16, high16) = round_limits(-127, 127), round_limits(-(1 << 15), (1 << 15) - 1)
        s = p.stage(under=[Mux(s.wide, x < low16, x < low8) for x in s.product],
                    over=[Mux(s.wide, x > high16, x > high8) for x in s.product],
                    half=[x[:17].as_signed() for x in s.product], wide=s.wide)
        low, high = Mux(s.wide, -(1 << 15), -127), Mux(s.wide, (1 << 15) - 1, 127)
        s = p.stage(result=[clamp(s.half[k], s.under[k], s.over[k], low, high)[:16].as_signed() for k in each])
        valid, row = join_row(m, p.valid, s.result, self.row_cycles, "result")
        m.d.comb += [self.o.valid.eq(valid), *(o.eq(result) for o, result in zip(self.o.payload, row, strict=True))]
        return m
