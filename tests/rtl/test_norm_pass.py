"""Norm pass: see ``bench_norm_pass``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.norm_pass import NormPass
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize(("max_width", "max_tokens", "banks"), [(48, 32, 2), (80, 48, 8)])
def test_norm_pass(max_width: int, max_tokens: int, banks: int) -> None:
    config = HardwareConfig(max_width=max_width, max_tokens=max_tokens, banks=banks)
    results = simulate(NormPass(config), test_module="tests.rtl.bench_norm_pass", name=f"norm_pass_{max_width}",
                       env=config_env(config))
    assert len(results.tests) == 3
