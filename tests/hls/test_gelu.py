"""``gelu.hpp`` equals ``sim.golden.gelu``."""

from __future__ import annotations

import numpy as np

from sim.golden.gelu import gelu
from tests.hls import units


@units.both_builds
def test_every_code(build: str) -> None:
    """Every code, with a table in which all entries differ."""
    table = np.random.default_rng(2).permutation(256).astype(np.uint8)
    codes = np.arange(-128, 128).astype(np.int8)
    assert (units.gelu(build, codes, table) == gelu(codes, table)).all()
