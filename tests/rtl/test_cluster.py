"""MAC cluster: see ``bench_cluster``."""

from __future__ import annotations

import pytest

from rtl.cluster import Cluster
from sim.runner import simulate


@pytest.mark.parametrize(("max_tokens", "multiplier"), [
    (16, "plain"), (208, "plain"), (16, "dsp48e2"), (16, "dsp48e1")])
def test_cluster(max_tokens: int, multiplier: str) -> None:
    """The smallest size and that of DeiT-T; every form of multiplier gives the same sums in the same cycles."""
    results = simulate(Cluster(max_tokens, multiplier), test_module="tests.rtl.bench_cluster",
                       name=f"cluster_{max_tokens}_{multiplier}", env={"MAX_TOKENS": str(max_tokens)})
    assert len(results.tests) == 3
