"""What the tests of sweeps share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows.sweep.network import network_of
from flows.sweep.quality import photograph_logits


@pytest.fixture(autouse=True, scope="module")
def fixture_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own for each file of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.cache.CACHE", tmp_path_factory.mktemp("cache"))
        network_of.cache_clear()
        photograph_logits.cache_clear()
        yield
