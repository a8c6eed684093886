"""``layer_norm.hpp`` equals ``sim.golden.layer_norm``."""

from __future__ import annotations

import numpy as np
import pytest

from sim.golden.layer_norm import normalize, rsqrt, statistics, variance
from tests.hls import units


def tokens(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    """Tokens of every size: from constant ones to those at the limits of int16."""
    x = rng.normal(0, 1, (count, width)) * np.exp2(rng.uniform(-2, 14, (count, 1))) + rng.normal(0, 3000, (count, 1))
    x = np.clip(np.rint(x), -32768, 32767).astype(np.int16)
    x[0], x[1], x[2] = 0, 32767, -32768
    x[3] = np.where(np.arange(width) % 2, 32767, -32768)
    x[4], x[4, 0] = 5, 6
    return x


@units.both_builds
@pytest.mark.parametrize("width", [16, 192, 384, 1024])
def test_rsqrt(build: str, width: int) -> None:
    """Variances of all sizes, 0 included."""
    s1, s2 = statistics(tokens(np.random.default_rng(width), 3000, width))
    mant, exp = units.rsqrt(build, s1, s2, width)
    want_mant, want_exp = rsqrt(variance(s1, s2, width))
    assert (mant == want_mant).all()
    assert (exp == want_exp).all()
    assert np.ptp(exp) > 5


@units.both_builds
@pytest.mark.parametrize("width", [16, 192, 1024])
def test_normalize(build: str, width: int) -> None:
    """Random and extreme parameters; one channel of each token."""
    rng = np.random.default_rng(width + 1)
    x = tokens(rng, 2000, width)
    s1, s2 = statistics(x)
    mant, e = rsqrt(variance(s1, s2, width))
    channel = x[np.arange(len(x)), rng.integers(0, width, len(x))]
    gamma = rng.integers(-32768, 32768, len(x))
    beta = rng.integers(-(1 << 31), 1 << 31, len(x)) >> rng.integers(0, 31, len(x))
    gamma[:2], beta[:2] = (32767, -32768), ((1 << 31) - 1, -(1 << 31))
    for shift in (1, 12, 19, 31):
        want = np.array([normalize(np.array([channel[i]], np.int16), s1[i], mant[i], e[i], width, gamma[i], beta[i],
                                   shift)[0] for i in range(len(x))])
        got = units.normalize(build, channel, s1, mant, e, width, gamma, beta, shift)
        assert (got == want).all()
