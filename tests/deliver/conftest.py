"""A small network and accelerator, and their folders by board, made once."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from boards.board import Board
from boards.catalog import load_board
from flows.contracts.artifact import SparseVit, TokenDrop
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import KINDS, Resources
from flows.deliver import write_folder
from flows.search.find import model_parts
from flows.search.limits import LIMITS
from tests.accelerator.hardware import ONE
from tests.factory import random_artifact

MakeFolder = Callable[..., Path]


def narrow(board: Board, config: HardwareConfig) -> Board:
    """The board with dies so small that each holds one token group."""
    parts = model_parts(config, board.family)
    die = parts.shared + 1.1 * parts.group
    size = Resources(*(getattr(die, kind) / LIMITS[kind] for kind in KINDS))
    return dataclasses.replace(board, slrs=(size,) * len(board.slrs))


@pytest.fixture(name="network", scope="session")
def fixture_network() -> SparseVit:
    """Fits the smallest accelerator."""
    return random_artifact(width=64, heads=2, depth=2, hidden=64, tokens=17, classes=21, seed=8,
                           drop={0: TokenDrop("topk", keep=9)})


@pytest.fixture(name="tiny", scope="session")
def fixture_tiny() -> HardwareConfig:
    """The smallest accelerator."""
    return ONE


@pytest.fixture(name="pristine", scope="session")
def fixture_pristine(tmp_path_factory: pytest.TempPathFactory, network: SparseVit, tiny: HardwareConfig) -> MakeFolder:
    """Folder of a board by name, with one token group or more; made once, not to be changed."""
    home = tmp_path_factory.mktemp("deliverables")

    def make(name: str, groups: int = 1) -> Path:
        out = home / f"{name}-{groups}"
        if not out.exists():
            board = load_board(name)
            config = tiny.replace(groups=groups, crossings=int(groups > 1), clock_mhz=board.clock_mhz)
            write_folder(network, config, board if groups == 1 else narrow(board, config), out)
        return out

    return make


@pytest.fixture(name="folder")
def fixture_folder(pristine: MakeFolder, tmp_path: Path) -> MakeFolder:
    """The same as a copy of one's own."""
    def make(name: str, groups: int = 1) -> Path:
        return shutil.copytree(pristine(name, groups), tmp_path / name)

    return make
