"""Column queue: see ``bench_column_queue``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.column_queue import ColumnQueue
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize("stream_bits", [256, 512])
def test_column_queue(stream_bits: int) -> None:
    """Sets of three words and of two."""
    config = HardwareConfig(stream_bits=stream_bits)
    results = simulate(ColumnQueue(config), test_module="tests.rtl.bench_column_queue",
                       name=f"column_queue_{stream_bits}", env=config_env(config))
    assert len(results.tests) == 2
