"""MAC cluster: see ``bench_cluster``."""

from __future__ import annotations

import pytest

from rtl.cluster import Cluster
from sim.runner import simulate


@pytest.mark.parametrize(("max_tokens", "multiplier", "load_bits", "row_cycles"), [
    (16, "plain", 256, 1), (208, "plain", 512, 1), (16, "dsp48e2", 512, 1), (16, "dsp48e1", 256, 1),
    (16, "dsp48e1", 256, 2), pytest.param(208, "plain", 256, 4, marks=pytest.mark.slow)])
def test_cluster(max_tokens: int, multiplier: str, load_bits: int, row_cycles: int) -> None:
    """The smallest size and that of DeiT-T; every form of multiplier gives the same sums in the same cycles."""
    results = simulate(Cluster(max_tokens, multiplier, load_bits, row_cycles), test_module="tests.rtl.bench_cluster",
                       name=f"cluster_{max_tokens}_{multiplier}_{load_bits}_{row_cycles}",
                       env={"MAX_TOKENS": str(max_tokens), "LOAD_BITS": str(load_bits),
                            "ROW_CYCLES": str(row_cycles)})
    assert len(results.tests) == 3
