"""Key/value memory: see ``bench_key_value``."""

from __future__ import annotations

import pytest

from rtl.key_value import KeyValue
from sim.runner import simulate


@pytest.mark.parametrize(("columns", "max_tokens"), [(6, 48), (2, 16)])
def test_key_value(columns: int, max_tokens: int) -> None:
    """Sizes that are no power of two, and the smallest."""
    results = simulate(KeyValue(columns, max_tokens), test_module="tests.rtl.bench_key_value",
                       name=f"key_value_{max_tokens}", env={"COLUMNS": str(columns), "MAX_TOKENS": str(max_tokens)})
    assert len(results.tests) == 2
