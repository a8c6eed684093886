"""Image loader: see ``bench_image_loader``."""

from __future__ import annotations

from flows.contracts.hardware import HardwareConfig
from rtl.image_loader import ImageLoader
from sim.runner import simulate
from tests.rtl.script import config_env


def test_image_loader() -> None:
    config = HardwareConfig(max_tokens=32, max_width=32, max_hidden=128, max_patch=96, banks=4)
    results = simulate(ImageLoader(config), test_module="tests.rtl.bench_image_loader", name="image_loader",
                       env=config_env(config))
    assert len(results.tests) == 4
