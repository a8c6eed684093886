"""Softmax units: see ``bench_exp``, ``bench_reciprocal``, ``bench_normalise``."""

from __future__ import annotations

from rtl.softmax import Exp, Normalise, Reciprocal
from sim.runner import simulate


def test_exp() -> None:
    assert len(simulate(Exp(), test_module="tests.rtl.bench_exp", name="exp").tests) == 1


def test_reciprocal() -> None:
    assert len(simulate(Reciprocal(), test_module="tests.rtl.bench_reciprocal", name="reciprocal").tests) == 2


def test_normalise() -> None:
    assert len(simulate(Normalise(), test_module="tests.rtl.bench_normalise", name="normalise").tests) == 1
