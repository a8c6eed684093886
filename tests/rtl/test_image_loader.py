"""Image loader: see ``bench_image_loader``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.image_loader import ImageLoader
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize("stream_bits", [256, 512])
def test_image_loader(stream_bits: int) -> None:
    """Words of two columns and of four."""
    config = HardwareConfig(max_tokens=32, max_width=32, max_hidden=128, max_patch=96, banks=4, stream_bits=stream_bits)
    results = simulate(ImageLoader(config), test_module="tests.rtl.bench_image_loader",
                       name=f"image_loader_{stream_bits}", env=config_env(config))
    assert len(results.tests) == 4
