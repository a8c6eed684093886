"""What the benches of the arithmetic units share: frames of vectors in, golden results out, latency exact."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from amaranth.hdl import ShapeLike

from rtl.row_parts import part_cycles
from sim.bench import Gaps, Monitor, check_equal, decode, encode, mask, send, wait_cycles

ROW_CYCLES = int(os.environ.get("ROW_CYCLES", "1"))
"""Of the unit under test."""

SETTLE = 5
"""Cycles waited beyond a unit's latency for outputs that should not come."""


def wide_random(rng: np.random.Generator, shape: int | tuple[int, ...], bits: int) -> np.ndarray:
    """Signed integers of ``bits`` bits whose magnitudes are spread over all powers of two, extremes included."""
    size = rng.integers(0, bits, shape)
    limit = np.left_shift(1, size)
    values = rng.integers(-limit, limit, shape)
    corner = rng.random(shape)
    values = np.where(corner < 0.02, (1 << bits - 1) - 1, values)
    return np.where(corner > 0.98, -(1 << bits - 1), values).astype(np.int64)


def rows(**fields: np.ndarray) -> list[dict[str, Any]]:
    """One dict per index of the arrays' first axis, with Python integers, as :func:`sim.bench.encode` takes it."""
    lists = {name: np.asarray(values).tolist() for name, values in fields.items()}
    return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]


class FlowBench:
    """Sends frames through a unit with ports ``i`` and ``o`` and checks values, count, order and latency.

    Parameters
    ----------
    dut : handle of the unit, out of reset
    unit : its class, for ``LATENCY``
    inputs, outputs : layouts of the two payloads
    """

    def __init__(self, dut: Any, unit: Any, inputs: ShapeLike, outputs: ShapeLike) -> None:
        self._dut, self._inputs, self._outputs = dut, inputs, outputs
        self._in, self._out = Monitor(dut, "i"), Monitor(dut, "o")
        self._latency = unit.LATENCY + part_cycles(ROW_CYCLES)

    async def frame(self, items: Sequence[Any], expected: Sequence[Any], *, gaps: float = 0.0, seed: int = 0) -> None:
        """Send ``items``, one every ``ROW_CYCLES`` cycles but for gaps of random length at probability ``gaps`` before
        each, and compare all outputs.

        Between the items the payload is all ones, so that nothing may depend on it.
        """
        first = len(self._out.words)
        words = [encode(self._inputs, item) for item in items]
        garbage = mask(len(self._dut.i__payload))
        await send(self._dut, "i", words, gaps=Gaps(gaps, seed=seed, least=ROW_CYCLES - 1), garbage=garbage)
        await wait_cycles(self._dut, self._latency + SETTLE)
        got = [decode(self._outputs, word) for word in self._out.words[first:]]
        check_equal(got, list(expected))
        delays = {o - i for i, o in zip(self._in.cycles[first:], self._out.cycles[first:], strict=True)}
        assert delays == {self._latency}, f"latency {sorted(delays)}, declared {self._latency}"


async def write_table(dut: Any, table: np.ndarray) -> None:
    """Write 256 bytes through the port ``table``."""
    dut.table__enable.value = 1
    for address, value in enumerate(table.tolist()):
        dut.table__address.value, dut.table__data.value = address, value
        await wait_cycles(dut, 1)
    # Address and data go on changing after the last write: only enable counts.
    dut.table__enable.value, dut.table__address.value, dut.table__data.value = 0, 7, int(table[7]) ^ 0xFF
    await wait_cycles(dut, 1)
