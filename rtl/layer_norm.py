"""Layer norm with one inverse square root per token (``docs/numerics.md`` section 3).

The sums over a token come from the residual adder, so a single normalising pass remains.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.numerics import NORM_Z_BITS, RSQRT_INDEX_MIN, rsqrt_table
from rtl.fixed_point import LOW_BITS, align_step, clamp, join_product, round_limits, shift_coarse, shift_fine
from rtl.flow import Flow, lanes
from rtl.pipeline import Pipeline
from rtl.row_parts import join_row, part_lanes, split_row

__all__ = ["Normalize", "Rsqrt"]

S1_BITS = 27
S2_BITS = 41
S2_SPLIT = 26
"""Where S2 is split for the 27-bit multiplier port."""
WIDTH_BITS = 11
V_BITS = 52
"""Width of ``D * S2 - S1**2`` once it is known not to be negative."""
MANT_BITS = 16
EXP_BITS = 6
EXP_MAX = (V_BITS - 15) >> 1
EXP_MIN = (1 - 15) >> 1
CENTRED_BITS = 27


class Rsqrt(wiring.Component):
    """Mantissa and exponent of ``1 / sqrt(v)``, ``v = max(D * S2 - S1**2, 1)``, per token.

    ``v`` is normalised by an even shift, a 192-entry table gives a seed of about 8 bits, and one Newton step for the
    inverse square root doubles them (Parhami, *Computer Arithmetic*, section 21.5). ``1 / sqrt(v)`` is about
    ``mant * 2**-(23 + exp)``.

    Members
    -------
    i : :py:`In(Flow(Rsqrt.LAYOUT))`
        ``s1`` sum of the token's values, ``s2`` sum of their squares.
    width : :py:`In(11)`
        D. Must not change while tokens are in flight.
    o : :py:`Out(Flow(Rsqrt.RESULT))`
        ``s1`` as it came, ``mant``, ``exp`` -7..18.

    Latency
    -------
    ``LATENCY`` = 17 cycles: 5 for v, 5 to align it, 2 for the table, 5 for the Newton step.

    Throughput
    ----------
    One token a cycle.
    """

    LATENCY = 17
    LAYOUT = data.StructLayout({"s1": signed(S1_BITS), "s2": S2_BITS})
    RESULT = data.StructLayout({"s1": signed(S1_BITS), "mant": MANT_BITS, "exp": signed(EXP_BITS)})

    i: In(Flow(LAYOUT))
    width: In(WIDTH_BITS)
    o: Out(Flow(RESULT))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = Pipeline(m, self.i.valid)
        s = self._variance(p)
        s = self._align(p, s)
        s = self._newton(m, p, s)
        m.d.comb += [
            self.o.valid.eq(p.valid), self.o.payload.s1.eq(s.s1), self.o.payload.mant.eq(s.mant),
            self.o.payload.exp.eq(s.exp),
        ]
        return m

    def _variance(self, p: Pipeline) -> Any:
        """``v`` in 5 stages; both products are made of two DSP slices each."""
        s = p.stage(s1=self.i.payload.s1, s2=self.i.payload.s2, width=self.width)
        s = p.stage(s1=s.s1, scaled_low=s.s2[:S2_SPLIT] * s.width, scaled_high=s.s2[S2_SPLIT:] * s.width,
                    square_low=s.s1 * s.s1[:LOW_BITS], square_high=s.s1 * s.s1[LOW_BITS:].as_signed())
        scaled = Cat(s.scaled_low[:S2_SPLIT], s.scaled_high + (s.scaled_low >> S2_SPLIT))
        s = p.stage(s1=s.s1, scaled=scaled[:V_BITS], square=join_product(s.square_high, s.square_low)[:V_BITS + 1])
        s = p.stage(s1=s.s1, v=s.scaled - s.square)
        # Sums of real tokens give v >= 0 (Cauchy-Schwarz); 0 of a constant token becomes 1.
        positive = ~s.v[-1] & s.v.any()
        return p.stage(s1=s.s1, v=Mux(positive, s.v[:V_BITS], 1))

    def _align(self, p: Pipeline, s: Any) -> Any:
        """``vm``, 16 bits of which one of the top two is set, and ``e``: shifts by pairs of bits in 5 stages."""
        pairs: list[Value] = []
        for step in (32, 16, 8, 4, 2):
            v, empty = align_step(s.v, step)
            # What the later shifts cannot bring into the top 16 bits is dropped.
            s = p.stage(s1=s.s1, v=v[len(v) - MANT_BITS - (step - 2):], pairs=[empty, *pairs])
            pairs = s.pairs
        return s

    def _newton(self, m: Module, p: Pipeline, s: Any) -> Any:
        """Seed from the table, then ``r = r0 * (3 - vm * r0**2) / 2``, in 7 stages."""
        m.submodules.seeds = seeds = memory.Memory(
            shape=MANT_BITS, depth=256, init=[0] * RSQRT_INDEX_MIN + rsqrt_table())
        read = seeds.read_port()
        m.d.comb += [read.en.eq(1), read.addr.eq(s.v[8:])]
        s = p.stage(s1=s.s1, v=s.v, exp=(EXP_MAX - Cat(*s.pairs))[:EXP_BITS].as_signed())
        s = p.stage(s1=s.s1, v=s.v, exp=s.exp, seed=read.data)
        s = p.stage(s1=s.s1, exp=s.exp, seed=s.seed, t=s.v * s.seed)
        s = p.stage(s1=s.s1, exp=s.exp, seed=s.seed, u=(s.t >> 15) * s.seed)
        s = p.stage(s1=s.s1, exp=s.exp, seed=s.seed, factor=((3 << 16) - (s.u >> 15))[:18])
        s = p.stage(s1=s.s1, exp=s.exp, root=s.seed * s.factor)
        # No vm gives more than 65535, so the limit in numerics.md needs no logic.
        return p.stage(s1=s.s1, exp=s.exp, mant=(s.root >> 17)[:MANT_BITS])


class Normalize(wiring.Component):
    """Sixteen lanes of ``y = sat8(rnd(z * gamma + beta, shift))``, ``z = sat18(rnd((D*x - s1) * mant, 11 + exp))``.

    Parameters
    ----------
    row_cycles : int
        Cycles from vector to vector: 16 / ``row_cycles`` lanes do their work.

    Members
    -------
    i : :py:`In(Flow(Normalize.LAYOUT))`
        ``x`` int16 lanes of a token, ``s1``, ``mant``, ``exp`` of that token from :class:`Rsqrt`, ``gamma`` int16 and
        ``beta`` int32 lanes of the channels, ``shift`` 1..31. ``|D*x - s1|`` must be below 2**26, which it is for the
        true sum of a token of D up to 1024.
    width : :py:`In(11)`
        D. Must not change while tokens are in flight.
    o : :py:`Out(Flow(lanes(8)))`
        int8 codes, -127..127.

    Latency
    -------
    ``LATENCY`` = 13 cycles: 3 multiplications, 2 additions, 2 barrel shifts and 2 saturations of 2 stages each; and
    ``part_cycles``.

    Throughput
    ----------
    One vector of 16 every ``row_cycles`` cycles.
    """

    LATENCY = 13
    LAYOUT = data.StructLayout({
        "x": lanes(16),
        "s1": signed(S1_BITS),
        "mant": MANT_BITS,
        "exp": signed(EXP_BITS),
        "gamma": lanes(16),
        "beta": lanes(32),
        "shift": 5,
    })

    i: In(Flow(LAYOUT))
    width: In(WIDTH_BITS)
    o: Out(Flow(lanes(8)))

    def __init__(self, row_cycles: int = 1) -> None:
        self.row_cycles = row_cycles
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._each = range(part_lanes(self.row_cycles))
        valid, i = split_row(m, self.i.valid, self.i.payload, self.row_cycles)
        p = Pipeline(m, valid)
        gamma, beta = (i.gamma, i.beta) if self.row_cycles == 1 else (
            [lanes_of[k] for k in self._each] for lanes_of in (i.gamma, i.beta))
        s = p.stage(x=[i.x[k] * self.width for k in self._each], s1=i.s1, mant=i.mant, amount=i.exp - EXP_MIN,
                    gamma=gamma, beta=beta, shift=i.shift - 1)
        s = self._standardise(p, s)
        s = self._scale(p, s)
        valid, row = join_row(m, p.valid, s.y, self.row_cycles, "result")
        m.d.comb += [self.o.valid.eq(valid), *(lane.eq(y) for lane, y in zip(self.o.payload, row, strict=True))]
        return m

    def _standardise(self, p: Pipeline, s: Any) -> Any:
        """``z`` in 6 stages."""

        def stage(**values: Any) -> Any:
            return p.stage(gamma=s.gamma, beta=s.beta, shift=s.shift, **values)

        # rnd(x, t) = ((x >> (t - 1)) + 1) >> 1, and of t - 1 = 10 + exp the smallest value, 3, costs no shifter.
        fixed = 10 + EXP_MIN
        s = stage(x=[(x - s.s1)[:CENTRED_BITS].as_signed() for x in s.x], mant=s.mant, amount=s.amount[:5])
        s = stage(x=[x * s.mant for x in s.x], amount=s.amount)
        s = stage(x=[shift_coarse(x >> fixed, s.amount) for x in s.x], amount=s.amount)
        s = stage(x=[shift_fine(x, s.amount) for x in s.x])
        low, high = -(1 << NORM_Z_BITS - 1), (1 << NORM_Z_BITS - 1) - 1
        under, over = round_limits(low, high)
        s = stage(under=[x < under for x in s.x], over=[x > over for x in s.x],
                  half=[x[:NORM_Z_BITS + 1].as_signed() for x in s.x])
        return stage(z=[clamp(s.half[k], s.under[k], s.over[k], low, high)[:NORM_Z_BITS].as_signed()
                        for k in self._each])

    def _scale(self, p: Pipeline, s: Any) -> Any:
        """``y`` in 6 stages."""
        s = p.stage(y=[s.z[k] * s.gamma[k] for k in self._each], beta=s.beta, shift=s.shift)
        s = p.stage(y=[s.y[k] + s.beta[k] for k in self._each], shift=s.shift)
        s = p.stage(y=[shift_coarse(y, s.shift) for y in s.y], shift=s.shift)
        s = p.stage(y=[shift_fine(y, s.shift) for y in s.y])
        under, over = round_limits(-127, 127)
        s = p.stage(under=[y < under for y in s.y], over=[y > over for y in s.y],
                    half=[y[:9].as_signed() for y in s.y])
        return p.stage(y=[clamp(s.half[k], s.under[k], s.over[k], -127, 127)[:8].as_signed() for k in self._each])
