"""Inverse square root and layer norm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.contracts.artifact import Norm
from flows.contracts.numerics import rsqrt_table
from sim.golden.layer_norm import layer_norm, rsqrt, standardise, statistics, variance
from tests.golden import reference

INT16 = st.integers(-32768, 32767) | st.sampled_from([-32768, 32767])


def test_seed_table_is_rounded_correctly() -> None:
    assert rsqrt_table() == reference.rsqrt_table()


def test_rsqrt_equals_reference_for_small_and_boundary_arguments() -> None:
    values = list(range(1, 70000))
    values += [2**k + offset for k in range(17, 51) for offset in (-1, 0, 1)] + [2**51 - 1]
    values += [(64 + i) * 256 << 2 * k for i in range(192) for k in (0, 5, 17)]
    mant, e = rsqrt(np.array(values))
    assert list(zip(mant.tolist(), e.tolist(), strict=True)) == [reference.rsqrt(v) for v in values]


@reference.DETERMINISTIC
@given(st.integers(1, 51).flatmap(lambda bits: st.integers(2 ** (bits - 1), 2**bits - 1)))
def test_rsqrt_equals_reference(v: int) -> None:
    mant, e = rsqrt(v)
    assert (int(mant), int(e)) == reference.rsqrt(v)


def test_rsqrt_error() -> None:
    rng = np.random.default_rng(0)
    v = np.concatenate([np.arange(1, 1 << 16), np.exp2(rng.uniform(0, 51, 200_000)).astype(np.int64)])
    mant, e = rsqrt(v)
    error = mant * np.exp2(-23.0 - e) * np.sqrt(v) - 1
    assert np.abs(error).max() < 2**-13.5
    assert e.min() == -7
    assert e.max() == 18
    assert mant.max() <= 65535


@reference.DETERMINISTIC
@given(st.integers(1, 4).map(lambda n: 16 * n).flatmap(lambda d: st.tuples(
    st.lists(INT16, min_size=d, max_size=d), st.lists(INT16, min_size=d, max_size=d),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=d, max_size=d))), st.integers(1, 31))
def test_layer_norm_equals_reference(token: tuple[list[int], list[int], list[int]], shift: int) -> None:
    x, gamma, beta = token
    norm = Norm(np.array(gamma, np.int16), np.array(beta, np.int32), shift)
    got = layer_norm(np.array([x], np.int16), norm)
    assert got.dtype == np.int8
    assert got.tolist() == [reference.layer_norm(x, gamma, beta, shift)]


@pytest.mark.parametrize("width", [16, 192, 1024])
def test_extreme_tokens(width: int) -> None:
    """The largest variance and sums there are, one outlier among equals, and tokens without variance."""
    x = np.zeros((6, width), np.int16)
    x[0] = np.where(np.arange(width) % 2, 32767, -32768)
    x[1] = -32768
    x[2, 3] = 32767
    x[3] = np.where(np.arange(width) < 3, -32768, 32767)
    x[4] = 1
    x[5, 0] = 1
    s1, s2 = statistics(x)
    v = variance(s1, s2, width)
    want = [max(width * sum(a * a for a in row) - sum(row) ** 2, 1) for row in x.tolist()]
    assert v.tolist() == want
    assert v.max() < 1 << 51
    gamma = np.linspace(-32768, 32767, width).astype(np.int16)
    beta = np.linspace(-(2**31), 2**31 - 1, width).astype(np.int32)
    for shift in (1, 12, 24, 31):
        got = layer_norm(x, Norm(gamma, beta, shift))
        assert got.tolist() == [reference.layer_norm(row, gamma.tolist(), beta.tolist(), shift) for row in x.tolist()]


def test_token_without_variance_gives_beta() -> None:
    x = np.full((1, 64), 1234, np.int16)
    norm = Norm(np.full(64, 5000, np.int16), (np.arange(64) << 19).astype(np.int32), 19)
    assert layer_norm(x, norm).tolist() == [list(range(64))]


def test_normalised_value_saturates_at_18_bits() -> None:
    """One outlier among 1024 channels is sqrt(1023) = 31.98 standard deviations: 131013, just inside 18 bits."""
    x = np.zeros((1, 1024), np.int16)
    x[0, 0] = 20000
    s1, s2 = statistics(x)
    mant, e = rsqrt(variance(s1, s2, 1024))
    z = standardise(x, s1, mant, e, 1024)
    assert z[0, 0] == pytest.approx(4096 * 1023**0.5, rel=1e-4)
    clipped = standardise(x, s1, mant, e - 2, 1024)
    assert clipped[0, 0] == 131071


def test_layer_norm_is_close_to_float() -> None:
    rng = np.random.default_rng(3)
    x = np.rint(rng.normal(300, 4000, (50, 192))).clip(-32768, 32767).astype(np.int16)
    gamma = rng.integers(2000, 7000, 192).astype(np.int16)
    beta = rng.integers(-(10**7), 10**7, 192).astype(np.int32)
    real = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    want = (real * 4096 * gamma + beta) / 2**19
    got = layer_norm(x, Norm(gamma, beta, 19))
    inside = np.abs(want) < 126
    assert np.abs(got - want)[inside].max() < 0.51
