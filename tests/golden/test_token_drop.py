"""Token selection and fusion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.contracts.artifact import TokenDrop
from sim.golden import token_drop
from sim.golden.softmax import reciprocal
from tests.golden import reference

SCORES = st.lists(st.integers(0, 6) | st.integers(0, 2**20), min_size=2, max_size=40)


@reference.DETERMINISTIC
@given(SCORES, st.integers(0, 45))
def test_topk_equals_reference(score: list[int], keep: int) -> None:
    kept = token_drop.select(np.array(score), TokenDrop("topk", keep=keep))
    assert kept[0]
    assert (np.flatnonzero(kept[1:]) + 1).tolist() == reference.select(score, "topk", keep, 0)
    assert kept[1:].sum() == min(keep, len(score) - 1)


@reference.DETERMINISTIC
@given(SCORES, st.integers(0, 8) | st.integers(0, 2**21 - 1))
def test_threshold_equals_reference(score: list[int], threshold: int) -> None:
    kept = token_drop.select(np.array(score), TokenDrop("threshold", threshold=threshold))
    assert kept[0]
    assert (np.flatnonzero(kept[1:]) + 1).tolist() == reference.select(score, "threshold", 0, threshold)


def test_equal_scores_keep_the_lower_index() -> None:
    score = np.array([0, 5, 7, 5, 7, 5, 5])
    kept = token_drop.select(score, TokenDrop("topk", keep=4))
    assert np.flatnonzero(kept).tolist() == [0, 1, 2, 3, 4]
    kept = token_drop.select(np.zeros(300, int), TokenDrop("topk", keep=100))
    assert np.flatnonzero(kept).tolist() == list(range(101))


def test_cls_score_takes_no_part() -> None:
    """A large score of CLS takes no place among the k, and a small one does not drop it."""
    assert token_drop.select(np.array([99, 1, 2, 3]), TokenDrop("topk", keep=1)).tolist() == [True, False, False, True]
    assert token_drop.select(np.array([0, 1, 2, 3]), TokenDrop("threshold", threshold=3)).tolist() == [
        True, False, False, True]


def test_threshold_includes_the_equal_score() -> None:
    kept = token_drop.select(np.array([0, 99, 100, 101]), TokenDrop("threshold", threshold=100))
    assert kept.tolist() == [True, False, True, True]


@pytest.mark.parametrize("heads", [1, 2, 3, 5, 6, 12, 16])
def test_scores_and_weights_equal_reference(heads: int) -> None:
    rng = np.random.default_rng(heads)
    exps = rng.integers(0, 256, (heads, 33)).astype(np.uint8)
    exps[:, 7] = 255
    mant, q = reciprocal(exps.sum(1, dtype=np.int64))
    score = token_drop.scores(exps, mant, q)
    want = []
    for j in range(33):
        total = 0
        for head in range(heads):
            r, shift = reference.reciprocal(int(exps[head].sum()))
            total += int(exps[head, j]) * r // 2 ** (15 + shift)
        want.append(total)
    assert score.tolist() == want
    assert token_drop.weights(score, heads).tolist() == [reference.weight(value, heads) for value in want]
    assert score.sum() / heads == pytest.approx(65536, rel=2e-3)


@pytest.mark.parametrize("heads", [1, 3, 16])
def test_a_single_certain_token_saturates_its_weight(heads: int) -> None:
    exps = np.zeros((heads, 5), np.uint8)
    exps[:, 2] = 255
    mant, q = reciprocal(exps.sum(1, dtype=np.int64))
    score = token_drop.scores(exps, mant, q)
    assert score.max() < 1 << 21
    assert token_drop.weights(np.array([heads << 16]), heads).tolist() == [65535]
    assert token_drop.weights(score, heads)[2] > 65400


@reference.DETERMINISTIC
@given(st.integers(2, 12).flatmap(lambda n: st.tuples(
    st.lists(st.lists(st.integers(-32768, 32767), min_size=3, max_size=3), min_size=n, max_size=n),
    st.lists(st.booleans(), min_size=n, max_size=n),
    st.lists(st.integers(0, 65535) | st.just(65535), min_size=n, max_size=n))))
def test_fuse_equals_reference(tokens: tuple[list[list[int]], list[bool], list[int]]) -> None:
    x, kept, weight = tokens
    kept = [True, *kept[1:]]
    got = token_drop.fuse(np.array(x, np.int16), np.array(kept), np.array(weight))
    assert got.tolist() == reference.fuse(x, [j for j in range(1, len(x)) if kept[j]], weight)
    assert got.dtype == np.int16


def test_nothing_dropped_changes_nothing() -> None:
    x = np.arange(12, dtype=np.int16).reshape(4, 3)
    assert token_drop.fuse(x, np.ones(4, bool), np.full(4, 9999)) is x


def test_all_dropped_leaves_cls_and_the_fused_token() -> None:
    x = np.array([[7, 8], [100, -100], [300, -300]], np.int16)
    kept = token_drop.select(np.array([1, 2, 3]), TokenDrop("topk", keep=0))
    got = token_drop.fuse(x, kept, np.array([0, 16384, 32768]))
    assert got.tolist() == [[7, 8], [175, -175]]


def test_two_tokens() -> None:
    x = np.array([[7, 8], [101, -101]], np.int16)
    kept = token_drop.select(np.array([1, 2]), TokenDrop("topk", keep=0))
    assert token_drop.fuse(x, kept, np.array([0, 32768])).tolist() == [[7, 8], [51, -50]]
    kept = token_drop.select(np.array([1, 2]), TokenDrop("topk", keep=1))
    assert token_drop.fuse(x, kept, np.array([0, 32768])) is x


def test_fused_token_saturates() -> None:
    x = np.array([[0, 0]] + [[32767, -32768]] * 4, np.int16)
    kept = np.array([True] + [False] * 4)
    assert token_drop.fuse(x, kept, np.full(5, 65535)).tolist() == [[0, 0], [32767, -32768]]
