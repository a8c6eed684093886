"""Slot sequencer: see ``bench_sequencer``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.sequencer import Sequencer
from sim.runner import simulate
from tests.rtl.bench_sequencer import DRAIN_CYCLES, NORM_CYCLES, READ_CYCLES
from tests.rtl.script import config_env


@pytest.mark.parametrize("row_cycles", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_sequencer(row_cycles: int) -> None:
    config = HardwareConfig(clusters=3, max_tokens=48, row_cycles=row_cycles)
    results = simulate(Sequencer(config, DRAIN_CYCLES, NORM_CYCLES, READ_CYCLES),
                       test_module="tests.rtl.bench_sequencer", name=f"sequencer_{row_cycles}", env=config_env(config))
    assert len(results.tests) == 7
