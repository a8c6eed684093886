"""Operand stage: see ``bench_operands``."""

from __future__ import annotations

from flows.contracts.hardware import HardwareConfig
from rtl.operands import Operands
from sim.runner import simulate
from tests.rtl.script import config_env


def test_operands() -> None:
    config = HardwareConfig(clusters=3, banks=4, max_tokens=48, max_width=48, max_hidden=128, max_patch=96,
                            score_heads=2)
    results = simulate(Operands(config), test_module="tests.rtl.bench_operands", name="operands",
                       env=config_env(config))
    assert len(results.tests) == 2
