"""Tables and JSON of what the accelerator takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from boards.board import Board
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import KINDS, Resources
from flows.resources.accelerator import FABRIC_REGISTERS, unit_name
from flows.resources.synth import SynthesisResult
from flows.runs import stamp

TITLES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram36": "BRAM36", "uram": "URAM"}
MAX_LEVELS = 6
"""LUTs between registers that a unit should not exceed on UltraScale+."""


def report_of(result: SynthesisResult, config: HardwareConfig, board: Board | None = None) -> dict[str, Any]:
    """Everything that synthesis told, for JSON.

    Returns
    -------
    dict
        ``hardware``, ``config_hash``, ``family``, ``units`` (``name``, ``count``, resources of one instance,
        ``path``), ``total`` and, with a board, ``board``: its name, resources, and the share of each kind.
    """
    units = [{"name": unit_name(unit.name, unit.instances), "count": unit.instances, **unit.resources.to_dict(),
              "path": vars(unit.path) if unit.path else None} for unit in result.units]
    report: dict[str, Any] = {
        **stamp("resources", config=config), "source": "open synthesis", "hardware": config.to_dict(),
        "family": result.family, "units": units, "total": result.total.to_dict(), "note": FABRIC_REGISTERS}
    if board is not None:
        report["board"] = _board(board, result.total)
    return report


def estimate_of(shares: Mapping[str, Resources], counts: Mapping[str, int], config: HardwareConfig, family: str,
                board: Board | None = None) -> dict[str, Any]:
    """The same from the analytical model, which knows no paths."""
    total = sum(shares.values(), Resources())
    units = [{"name": name, "count": counts.get(name, 1), **(share * (1 / counts.get(name, 1))).to_dict(), "path": None}
             for name, share in shares.items()]
    report: dict[str, Any] = {
        **stamp("resources", config=config), "source": "analytical model", "hardware": config.to_dict(),
        "family": family, "units": units, "total": total.to_dict(), "note": FABRIC_REGISTERS}
    if board is not None:
        report["board"] = _board(board, total)
    return report


def _board(board: Board, total: Resources) -> dict[str, Any]:
    shares = total.share(board.resources)
    return {"name": board.name, "resources": board.resources.to_dict(),
            "share": {kind: share if share != float("inf") else None for kind, share in shares.items()}}


def table_of(report: Mapping[str, Any]) -> Table:
    """The report as a table: a row per unit (amounts of all its instances), the total, and the board."""
    board = report.get("board")
    title = f"{report['source']}, {report['family']}, configuration {report['config_hash']}"
    table = Table(title=title + (f", board {board['name']}" if board else ""))
    table.add_column("unit")
    for name in ("count", *TITLES.values()):
        table.add_column(name, justify="right")
    table.add_column("LUT levels", justify="right")
    for unit in report["units"]:
        table.add_row(unit["name"], str(unit["count"]), *_amounts(unit, unit["count"]), _levels(unit["path"]))
    table.add_section()
    table.add_row("total", "", *_amounts(report["total"]), _levels(longest(report)))
    if board:
        table.add_row("board", "", *_amounts(board["resources"]))
        table.add_row("share", "", *("none" if share is None else f"{share:.1%}" for share in board["share"].values()))
    return table


def longest(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The longest path of all units, None without any."""
    paths = [unit["path"] for unit in report["units"] if unit["path"]]
    return max(paths, key=lambda path: (path["luts"], path["carries"], path["multiplexers"]), default=None)


def deep_units(report: Mapping[str, Any]) -> list[str]:
    """A line per unit whose paths are longer than they should be."""
    return [f"{unit['name']}: {_levels(unit['path'])} levels from {unit['path']['start']} to {unit['path']['end']}"
            for unit in report["units"] if unit["path"] and unit["path"]["luts"] > MAX_LEVELS]


def _amounts(unit: Mapping[str, Any], count: int = 1) -> list[str]:
    return [f"{unit[kind] * count:,.1f}".removesuffix(".0") if kind == "bram36" else f"{unit[kind] * count:,.0f}"
            for kind in KINDS]


def _levels(path: Mapping[str, Any] | None) -> str:
    """LUTs, and carry cells behind a plus."""
    return "" if path is None else f"{path['luts']}" + (f" +{path['carries']}C" if path["carries"] else "")
