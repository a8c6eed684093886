"""Program decoder: see ``bench_decoder``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.decoder import Decoder
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize(("clusters", "stream_bits"), [(1, 256), (5, 256), (1, 512), (12, 512)])
def test_decoder(clusters: int, stream_bits: int) -> None:
    """Slot headers of one word and of two."""
    config = HardwareConfig(clusters=clusters, max_tokens=48, max_width=48, banks=4, stream_bits=stream_bits)
    results = simulate(Decoder(config), test_module="tests.rtl.bench_decoder", name=f"decoder_{clusters}_{stream_bits}",
                       env=config_env(config))
    assert len(results.tests) == 7
