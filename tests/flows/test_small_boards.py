"""Boards with few multipliers: rows in parts make the shipped network fit, by the model and as synthesized."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.catalog import load_board
from flows.contracts.artifact import SparseVit, load_artifact
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import KINDS, Resources
from flows.resources.grid import load_grid
from flows.search import LIMITS, SearchResult, search
from flows.shipped import shipped_artifact

SMALL_BOARDS = ("pynq-z2", "arty-a7-100t")


@pytest.fixture(autouse=True, scope="module")
def fixture_cache(tmp_path_factory: pytest.TempPathFactory):
    """A cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.cache.CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(name="network", scope="module")
def fixture_network() -> SparseVit:
    """DeiT-Tiny."""
    path = shipped_artifact("deit_t")
    assert isinstance(path, Path)
    return load_artifact(path)


@pytest.fixture(name="results", scope="module")
def fixture_results(network: SparseVit) -> dict[str, SearchResult]:
    """A search on each."""
    return {name: search(network, load_board(name)) for name in SMALL_BOARDS}


@pytest.mark.parametrize("name", SMALL_BOARDS)
def test_search_finds_a_configuration(results: dict[str, SearchResult], name: str) -> None:
    """Every second cycle a row: as fast as the multipliers allow, and what the next larger one lacks is said."""
    choice = results[name].choice
    assert choice is not None
    assert (choice.config.clusters, choice.config.groups, choice.config.row_cycles) == (1, 1, 2)
    assert choice.milliseconds < 40
    assert all(choice.placement.share(kind) <= LIMITS[kind] for kind in KINDS)
    assert any("the next larger" in line and "DSP slices" in line for line in results[name].reasons)


@pytest.mark.parametrize("name", SMALL_BOARDS)
def test_synthesized_it_is_within_the_limits(results: dict[str, SearchResult], name: str) -> None:
    """The configuration on record, which is the one chosen."""
    choice, board = results[name].choice, load_board(name)
    (entry,) = [entry for entry in load_grid() if entry["name"] == "tiny_narrow_xc7"]
    assert choice is not None
    assert HardwareConfig.from_dict(entry["hardware"]).config_hash() == choice.config.config_hash()
    shares = Resources(**entry["total"]).share(board.device)
    assert all(shares[kind] <= LIMITS[kind] for kind in KINDS), shares


@pytest.mark.parametrize(("name", "slices"), [("pynq-z2", 220), ("arty-a7-100t", 240)])
def test_a_row_every_cycle_needs_too_many_multipliers(network: SparseVit, name: str, slices: int) -> None:
    result = search(network, load_board(name), fixed={"row_cycles": 1})
    assert result.choice is None and result.fitting == 0
    assert f"318 DSP slices of {slices}" in result.reasons[0]


def test_larger_boards_issue_a_row_every_cycle(network: SparseVit) -> None:
    """Small configurations are looked at only where no other fits."""
    result = search(network, load_board("kv260"), fixed={"clusters": 2, "groups": 1, "banks": 4, "stream_bits": 256})
    assert result.choice is not None and result.choice.config.row_cycles == 1
