"""Requantizer (``docs/numerics.md`` section 1), and the pipeline, rounding and saturation that every unit shares."""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK
from flows.contracts.numerics import ACC_BITS, MULT_BITS, SHIFT_BITS
from rtl.flow import Flow, lanes

__all__ = ["Pipeline", "Requant", "align_step", "clamp", "join_product", "round_limits", "shift_coarse", "shift_fine"]

COARSE = 3
"""Shift amounts are split into a multiple of 8 and the low 3 bits, one pipeline stage each."""
LOW_BITS = 17
"""Where wide operands are split for the multipliers: the P cascade of a DSP slice shifts by 17."""


class Pipeline:
    """Registers of a path that never stalls, one call of :meth:`stage` per clock cycle of it.

    Everything in flight is named in every stage, so a value that is used one cycle too late is an attribute error and
    not a wrong result. Data registers have no reset; only the valid bits have one.

    Parameters
    ----------
    m : module that holds the registers
    valid : the input's valid bit

    Attributes
    ----------
    valid : valid bit after the stages so far
    latency : number of stages so far
    """

    def __init__(self, m: Module, valid: Value) -> None:
        self._m = m
        self.valid: Value = valid
        self.latency = 0

    def stage(self, **values: Any) -> Any:
        """Register values, lists of values and views; returns a namespace of the registers under the same names."""
        self.latency += 1
        valid = Signal(name=f"valid_{self.latency}")
        self._m.d.sync += valid.eq(self.valid)
        self.valid = valid
        return SimpleNamespace(**{
            name: self._registers(value, f"{name}_{self.latency}") for name, value in values.items()})

    def _registers(self, value: Any, name: str) -> Any:
        if isinstance(value, list):
            return [self._registers(item, f"{name}_{index}") for index, item in enumerate(value)]
        shape = value.shape() if isinstance(value, data.View) else Value.cast(value).shape()
        register = Signal(shape, name=name, reset_less=True)
        self._m.d.sync += register.eq(value)
        return register


def shift_coarse(value: Value, amount: Value) -> Value:
    """``value >> (amount - amount mod 8)``: the first half of a barrel shift."""
    return value >> Cat(Const(0, COARSE), amount[COARSE:])


def shift_fine(value: Value, amount: Value) -> Value:
    """``value >> (amount mod 8)``: the second half of a barrel shift."""
    return value >> amount[:COARSE]


def align_step(value: Value, step: int) -> tuple[Value, Value]:
    """``value`` shifted left by ``step`` when its top ``step`` bits are zero, and whether it was.

    Steps of falling powers of two left-align a value (leading-zero count and shift in one).
    """
    empty = ~value[-step:].any()
    return Mux(empty, value << step, value)[:len(value)], empty


def join_product(high: Value, low: Value) -> Value:
    """``(high << 17) + low`` of the partial products of an operand split after 17 bits; the low bits need no adder."""
    return Cat(low[:LOW_BITS], high + (low >> LOW_BITS)).as_signed()


def round_limits(low: int, high: int) -> tuple[int, int]:
    """Smallest and largest ``w`` for which ``(w + 1) >> 1`` is in ``low .. high``.

    A value shifted right by ``s - 1`` is compared with these while the last rounding step is still to come, so that
    step, ``rnd(x, s) = ((x >> (s - 1)) + 1) >> 1``, only has to be as wide as the result.
    """
    return 2 * low - 1, 2 * high


def clamp(half: Value, under: Value, over: Value, low: ValueLike, high: ValueLike) -> Value:
    """``(half + 1) >> 1``, or ``low`` or ``high`` where the comparison with :func:`round_limits` said so."""
    return Mux(over, high, Mux(under, low, (half + 1) >> 1))


class Requant(wiring.Component):
    """Sixteen lanes of ``sat(rnd((acc + bias) * mult, shift))``.

    The 33-bit sum times the 16-bit multiplier takes two DSP slices a lane.

    Members
    -------
    i : :py:`In(Flow(Requant.LAYOUT))`
        ``acc`` and ``bias`` int32 lanes, ``mult`` uint16 lanes, ``shift`` 1..47 for all lanes, ``wide`` 1 to saturate
        to 16 bits (-32768..32767), 0 to 8 bits (-127..127).
    o : :py:`Out(Flow(lanes(16)))`
        Results, sign extended.

    Latency
    -------
    ``LATENCY`` = 7 cycles.

    Throughput
    ----------
    One vector of 16 a cycle.
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

    def elaborate(self, platform: object) -> Module:
        m = Module()
        each = range(BLOCK)
        p, i = Pipeline(m, self.i.valid), self.i.payload
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
        m.d.comb += [self.o.valid.eq(p.valid), *(self.o.payload[k].eq(s.result[k]) for k in each)]
        return m
