"""``token_drop.hpp`` equals ``sim.golden.token_drop``."""

from __future__ import annotations

import numpy as np
import pytest

from flows.contracts.artifact import TokenDrop
from flows.contracts.program import Drop
from sim.golden import token_drop
from sim.golden.softmax import reciprocal
from tests.hls import units


def cls_rows(rng: np.random.Generator, heads: int, tokens: int, levels: int) -> np.ndarray:
    """Rows of exponentials as softmax makes them: 255 once at least; few ``levels`` make many ties."""
    rows = rng.integers(0, levels, (heads, tokens)) * 255 // max(1, levels - 1)
    rows[np.arange(heads), rng.integers(0, tokens, heads)] = 255
    return rows.astype(np.uint8)


def check(build: str, rows: np.ndarray, drop: TokenDrop) -> None:
    """Scores, weights, choice, places and the number of tokens."""
    mant, exp = reciprocal(rows.sum(1, dtype=np.int64))
    score = token_drop.scores(rows, mant, exp)
    kept = token_drop.select(score, drop)
    mode = Drop.TOPK if drop.mode == "topk" else Drop.THRESHOLD
    count, got_score, got_kept, index, weight = units.select(build, rows, mant, exp, mode, drop.keep, drop.threshold)
    assert (got_score[1:] == score[1:]).all()
    assert (got_kept == kept).all()
    assert (weight[1:] == token_drop.weights(score, len(rows))[1:]).all()
    assert (index[kept] == np.arange(kept.sum())).all()
    assert count == (kept.sum() + 1 if not kept.all() else len(kept))


@units.both_builds
@pytest.mark.parametrize(("heads", "tokens", "levels"), [(1, 2, 256), (3, 17, 2), (3, 197, 256), (12, 50, 4),
                                                         (16, 320, 256), (2, 64, 1)])
def test_select(build: str, heads: int, tokens: int, levels: int) -> None:
    """Top-k from none to all, and thresholds around every score; many ties."""
    rng = np.random.default_rng([9, heads, tokens])
    rows = cls_rows(rng, heads, tokens, levels)
    for keep in {0, 1, tokens // 3, tokens - 2, tokens - 1, tokens + 5}:
        check(build, rows, TokenDrop("topk", keep=keep))
    score = token_drop.scores(rows, *reciprocal(rows.sum(1, dtype=np.int64)))
    for threshold in {0, 1, int(score.min()), int(np.median(score)), int(score.max()), int(score.max()) + 1,
                      (1 << 21) - 1}:
        check(build, rows, TokenDrop("threshold", threshold=threshold))


@units.both_builds
def test_fuse(build: str) -> None:
    """Weighted sums, saturated in both directions."""
    rng = np.random.default_rng(10)
    for rows, high in ((1, 65536), (40, 3000), (319, 65536)):
        x = rng.integers(-32768, 32768, (rows + 1, 16)).astype(np.int16)
        x[:, 0], x[:, 1] = 32767, -32768
        weight = rng.integers(0, high, rows + 1)
        weight[0] = 0
        kept = np.arange(rows + 1) == 0
        want = token_drop.fuse(x, kept, weight)[-1]
        assert (units.fuse(build, x[1:], weight[1:]) == want).all()
