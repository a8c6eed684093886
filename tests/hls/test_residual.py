"""``residual.hpp`` equals ``sim.golden.residual``, and keeps the sums that layer norm needs."""

from __future__ import annotations

import numpy as np

from sim.golden.layer_norm import rsqrt, statistics, variance
from sim.golden.residual import add
from tests.hls import units


@units.both_builds
def test_add_and_statistics(build: str) -> None:
    """Saturating sums of whole tokens, with limits among them; sums over all columns of a token."""
    rng = np.random.default_rng(5)
    columns, tokens = 12, 60
    x, y = (rng.integers(-32768, 32768, (columns, tokens, 16)).astype(np.int16) for _ in range(2))
    x[:, :20], y[:, :20] = x[:, :20] >> 8, y[:, :20] >> 8
    x[:, 20], y[:, 20], x[:, 21], y[:, 21] = 32767, 32767, -32768, -32768
    out, s1, mant, exp = units.residual(build, x, y)
    want = add(x, y)
    assert (out == want).all()
    assert want.max() == 32767 and want.min() == -32768
    rows = want.transpose(1, 0, 2).reshape(tokens, -1)
    sums = statistics(rows)
    assert (s1 == sums[0]).all()
    want_mant, want_exp = rsqrt(variance(*sums, columns * 16))
    assert (mant == want_mant).all() and (exp == want_exp).all()
