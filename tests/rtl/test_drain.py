"""Drain: see ``bench_drain``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.drain import Drain
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize(("clusters", "stream_bits"), [(2, 512), (5, 256)])
def test_drain(clusters: int, stream_bits: int) -> None:
    """All pairs of clusters; column parameters of two words and of three."""
    config = HardwareConfig(clusters=clusters, stream_bits=stream_bits, max_tokens=48, max_width=64, max_hidden=64,
                            max_patch=192)
    results = simulate(Drain(config), test_module="tests.rtl.bench_drain", name=f"drain_{clusters}",
                       env=config_env(config))
    assert len(results.tests) == 2
