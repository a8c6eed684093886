"""What ``sievit diff`` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from flows.diff_flow import Diff
from sim.compare import kind_of
from sim.differences import Window

SHOWN = 30
"""So many checkpoints are listed."""


def diff_tables(diff: Diff, report: dict[str, Any]) -> Group:
    """The first difference, its neighbours, and the checkpoints that differ."""
    parts: list[RenderableType] = [_first(diff, report)]
    if diff.near is not None and diff.first is not None:
        parts.append(_near(diff.near, kind_of(diff.first.unit)))
    if report["checkpoints"]:
        parts.append(_checkpoints(report))
    return Group(*parts)


def _first(diff: Diff, report: dict[str, Any]) -> Table:
    table = Table(title=f"{escape(report['model'])}: first difference", title_justify="left", show_header=False)
    first, who = report["first"], "HLS model" if diff.run.engine == "hls" else "hardware"
    rows = {"difference": escape(diff.text), "weights": escape(report["weights"]), "image": escape(report["image"])}
    if first is not None:
        layer = "" if first["layer"] is None else f"layer {first['layer']}, "
        kind = kind_of(first["unit"])
        rows["unit"] = f"{first['unit']}: {first['unit_title']}"
        rows["where"] = f"{layer}step {first['step']}" + (f", {first['checkpoint']}" if first["checkpoint"] else "")
        head = "" if first["head"] is None else f"head {first['head']}, "
        rows["place"] = f"{head}token {first['token']}" + ("" if first["channel"] is None else
                                                         f", {kind} {first['channel']}")
        if first["golden"] is not None:
            rows[who] = _integer(first["hardware"], first["real"]["hardware"])
            rows["golden model"] = _integer(first["golden"], first["real"]["golden"])
            apart = first["hardware"] - first["golden"]
            rows["apart"] = _integer(apart, first["real"]["difference"], "+")
            rows["meaning"] = escape(first["real"]["quantity"])
        if first["cycle"] is not None:
            rows["word" if diff.run.engine == "hls" else "cycle"] = f"{first['cycle']:,}"
    if report["waveform"]:
        rows["waveform"] = escape(report["waveform"])
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _integer(value: int, real: float | None, sign: str = "") -> str:
    return f"{value:{sign}}" + ("" if real is None else f"  ({real:{sign}.6g})")


def _near(near: Window, kind: str) -> Table:
    table = Table(title=f"around it, by token (rows) and {kind}: golden model, and where it differs the other",
                  title_justify="left")
    table.add_column("", justify="right")
    for channel in near.channels:
        table.add_column(str(channel), justify="right")
    for row, token in enumerate(near.tokens):
        cells = []
        for golden, other, written in zip(near.golden[row], near.hardware[row], near.written[row], strict=True):
            cell = str(golden)
            if not written:
                cell += " [yellow]missing[/]"
            elif golden != other:
                cell += f" [bold red]{other}[/]"
            cells.append(cell)
        table.add_row(str(token), *cells)
    return table


def _checkpoints(report: dict[str, Any]) -> Table:
    found = report["checkpoints"]
    more = f"; the first {SHOWN}" if len(found) > SHOWN else ""
    table = Table(title=f"{len(found)} of {report['checkpoints_compared']} checkpoints differ{more}",
                  title_justify="left")
    table.add_column("checkpoint")
    for heading in ("integers", "wrong", "missing", "tokens", "channels", "most apart"):
        table.add_column(heading, justify="right")
    for row in found[:SHOWN]:
        table.add_row(row["checkpoint"], *(f"{row[key]:,}" for key in (
            "integers", "wrong", "missing", "tokens", "channels", "largest_difference")))
    return table
