"""``--board`` of ``sievit sim``: the search's configuration, the board's memory, and times at its clock target."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boards.catalog import load_board
from flows import cli, sim_flow
from flows.board_config import config_on, hardware_on, memory_of
from flows.compile import config_for
from flows.contracts.artifact import load_artifact
from flows.contracts.errors import ConfigError
from flows.search import find
from sim.accelerator import build_accelerator
from tests.flows.coarse_parts import coarse_parts

FIXED = {"clusters": 2, "groups": 1, "banks": 8, "stream_bits": 256, "score_heads": 2, "bus_bits": 256,
         "fifo_words": 512, "image_fifo_words": 256, "multiplier": "plain", "uram_words": 0}
"""The circuit that the other tests of the command line build."""


@pytest.fixture(autouse=True)
def fixture_quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same build options as the other tests; files of this test stay in its folder."""
    monkeypatch.setattr(sim_flow, "build_accelerator",
                        functools.partial(build_accelerator, assertions=True, optimize="-O1"))
    monkeypatch.setattr(find, "model_parts", coarse_parts)
    monkeypatch.setattr("flows.cache.CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


def test_sim_on_a_board(artifact_file: Path) -> None:
    """Bit exact, with the clock and the memory of the board; a given bandwidth wins over the board's."""
    fields = [part for name, value in FIXED.items() for part in ("--set", f"{name}={value}")]
    cycles = {}
    for bandwidth in ((), ("--bandwidth", "0")):
        result = CliRunner().invoke(cli.app, ["sim", "--artifact", str(artifact_file), "--board", "zcu102", *fields,
                                              *bandwidth])
        assert result.exit_code == 0, result.output
        report = json.loads(Path("report.json").read_text())
        cycles[bandwidth] = report["cycles"]
        assert report["bit_exact"] and report["board"] == "zcu102"
        assert report["hardware"]["clock_mhz"] == 200
        assert report["milliseconds"] == report["cycles"] / 200e3
        assert report["images_per_second"] == pytest.approx(1000 / report["milliseconds"])
        assert abs(report["expected_cycles"] / report["cycles"] - 1) < 0.03
        assert "zcu102 (xczu9eg-ffvb1156-2-e)" in result.stdout and "images/s" in result.stdout
    assert cycles[()] > cycles["--bandwidth", "0"]


def test_memory_follows_the_board() -> None:
    """In bytes per cycle of the target clock."""
    board = load_board("zcu102")
    assert memory_of(board, bandwidth=None, latency=50).bandwidth == pytest.approx(12.8)
    assert memory_of(board, bandwidth=3.0).bandwidth == 3.0
    assert memory_of(None, bandwidth=None).bandwidth == 0


def test_hardware_with_and_without_a_board(artifact_file: Path) -> None:
    """Without one, the default configuration."""
    network = load_artifact(artifact_file)
    assert hardware_on(network, None, {}) == config_for(network)
    assert hardware_on(network, None, {"clusters": 3}) == config_for(network, clusters=3)
    chosen = hardware_on(network, load_board("zcu102"), FIXED)
    assert chosen == config_on(network, "zcu102", fixed=FIXED) == config_for(network, **FIXED)


def test_errors(artifact_file: Path) -> None:
    """An unknown board, and a network that needs more than there is."""
    network = load_artifact(artifact_file)
    with pytest.raises(ConfigError, match="unknown board 'zcu1024'"):
        config_on(network, "zcu1024")
    with pytest.raises(ConfigError, match=r"board zcu102: none of \d+ configurations fits zcu102; the closest .* LUTs"):
        config_on(network, "zcu102", limits={"lut": 0.01})
    with pytest.raises(ConfigError, match="board zcu102: no configuration that fits zcu102 takes 0.0001 ms"):
        config_on(network, "zcu102", fixed=FIXED, latency_ms=0.0001)
