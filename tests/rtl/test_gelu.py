"""GELU table: see ``bench_gelu``."""

from __future__ import annotations

from rtl.gelu import Gelu
from sim.runner import simulate


def test_gelu() -> None:
    results = simulate(Gelu(), test_module="tests.rtl.bench_gelu", name="gelu")
    assert len(results.tests) == 1
