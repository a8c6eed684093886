"""Token drop units: see ``bench_select``, ``bench_fuse``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from flows.contracts.program import Drop
from rtl.token_drop import Fuse, Select
from sim.runner import simulate
from tests.rtl.select_with_map import SelectWithMap


@pytest.mark.parametrize(("max_tokens", "max_width", "row_cycles"), [
    (208, 192, 1), (320, 1024, 1), (16, 16, 1), (208, 192, 2), pytest.param(48, 64, 4, marks=pytest.mark.slow)])
def test_select(max_tokens: int, max_width: int, row_cycles: int) -> None:
    """DeiT-T's size, the largest, and the smallest; rows in parts."""
    config = HardwareConfig(max_tokens=max_tokens, max_width=max_width, row_cycles=row_cycles)
    env = {"MAX_TOKENS": str(max_tokens), "MAX_HEADS": str(min(16, max_width // 16)), "ROW_CYCLES": str(row_cycles)}
    results = simulate(SelectWithMap(config), test_module="tests.rtl.bench_select",
                       name=f"select_{max_tokens}_{row_cycles}", env=env)
    assert len(results.tests) == 4


def test_cycles() -> None:
    """Well below the time the projection takes: 144 blocks on 4 clusters, 197 tokens."""
    assert Select.cycles(197, 3, Drop.TOPK) == 13 * 3 + 5 + 21 * (13 + 4) + 197 + 4
    assert Select.cycles(197, 3, Drop.THRESHOLD) == 13 * 3 + 5 + 197 + 4
    assert Select.cycles(197, 3, Drop.NONE) == 197 + 4
    assert Select.cycles(197, 3, Drop.TOPK) < 197 * 144 // 4
    assert Select.cycles(197, 3, Drop.TOPK, 2) == 2 * 13 * 3 + 6 + 21 * (13 + 4) + 197 + 4


@pytest.mark.parametrize("row_cycles", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_fuse(row_cycles: int) -> None:
    """A vector every cycle, and a part of one every cycle."""
    results = simulate(Fuse(row_cycles=row_cycles), test_module="tests.rtl.bench_fuse", name=f"fuse_{row_cycles}",
                       env={"ROW_CYCLES": str(row_cycles)})
    assert len(results.tests) == 3
