"""Multiplexers as trees: what six-input LUTs and the multiplexers of a slice are made for."""

from collections.abc import Sequence

from amaranth.hdl import Mux, Value

__all__ = ["choose"]


def choose(values: Sequence[Value], index: Value) -> Value:
    """``values[index]`` as a tree of 2:1 multiplexers; any of the values when there is none of that number.

    A LUT holds a 4:1 multiplexer, a slice's own multiplexers join up to four of those. ANDs with a decoded index take
    twice the LUTs and two more levels.

    Parameters
    ----------
    values : of the same width ; at most ``2**len(index)`` of them
    index : unsigned
    """
    if len(values) > 1 << len(index):
        raise ValueError(f"{len(values)} values need an index of more than {len(index)} bits")
    for bit in index:
        if len(values) == 1:
            break
        pairs = [Mux(bit, odd, even) for even, odd in zip(values[::2], values[1::2], strict=False)]
        values = pairs + list(values[len(pairs) * 2:])
    return values[0]
