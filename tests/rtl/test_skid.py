"""Skid buffer: see ``bench_skid``."""

from __future__ import annotations

from rtl.skid import Skid
from sim.runner import simulate


def test_skid() -> None:
    results = simulate(Skid(32), test_module="tests.rtl.bench_skid", name="skid", env={"WIDTH": "32"})
    assert len(results.tests) == 3
