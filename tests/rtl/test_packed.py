"""Packed dot product: bounds, every product, the unit (see ``bench_packed``), and the DSP slices it takes."""

# pyright: reportAttributeAccessIssue=false
# (members of a component exist at run time only)

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.errors import SimulationError
from flows.contracts.hardware import BLOCK
from rtl import cluster, packed
from rtl.packed import MAX_PRODUCT, MAX_WEIGHT, PACKINGS, PackedDotProduct, Packing
from rtl.shared import shared_instance
from sim.runner import simulate
from tests.yosys import synthesize

FAMILY = {"DSP48E2": "ultrascale+", "DSP48E1": "7series"}
BENCH = "tests.rtl.bench_packed"
ROW_BITS = 8 * BLOCK


@dataclass(frozen=True)
class TooLong(Packing):
    """A packing that claims a longer chain than fits."""

    @property
    def chain(self) -> int:
        return 8


class Array(wiring.Component):
    """The multipliers of a cluster: 16 dot products of one activation vector, two a unit."""

    def __init__(self, dsp: str) -> None:
        self.dsp = dsp
        super().__init__({"a": In(9 * BLOCK), "w": In(ROW_BITS * BLOCK), "sums": Out(21 * BLOCK)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for row in range(0, BLOCK, 2):
            m.submodules[f"dot{row}"] = shared_instance(
                "packed_dot_product", lambda: PackedDotProduct(self.dsp), a=self.a,
                w0=self.w.word_select(row, ROW_BITS), w1=self.w.word_select(row + 1, ROW_BITS),
                sum0=self.sums.word_select(row, 21), sum1=self.sums.word_select(row + 1, 21))
        return m


@pytest.mark.parametrize(("dsp", "port", "spacing", "chain"), [("DSP48E2", 27, 19, 8), ("DSP48E1", 25, 17, 2)])
def test_bounds(dsp: str, port: int, spacing: int, chain: int) -> None:
    """The largest spacing that fits the port, the longest chain that fits the spacing; one more of either does not."""
    packing = PACKINGS[dsp]
    assert (packing.port, packing.spacing, packing.chain) == (port, spacing, chain)
    largest = (1 << port - 1) - 1
    assert (MAX_WEIGHT << spacing) + MAX_WEIGHT <= largest < (MAX_WEIGHT << spacing + 1) + MAX_WEIGHT
    field = (1 << spacing - 1) - 1
    assert chain * MAX_PRODUCT <= field < (chain + 1) * MAX_PRODUCT
    # Codes of -128..255 instead of all 9-bit numbers would not make it longer.
    assert field < (chain + 1) * MAX_WEIGHT * 255


def test_same_vectors_as_cluster() -> None:
    """What Cluster feeds and expects."""
    assert (packed.OPERAND_BITS, packed.SUM_BITS) == (cluster.OPERAND_BITS, cluster.SUM_BITS)


@pytest.mark.parametrize("dsp", sorted(PACKINGS))
def test_every_product(dsp: str) -> None:
    """All 33 million (w0, w1, a): the packed product fits its register and holds both products."""
    packing = PACKINGS[dsp]
    weights = np.arange(-MAX_WEIGHT, MAX_WEIGHT + 1)
    a = np.arange(-256, 256)
    lower = weights[:, None] * a
    limit = 1 << packing.width(1) - 1
    for w1 in weights:
        wide = (w1 << packing.spacing) + weights
        assert np.abs(wide).max() < 1 << packing.port - 1
        product = wide[:, None] * a
        assert -limit <= product.min() and product.max() + packing.bias < limit
        biased = product + packing.bias
        np.testing.assert_array_equal(biased >> packing.spacing, np.broadcast_to(w1 * a, biased.shape))
        np.testing.assert_array_equal((biased & 2 * packing.bias - 1) - packing.bias, lower)


@pytest.mark.parametrize("dsp", sorted(PACKINGS))
def test_packed_dot_product(dsp: str) -> None:
    results = simulate(PackedDotProduct(dsp), test_module=BENCH, name=f"packed_{dsp.lower()}")
    assert len(results.tests) == 4


def test_bench_finds_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of 8 at spacing 17 look right with small numbers; the bench must not let them pass."""
    monkeypatch.setitem(PACKINGS, "DSP48E1", TooLong(25))
    with pytest.raises(SimulationError, match="corners: AssertionError: cycle"):
        simulate(PackedDotProduct("DSP48E1"), test_module=BENCH, name="packed_overflow", testcase="corners")


def test_unknown_dsp() -> None:
    with pytest.raises(ValueError, match="dsp must be DSP48E1 or DSP48E2, not 'DSP58'"):
        PackedDotProduct("DSP58")


@pytest.mark.parametrize("dsp", sorted(PACKINGS))
def test_array_takes_half_the_slices(dsp: str) -> None:
    """256 MACs in 128 slices, on either family; without packing it is one each."""
    cells = synthesize(Array(dsp), FAMILY[dsp])
    slices = {cell: count for cell, count in cells.items() if cell.startswith("DSP48")}
    assert slices == {dsp: BLOCK * BLOCK // 2}
    assert packed.array_slices(dsp.lower()) == slices[dsp]


def test_slices_of_an_array() -> None:
    """What the bench divides by."""
    assert [packed.array_slices(name) for name in ("plain", "dsp48e2", "dsp48e1")] == [256, 128, 128]


def test_pairs_live_inside_the_slices() -> None:
    """7-series: pre-adders, registers and adders of the pairs take no fabric; what is left are group sums.

    Two groups of two 20-bit sums and two results of 20 bits are 120 flip-flops a unit. (On UltraScale+ open synthesis
    maps the multiplication only.)
    """
    cells = synthesize(PackedDotProduct("DSP48E1"), "7series")
    assert cells["DSP48E1"] == BLOCK
    assert sum(count for cell, count in cells.items() if cell.startswith("FD")) <= 120
