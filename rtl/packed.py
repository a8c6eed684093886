"""Two dot products with the same activations, two int8 products in every DSP slice.

A DSP slice multiplies a wide by a narrow operand. Two weights ``w0``, ``w1`` that meet the same activation share it as
``((w1 << S) + w0) * a = (w1*a << S) + w0*a``: packed products can be added up as they are and taken apart later, as
long as the sum of the lower products stays within ``S`` bits. Source: Fu, Wu, Sirasao, "8-Bit Dot-Product
Acceleration", Xilinx WP487, 2017; spacing and chain lengths here follow from weights that are never -128.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK

__all__ = ["PACKINGS", "PackedDotProduct", "Packing", "array_slices", "pack_weights", "separate"]

WEIGHT_BITS = 8
MAX_WEIGHT = 127
OPERAND_BITS = 9
MAX_PRODUCT = MAX_WEIGHT << OPERAND_BITS - 1
"""Largest magnitude of a product: 127 * 256, for any 9-bit signed activation."""
SUM_BITS = 21
GROUP = 8
"""Lanes that are added between two registers in fabric."""
PAIR = 2
"""Lanes that are added in the P cascade."""


@dataclass(frozen=True)
class Packing:
    """Two products in a multiplier whose wide signed port has ``port`` bits, and the bounds that follow from it.

    Attributes
    ----------
    port : bits of the wide operand ; the narrow one needs 9
    """

    port: int

    @property
    def spacing(self) -> int:
        """Position ``S`` of the upper product: the largest for which the packed weights fit the port.

        ``|(w1 << S) + w0| <= 127 * 2^S + 127 < 2^(S+7)``, so ``S = port - 8``. A weight of -128 would not fit.
        """
        return self.port - WEIGHT_BITS

    @property
    def bias(self) -> int:
        """``2^(S-1)``, added to every chain once: it makes the lower field non-negative.

        Without it a negative lower sum borrows from the upper one, and each chain needs an adder that gives it back.
        """
        return 1 << self.spacing - 1

    @property
    def chain(self) -> int:
        """Most products that may be added before they are taken apart: ``n * 32512 <= 2^(S-1) - 1``.

        The bound holds for all 9-bit activations, -256..255; codes are -128..255 in practice, which gives no more
        (``n * 127 * 255``).
        """
        return (self.bias - 1) // MAX_PRODUCT

    def width(self, products: int) -> int:
        """Bits of the sum of that many packed products, with or without the bias."""
        return self.spacing + (products * MAX_PRODUCT).bit_length() + 1


PACKINGS = {"DSP48E2": Packing(27), "DSP48E1": Packing(25)}
"""Multiplier by DSP slice: 27x18 with spacing 19 and chains of 8, or 25x18 with spacing 17 and chains of 2."""


def pack_weights(w0: Value, w1: Value, packing: Packing) -> Value:
    """``(w1 << S) + w0``: what the pre-adder of the DSP slice computes. Neither weight may be -128."""
    return ((w1 << packing.spacing) + w0)[:packing.port].as_signed()


def separate(total: Value, packing: Packing) -> tuple[Value, Value]:
    """Sum of the lower and sum of the upper products of a biased chain; costs an inverter, no adder."""
    sign = packing.spacing - 1
    return Cat(total[:sign], ~total[sign]).as_signed(), total[packing.spacing:].as_signed()


def array_slices(multiplier: str) -> int:
    """DSP slices of the array of a cluster of 256 MACs: one per multiplier, or one per two MACs when they are packed.

    Parameters
    ----------
    multiplier : as in :class:`flows.contracts.hardware.HardwareConfig`
    """
    packed = multiplier.upper() in PACKINGS
    return BLOCK * BLOCK // (PackedDotProduct.OUTPUTS if packed else 1)


class PackedDotProduct(wiring.Component):
    """Two dot products of 16 weights each with the same 16 activations, in 16 DSP slices.

    Products come in pairs joined by the P cascade. Its second slice has to work one cycle behind the first, and that
    delay is the slice's second row of input registers (AD, B2): a longer cascade would need registers outside for every
    further cycle, about 300 LUTs of shift registers to save some 220 of adders (estimated). ::

        cycle  first slice       second slice          fabric
        1      M = (w1,w0) * a   AD, B2
        2      P = M (+ bias)    M = AD * B2
        3                        P = PCIN + M
        4                                              sum of four pairs (twice)
        5                                              sum of the two

    The input registers of the first slice are those that hold ``a``, ``w0`` and ``w1`` outside the unit. Open synthesis
    puts all of cycles 1 to 3 into DSP48E1 slices (first P to second C port), but only the multiplication into DSP48E2.
    With chains of 8 (DSP48E2) cycle 4 adds the pairs as they are and cycle 5 takes them apart; with chains of 2
    (DSP48E1) cycle 4 takes them apart and adds lower and upper fields.

    Parameters
    ----------
    dsp : str
        ``"DSP48E2"`` or ``"DSP48E1"``. The results are the same, bit for bit and cycle for cycle.

    Members
    -------
    a : :py:`In(144)`
        Sixteen 9-bit signed codes, lane 0 lowest; all of -256..255 allowed.
    w0, w1 : :py:`In(128)`
        Sixteen 8-bit signed weights -127..127 of the two outputs. -128 gives wrong sums.
    sum0, sum1 : :py:`Out(signed(21))`

    Latency
    -------
    5 cycles.

    Throughput
    ----------
    Two dot products (32 MACs) a cycle.

    Raises
    ------
    ValueError
        For another ``dsp``.
    """

    LATENCY = 5
    OUTPUTS = 2
    """Dot products: every slice makes a product of each."""

    a: In(OPERAND_BITS * BLOCK)
    w0: In(WEIGHT_BITS * BLOCK)
    w1: In(WEIGHT_BITS * BLOCK)
    sum0: Out(signed(SUM_BITS))
    sum1: Out(signed(SUM_BITS))

    def __init__(self, dsp: str = "DSP48E2") -> None:
        if dsp not in PACKINGS:
            raise ValueError(f"dsp must be {' or '.join(sorted(PACKINGS))}, not {dsp!r}")
        self.packing = PACKINGS[dsp]
        self._chain = GROUP if self.packing.chain >= GROUP else PAIR
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pairs = [self._pair(m, lane) for lane in range(0, BLOCK, PAIR)]
        per_group = GROUP // PAIR
        groups = [self._group(m, pairs[i:i + per_group], f"group{i}") for i in range(0, len(pairs), per_group)]
        for fields, total in zip(zip(*groups, strict=True), (self.sum0, self.sum1), strict=True):
            m.d.comb += total.eq(_register(m, _tree(fields), SUM_BITS, f"{total.name}_register"))
        return m

    def _pair(self, m: Module, lane: int) -> Value:
        """Sum of the packed products of two lanes; the first pair of a chain carries the bias."""
        packing = self.packing
        bias = packing.bias if lane % self._chain == 0 else 0
        first_weights, first_a = self._operands(lane)
        second_weights, second_a = self._operands(lane + 1)
        second_weights = _register(m, second_weights, packing.port, f"weights{lane + 1}")
        second_a = _register(m, second_a, OPERAND_BITS, f"a{lane + 1}")

        width = packing.width(1)
        first = _register(m, first_weights * first_a, width, f"product{lane}")
        second = _register(m, second_weights * second_a, width, f"product{lane + 1}")
        biased = _register(m, first + bias, width, f"biased{lane}")
        return _register(m, biased + second, packing.width(PAIR), f"pair{lane}")

    def _operands(self, lane: int) -> tuple[Value, Value]:
        w0, w1 = (w.word_select(lane, WEIGHT_BITS).as_signed() for w in (self.w0, self.w1))
        return pack_weights(w0, w1, self.packing), self.a.word_select(lane, OPERAND_BITS).as_signed()

    def _group(self, m: Module, pairs: Sequence[Value], name: str) -> tuple[Value, Value]:
        """Sums of the lower and of the upper products of ``GROUP`` lanes, registered."""
        packing = self.packing
        if self._chain == GROUP:
            return separate(_register(m, _tree(pairs), packing.width(GROUP), name), packing)
        lower, upper = zip(*(separate(pair, packing) for pair in pairs), strict=True)
        width = (GROUP * MAX_PRODUCT).bit_length() + 1
        return (_register(m, _tree(lower), width, f"{name}_lower"), _register(m, _tree(upper), width, f"{name}_upper"))


def _register(m: Module, value: Value, width: int, name: str) -> Signal:
    register = Signal(signed(width), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def _tree(terms: Sequence[Value]) -> Value:
    """Balanced tree of adders; the number of terms is a power of two."""
    while len(terms) > 1:
        terms = [terms[i] + terms[i + 1] for i in range(0, len(terms), 2)]
    return terms[0]
