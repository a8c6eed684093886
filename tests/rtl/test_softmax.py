"""Softmax units: see ``bench_exp``, ``bench_reciprocal``, ``bench_normalise``."""

from __future__ import annotations

import pytest

from rtl.softmax import Exp, Normalise, Reciprocal
from sim.runner import simulate


def test_exp() -> None:
    assert len(simulate(Exp(), test_module="tests.rtl.bench_exp", name="exp").tests) == 1


def test_reciprocal() -> None:
    assert len(simulate(Reciprocal(), test_module="tests.rtl.bench_reciprocal", name="reciprocal").tests) == 2


@pytest.mark.parametrize("row_cycles", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_normalise(row_cycles: int) -> None:
    """A vector every cycle, and a part of one every cycle."""
    results = simulate(Normalise(row_cycles), test_module="tests.rtl.bench_normalise", name=f"normalise_{row_cycles}",
                       env={"ROW_CYCLES": str(row_cycles)})
    assert len(results.tests) == 1
