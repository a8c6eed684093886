"""Layer norm units: see ``bench_rsqrt``, ``bench_normalize``."""

from __future__ import annotations

import numpy as np
import pytest

from flows.contracts.numerics import RSQRT_INDEX_MIN, rsqrt_table
from rtl.layer_norm import Normalize, Rsqrt
from sim.runner import simulate


def test_rsqrt() -> None:
    assert len(simulate(Rsqrt(), test_module="tests.rtl.bench_rsqrt", name="rsqrt").tests) == 2


@pytest.mark.parametrize("row_cycles", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_normalize(row_cycles: int) -> None:
    """A vector every cycle, and a part of one every cycle."""
    results = simulate(Normalize(row_cycles), test_module="tests.rtl.bench_normalize", name=f"normalize_{row_cycles}",
                       env={"ROW_CYCLES": str(row_cycles)})
    assert len(results.tests) == 2


def test_newton_step_never_exceeds_16_bits() -> None:
    """What lets ``Rsqrt`` do without saturation, and its factor ``3 - vm * r0**2`` fit 18 bits: for every ``vm``."""
    vm = np.arange(1 << 14, 1 << 16)
    seed = np.array(rsqrt_table())[(vm >> 8) - RSQRT_INDEX_MIN]
    factor = (3 << 16) - ((((vm * seed) >> 15) * seed) >> 15)
    assert 0 < factor.min() <= factor.max() < 1 << 18
    assert ((seed * factor) >> 17).max() == 65535
