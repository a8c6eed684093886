"""``--board``: the configuration that the search chooses for a network on a board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from boards.board import Board
from boards.catalog import load_board
from flows.compile import config_for
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.search import search
from flows.search.space import bytes_per_cycle
from sim.accelerator import MemoryOptions


def config_on(artifact: SparseVit, board: str | Path | Board, *, latency_ms: float | None = None,
              limits: Mapping[str, float] | None = None, fixed: Mapping[str, Any] | None = None,
              report: Callable[[str, float], None] | None = None) -> HardwareConfig:
    """The configuration to build for a network on a board; its clock is the board's target.

    Parameters
    ----------
    artifact : the network
    board : name, file or facts
    latency_ms, limits, report : as for :func:`flows.search.search`
    fixed : fields of :class:`HardwareConfig` that are given; the search decides the others

    Raises
    ------
    ConfigError
        For an unknown board, and when no configuration fits: naming the resource and by how much.
    """
    facts = board if isinstance(board, Board) else load_board(board)
    result = search(artifact, facts, latency_ms=latency_ms, limits=limits, fixed=fixed, report=report)
    if result.choice is None:
        raise ConfigError(f"board {facts.name}: {'; '.join(result.reasons)}")
    return result.choice.config


def hardware_on(artifact: SparseVit, board: Board | None, given: Mapping[str, Any],
                report: Callable[[str, float], None] | None = None) -> HardwareConfig:
    """The search's configuration on a board, or without one the default of :func:`flows.compile.config_for`.

    Parameters
    ----------
    given : fields of :class:`HardwareConfig` that the user gave
    report : called with progress of the search

    Raises
    ------
    ConfigError
        As :func:`config_on`, and for fields out of range.
    """
    return config_on(artifact, board, fixed=given, report=report) if board else config_for(artifact, **given)


def board_of(name: str | None) -> Board | None:
    """The board that an option names, or None without one; errors as :func:`boards.catalog.load_board`."""
    return load_board(name) if name is not None else None


def memory_of(board: Board | None, *, bandwidth: float | None, **options: Any) -> MemoryOptions:
    """Memory for a simulation: as fast as one port of the board's, unless ``bandwidth`` (bytes per cycle) is given."""
    if bandwidth is None:
        bandwidth = bytes_per_cycle(board) if board else 0.0
    return MemoryOptions(bandwidth=bandwidth, **options)
