"""Requantizer: see ``bench_requant``."""

from __future__ import annotations

from rtl.requant import Requant
from sim.runner import simulate


def test_requant() -> None:
    results = simulate(Requant(), test_module="tests.rtl.bench_requant", name="requant")
    assert len(results.tests) == 3
