"""MAC cluster: see ``bench_cluster``."""

from __future__ import annotations

import pytest

from rtl.cluster import Cluster
from sim.runner import simulate


@pytest.mark.parametrize(("max_tokens", "multiplier", "load_bits"), [
    (16, "plain", 256), (208, "plain", 512), (16, "dsp48e2", 512), (16, "dsp48e1", 256)])
def test_cluster(max_tokens: int, multiplier: str, load_bits: int) -> None:
    """The smallest size and that of DeiT-T; every form of multiplier gives the same sums in the same cycles."""
    results = simulate(Cluster(max_tokens, multiplier, load_bits), test_module="tests.rtl.bench_cluster",
                       name=f"cluster_{max_tokens}_{multiplier}_{load_bits}",
                       env={"MAX_TOKENS": str(max_tokens), "LOAD_BITS": str(load_bits)})
    assert len(results.tests) == 3
