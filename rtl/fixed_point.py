"""Rounding, shifting and saturation in pieces of one pipeline stage each."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Mux, Value, ValueLike

__all__ = ["LOW_BITS", "align_step", "balanced_sum", "clamp", "join_product", "round_limits", "shift_coarse",
           "shift_fine"]

COARSE = 3
"""Shift amounts are split into a multiple of 8 and the low 3 bits, one pipeline stage each."""
LOW_BITS = 17
"""Where wide operands are split for the multipliers: the P cascade of a DSP slice shifts by 17."""


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


def balanced_sum(terms: Sequence[Value]) -> Value:
    """Sum of the terms as a tree of adders, whose depth is the logarithm of their number."""
    while len(terms) > 1:
        pairs = [even + odd for even, odd in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + list(terms[len(pairs) * 2:])
    return terms[0]


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
