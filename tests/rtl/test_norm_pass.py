"""Norm pass: see ``bench_norm_pass``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.norm_pass import NormPass
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize(("max_width", "max_tokens", "banks", "stream_bits", "row_cycles"), [
    (48, 32, 2, 256, 1), (80, 48, 8, 512, 1), (48, 32, 2, 256, 2)])
def test_norm_pass(max_width: int, max_tokens: int, banks: int, stream_bits: int, row_cycles: int) -> None:
    """Both sizes of the words that bring the parameters, and rows in parts."""
    config = HardwareConfig(max_width=max_width, max_tokens=max_tokens, banks=banks, stream_bits=stream_bits,
                            row_cycles=row_cycles)
    results = simulate(NormPass(config), test_module="tests.rtl.bench_norm_pass",
                       name=f"norm_pass_{max_width}_{row_cycles}", env=config_env(config))
    assert len(results.tests) == 3
