"""Residual stream: see ``bench_residual``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.residual import Residual
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize(("max_width", "max_tokens", "row_cycles"), [(48, 48, 1), (64, 208, 1), (48, 48, 2)])
def test_residual(max_width: int, max_tokens: int, row_cycles: int) -> None:
    config = HardwareConfig(max_width=max_width, max_tokens=max_tokens, row_cycles=row_cycles)
    results = simulate(Residual(config), test_module="tests.rtl.bench_residual",
                       name=f"residual_{max_tokens}_{row_cycles}", env=config_env(config))
    assert len(results.tests) == 3
