"""Key/value memory: see ``bench_key_value``."""

from __future__ import annotations

import pytest

from rtl.key_value import KeyValue
from sim.runner import simulate


@pytest.mark.parametrize("word_bits", [256, 512])
@pytest.mark.parametrize(("columns", "max_tokens"), [(6, 48), (2, 16)])
def test_key_value(columns: int, max_tokens: int, word_bits: int) -> None:
    """Sizes that are no power of two, and the smallest; words of two tokens and of four."""
    results = simulate(KeyValue(columns, max_tokens, word_bits=word_bits), test_module="tests.rtl.bench_key_value",
                       name=f"key_value_{max_tokens}_{word_bits}",
                       env={"COLUMNS": str(columns), "MAX_TOKENS": str(max_tokens), "WORD_BITS": str(word_bits)})
    assert len(results.tests) == 2
