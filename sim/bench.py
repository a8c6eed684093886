"""Helpers of cocotb benches: clock and reset, flows with random gaps, and layouts as plain Python values.

In a bench, ``Flow`` and stream ports of a component ``x`` are the flat signals ``x__payload``, ``x__valid`` (and
``x__ready``); :func:`encode` and :func:`decode` translate a payload by the layout the RTL itself declares.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cocotb
from amaranth.hdl import Const, Shape, ShapeLike
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

CLOCK_NS = 2
"""Period of the simulated clock in ns (any even number: nothing in the design depends on it)."""


def mask(width: int) -> int:
    """``width`` ones."""
    return (1 << width) - 1


def to_signed(value: int, width: int) -> int:
    """The two's complement number in the low ``width`` bits of ``value``."""
    value &= mask(width)
    return value - (1 << width) if value >> (width - 1) else value


def pack(values: Iterable[int], width: int) -> int:
    """Concatenate numbers (signed or not) of ``width`` bits, the first in the lowest bits."""
    word = 0
    for index, value in enumerate(values):
        word |= (int(value) & mask(width)) << index * width
    return word


def unpack(word: int, width: int, count: int, *, signed: bool = True) -> list[int]:
    """The inverse of :func:`pack`."""
    fields = [word >> index * width & mask(width) for index in range(count)]
    return [to_signed(field, width) for field in fields] if signed else fields


def encode(layout: ShapeLike, value: Any) -> int:
    """Bits of ``value``: a dict for a struct, a sequence for an array, an int for a shape. Absent fields are 0.

    Raises
    ------
    ValueError
        For a number that does not fit its field, or a wrong count of elements: a bench must not wrap silently.
    """
    if isinstance(layout, data.StructLayout):
        if unknown := set(value) - set(layout.members):
            raise ValueError(f"no such field: {min(unknown)}")
        return sum(encode(layout[name].shape, part) << layout[name].offset for name, part in value.items())
    if isinstance(layout, data.ArrayLayout):
        if len(value) != layout.length:
            raise ValueError(f"{len(value)} elements for an array of {layout.length}")
        width = Shape.cast(layout.elem_shape).width
        return sum(encode(layout.elem_shape, part) << index * width for index, part in enumerate(value))
    shape, number = Shape.cast(layout), int(value)
    if Const(number, shape).value != number:
        raise ValueError(f"{number} does not fit {shape}")
    return number & mask(shape.width)


def decode(layout: ShapeLike, word: int) -> Any:
    """The inverse of :func:`encode`: dicts, lists and ints."""
    if isinstance(layout, data.StructLayout):
        return {name: decode(member.shape, word >> member.offset) for name, member in layout}
    if isinstance(layout, data.ArrayLayout):
        width = Shape.cast(layout.elem_shape).width
        return [decode(layout.elem_shape, word >> index * width) for index in range(layout.length)]
    shape = Shape.cast(layout)
    return to_signed(word, shape.width) if shape.signed else word & mask(shape.width)


async def start(dut: Any, *, clock: str = "clk", reset: str = "rst", active: int = 1, cycles: int = 3,
                inputs: Mapping[str, int] | None = None) -> None:
    """Start the clock, set every input port named ``*valid`` and those in ``inputs``, and pulse the reset.

    Parameters
    ----------
    clock, reset : port names; ``reset=""`` when there is none
    active : level of an asserted reset
    cycles : length of the reset
    inputs : value of input ports during reset
    """
    Clock(getattr(dut, clock), CLOCK_NS, unit="ns", impl="gpi").start()
    for name, value in (inputs or {}).items():
        getattr(dut, name).value = value
    if reset:
        getattr(dut, reset).value = active
    for _ in range(cycles):
        await RisingEdge(getattr(dut, clock))
    if reset:
        getattr(dut, reset).value = 1 - active
    await RisingEdge(getattr(dut, clock))


async def wait_cycles(dut: Any, count: int, *, clock: str = "clk") -> None:
    """Wait for ``count`` rising edges."""
    for _ in range(count):
        await RisingEdge(getattr(dut, clock))


@dataclass
class Gaps:
    """When a sender pauses: before a payload always for ``least`` cycles, and with ``probability`` for 1 to ``longest``
    more."""

    probability: float = 0.0
    longest: int = 4
    seed: int = 0
    least: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def length(self) -> int:
        """Cycles to pause now."""
        more = self._random.randint(1, self.longest) if self._random.random() < self.probability else 0
        return self.least + more


async def send(dut: Any, prefix: str, payloads: Iterable[int], *, gaps: Gaps | None = None, clock: str = "clk",
               garbage: int = 0) -> None:
    """Drive payloads into the flow ``prefix``, one a cycle but for random gaps; returns after the last one's cycle.

    Between payloads the payload signals hold ``garbage``, so that a unit that ignores ``valid`` is found out.
    """
    edge = RisingEdge(getattr(dut, clock))
    valid, payload = getattr(dut, f"{prefix}__valid"), getattr(dut, f"{prefix}__payload")
    for word in payloads:
        for _ in range(gaps.length() if gaps is not None else 0):
            valid.value, payload.value = 0, garbage
            await edge
        valid.value, payload.value = 1, word
        await edge
    valid.value, payload.value = 0, garbage


async def send_stream(dut: Any, prefix: str, payloads: Iterable[int], *, gaps: Gaps | None = None,
                      clock: str = "clk") -> None:
    """Drive payloads into the stream ``prefix`` (with ready); a payload stays valid until it is taken."""
    edge = RisingEdge(getattr(dut, clock))
    valid, payload = getattr(dut, f"{prefix}__valid"), getattr(dut, f"{prefix}__payload")
    ready = getattr(dut, f"{prefix}__ready")
    for word in payloads:
        for _ in range(gaps.length() if gaps is not None else 0):
            valid.value = 0
            await edge
        valid.value, payload.value = 1, word
        await edge
        while not int(ready.value):
            await edge
    valid.value = 0


class Monitor:
    """Records every payload of a flow (or stream) from its construction on.

    Parameters
    ----------
    dut, prefix : which flow
    clock : port name
    gaps : for a stream (one with ``ready``): when the monitor holds ready low; None means it is always ready

    Attributes
    ----------
    words : payloads in order
    cycles : the clock cycle of each, counted from construction
    """

    def __init__(self, dut: Any, prefix: str, *, clock: str = "clk", gaps: Gaps | None = None) -> None:
        self.words: list[int] = []
        self.cycles: list[int] = []
        self.cycle = 0
        self._clock = getattr(dut, clock)
        self._valid, self._payload = getattr(dut, f"{prefix}__valid"), getattr(dut, f"{prefix}__payload")
        self._ready = getattr(dut, f"{prefix}__ready", None)
        self._gaps = gaps
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        edge, pause, accepting = RisingEdge(self._clock), 0, True
        if self._ready is not None:
            self._ready.value = 1
        while True:
            await edge
            if accepting and int(self._valid.value):
                self.words.append(int(self._payload.value))
                self.cycles.append(self.cycle)
            if self._ready is not None and self._gaps is not None:
                pause = pause - 1 if pause else self._gaps.length()
                accepting = pause == 0
                self._ready.value = int(accepting)
            self.cycle += 1

    async def wait_for(self, count: int, *, timeout: int) -> None:
        """Wait until ``count`` payloads have come; fails after ``timeout`` cycles."""
        edge = RisingEdge(self._clock)
        for _ in range(timeout):
            if len(self.words) >= count:
                return
            await edge
        raise AssertionError(f"only {len(self.words)} of {count} outputs after {timeout} cycles")


def check_equal(got: Sequence[Any], expected: Sequence[Any], *, constant_ok: bool = False) -> None:
    """Compare outputs one by one: values, count, nothing extra, and that the data vary.

    Raises
    ------
    AssertionError
        Naming the first difference.
    """
    assert constant_ok or any(item != expected[0] for item in expected), "the expected data never change"
    for index, (a, b) in enumerate(zip(got, expected, strict=False)):
        assert a == b, f"output {index}: got {a}, expected {b}"
    assert len(got) == len(expected), f"got {len(got)} outputs, expected {len(expected)}"
