"""Banked activation memory: see ``bench_banks``."""

from __future__ import annotations

import pytest

from rtl.banks import Banks
from sim.runner import simulate


@pytest.mark.parametrize(("columns", "banks", "max_tokens", "clusters", "wide"),
                         [(6, 2, 16, 1, 2), (12, 4, 17, 4, 4), (16, 8, 48, 3, 2), (32, 16, 16, 2, 4)])
def test_banks(columns: int, banks: int, max_tokens: int, clusters: int, wide: int) -> None:
    """Every number of banks, rows that are no power of two, an odd number of tokens and of readers."""
    env = {"COLUMNS": columns, "BANKS": banks, "MAX_TOKENS": max_tokens, "CLUSTERS": clusters, "WIDE": wide}
    results = simulate(Banks(columns, banks, max_tokens, clusters, wide), test_module="tests.rtl.bench_banks",
                       name=f"banks_{banks}", env={name: str(value) for name, value in env.items()})
    assert len(results.tests) == 2


def test_columns_must_fill_the_banks() -> None:
    with pytest.raises(ValueError, match="columns must be a multiple of banks, not 10 of 4"):
        Banks(10, 4, 16, 1)
