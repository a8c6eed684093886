"""MAC cluster: see ``bench_cluster``."""

from __future__ import annotations

import pytest

from rtl.cluster import Cluster
from sim.runner import simulate


@pytest.mark.parametrize("max_tokens", [16, 208])
def test_cluster(max_tokens: int) -> None:
    """The smallest size and that of DeiT-T."""
    results = simulate(Cluster(max_tokens), test_module="tests.rtl.bench_cluster", name=f"cluster_{max_tokens}",
                       env={"MAX_TOKENS": str(max_tokens)})
    assert len(results.tests) == 3
