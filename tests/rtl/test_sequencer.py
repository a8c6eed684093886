"""Slot sequencer: see ``bench_sequencer``."""

from __future__ import annotations

from flows.contracts.hardware import HardwareConfig
from rtl.sequencer import Sequencer
from sim.runner import simulate
from tests.rtl.bench_sequencer import DRAIN_CYCLES, NORM_CYCLES, READ_CYCLES
from tests.rtl.script import config_env


def test_sequencer() -> None:
    config = HardwareConfig(clusters=3, max_tokens=48)
    results = simulate(Sequencer(config, DRAIN_CYCLES, NORM_CYCLES, READ_CYCLES),
                       test_module="tests.rtl.bench_sequencer", name="sequencer", env=config_env(config))
    assert len(results.tests) == 7
