"""The rule that says which attention need not be computed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from flows.contracts.artifact import TokenDrop
from flows.contracts.attention import AttentionUse, attention_use
from sim.golden.network import run
from tests.factory import random_artifact, random_patches, silence

WHOLE = random_artifact(width=96, heads=3, keep_blocks=1.0, depth=1, tokens=20, seed=5)
BOTH = (0, 1)


@pytest.mark.parametrize(("pairs", "values", "drop", "expected"), [
    ((), (), False, AttentionUse(2, (BOTH, BOTH, BOTH), (BOTH, BOTH, BOTH))),
    ((1, 4, 5), (3,), False, AttentionUse(2, ((0,), BOTH, (0,)), (BOTH, (0,), BOTH))),
    ((), (2, 3), False, AttentionUse(2, (BOTH, (), BOTH), (BOTH, (), BOTH))),
    ((), (2, 3), True, AttentionUse(2, (BOTH, BOTH, BOTH), (BOTH, (0,), BOTH))),
    (range(6), range(6), False, AttentionUse(2, ((), (), ()), ((), (), ()))),
])
def test_rule(pairs: tuple[int, ...], values: tuple[int, ...], drop: bool, expected: AttentionUse) -> None:
    """Read, needed for token scores, or not zero."""
    block = silence(WHOLE, pairs=pairs, values=values).blocks[0]
    use = attention_use(dataclasses.replace(block, drop=TokenDrop("topk", 4) if drop else None), 3)
    assert use == expected


def test_a_bias_keeps_a_pair() -> None:
    """Queries and keys of biases alone are not zero."""
    block = silence(WHOLE, pairs=(1,)).blocks[0]
    for part in (0, 1):
        block.qkv.bias[96 * part + 16] = 1
    assert attention_use(block, 3).pairs == (BOTH, BOTH, BOTH)


def test_columns() -> None:
    """Columns over all heads, and what is left out."""
    use = attention_use(silence(WHOLE, pairs=(1,), values=(2, 3)).blocks[0], 3)
    assert use.queries == use.keys == (0, 4, 5) and use.contexts == (0, 1, 4, 5) and use.heads == (0, 2)
    assert use.unused == {"query": (1, 2, 3), "key": (1, 2, 3), "value": (2, 3), "context": (2, 3), "score": (1,)}
    nothing = AttentionUse(2, ((), ()), ((), ()))
    assert nothing.queries == (0,) and nothing.keys == nothing.contexts == ()


def test_what_is_left_out_changes_nothing() -> None:
    """Whatever stands in the unused columns of values and heads, the golden model's logits stay the same."""
    artifact = silence(WHOLE, values=(2, 3))
    patches = random_patches(artifact)
    expected = run(artifact, patches)
    assert expected.unused["block0.score"] == (1,)
    other = random_artifact(width=96, heads=3, keep_blocks=1.0, depth=1, tokens=20, seed=6).blocks[0].qkv
    qkv = artifact.blocks[0].qkv
    rows = np.r_[32:64, 128:160, 224:256]
    qkv.weight[rows], qkv.bias[rows], qkv.mask[rows // 16] = other.weight[rows], other.bias[rows], True
    assert (run(artifact, patches).logits == expected.logits).all()
