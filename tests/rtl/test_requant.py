"""Requantizer: see ``bench_requant``."""

from __future__ import annotations

import pytest

from rtl.requant import Requant
from sim.runner import simulate


@pytest.mark.parametrize("row_cycles", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_requant(row_cycles: int) -> None:
    """A vector every cycle, and a part of one every cycle."""
    results = simulate(Requant(row_cycles), test_module="tests.rtl.bench_requant", name=f"requant_{row_cycles}",
                       env={"ROW_CYCLES": str(row_cycles)})
    assert len(results.tests) == 3
