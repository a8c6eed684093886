"""For every board and DeiT-Tiny: a configuration or a reason, a folder, clean Verilog, scripts that pass."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from boards.board import Board
from boards.catalog import board_names, load_board
from flows.board_config import config_on
from flows.contracts.artifact import SparseVit, load_artifact
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.deliver import write_folder
from flows.deliver.check import check_folder
from flows.shipped import shipped_artifact
from rtl.verilog import TOP_MODULE
from sim.toolchain import verilator_root

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(name="deit", scope="module")
def fixture_deit() -> SparseVit:
    """The network that comes with sievit."""
    path = shipped_artifact("deit_t")
    assert path is not None
    return load_artifact(path)


def choice(network: SparseVit, board: Board) -> tuple[HardwareConfig | None, str]:
    """The search's configuration, or why there is none."""
    try:
        return config_on(network, board), ""
    except ConfigError as error:
        return None, str(error)


@pytest.mark.slow
@pytest.mark.usefixtures("tcl")
@pytest.mark.parametrize("name", board_names())
def test_board(name: str, deit: SparseVit, tmp_path: Path) -> None:
    """The search's choice becomes a folder that passes all checks; boards that are too small say so in one line."""
    board = load_board(name)
    config, reason = choice(deit, board)
    if config is None:
        assert name in reason
        assert "\n" not in reason
        return
    assert config.clock_mhz == board.clock_mhz
    params = write_folder(deit, config, board, tmp_path / name)
    assert params["network"]["classes"] == 10
    assert json.loads((tmp_path / name / "params.json").read_text()) == params
    command = [str(verilator_root() / "bin" / "verilator"), str(ROOT / "rtl" / "lint.vlt"), "--lint-only", "-Wall",
               "--top-module", TOP_MODULE, str(tmp_path / name / "rtl" / "vit_accel.v")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800,
                          env={**os.environ, "VERILATOR_ROOT": str(verilator_root())})
    assert done.returncode == 0, done.stderr[:4000]
    found = check_folder(tmp_path / name)
    assert [item.errors for item in found if not item.good] == []
