"""Logit buffer: see ``bench_logits``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.logits import Logits
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize("max_classes", [1000, 10])
def test_logits(max_classes: int) -> None:
    """ImageNet, and a single word."""
    config = HardwareConfig(max_classes=max_classes)
    results = simulate(Logits(config), test_module="tests.rtl.bench_logits", name=f"logits_{max_classes}",
                       env=config_env(config))
    assert len(results.tests) == 5
