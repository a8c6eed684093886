"""Row maximum: see ``bench_row_max``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.row_max import RowMax
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize(("score_heads", "max_tokens", "clusters"), [(3, 48, 2), (1, 16, 1), (6, 16, 4)])
def test_row_max(score_heads: int, max_tokens: int, clusters: int) -> None:
    config = HardwareConfig(score_heads=score_heads, max_tokens=max_tokens, clusters=clusters)
    results = simulate(RowMax(config), test_module="tests.rtl.bench_row_max", name=f"row_max_{score_heads}",
                       env=config_env(config))
    assert len(results.tests) == 2
