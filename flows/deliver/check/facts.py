"""What the stand-ins of the vendor's tools know of a deliverable, from its Verilog and its parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from boards.board import Board, Memory
from flows.contracts.errors import ConfigError
from flows.contracts.resources import Resources
from flows.deliver.floorplan import CORE, instances
from flows.deliver.ports import infer_buses, module_ports
from flows.deliver.render import ip_registers
from flows.deliver.shells import INSTANCE, shell_of


def read_params(folder: Path) -> dict[str, Any]:
    """``params.json`` of a deliverable.

    Raises
    ------
    ConfigError
        When there is none, or it is damaged.
    """
    path = folder / "params.json"
    try:
        params = json.loads(path.read_text())
        board_of(params)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder} is no folder of 'sievit verilog --board' ({type(error).__name__}: {error})"
                          ) from None
    return params


def board_of(params: dict[str, Any]) -> Board:
    """The board that a deliverable was made for."""
    facts = dict(params["board"])
    facts["device"] = Resources(**facts["device"])
    facts["slrs"] = tuple(Resources(**slr) for slr in facts["slrs"])
    facts["memories"] = tuple(Memory(**memory) for memory in facts["memories"])
    return Board(**facts, sources={})


def tool_facts(folder: Path, params: dict[str, Any], faults: Iterable[str]) -> dict[str, Any]:
    """Facts for ``vivado_stub.tcl``; ports and cells come from the Verilog, the rest from ``params.json``."""
    board, top = board_of(params), params["kernel"]
    shell = shell_of(board)
    verilog = (folder / "rtl" / f"{top}.v").read_text()
    ports = module_ports(verilog, top)
    buses = infer_buses(ports)
    cells = ["top", CORE, *(f"top/{name}" for name in instances(verilog, f"{top}.top")),
             *(f"{CORE}/{name}" for name in instances(verilog, f"{top}.top.core"))]
    clock_mhz = params["interfaces"]["clock_mhz"]
    return {
        "part": board.part, "board_part": board.board_part or "", "top": top, "instance": INSTANCE,
        "slrs": len(board.slrs), "bitstream": shell.bitstream, "clock_mhz": clock_mhz, "period": 1000 / clock_mhz,
        "control_base": "" if board.control_base is None else board.control_base,
        "ps_port": (board.ps_port or "") if shell.name in ("zynq7", "zynqmp") else "",
        "ports": {port.name: {"direction": port.direction, "width": port.width} for port in ports},
        "buses": {name: {"kind": bus.kind, "mode": bus.mode} for name, bus in buses.items()},
        "cells": cells, "faults": list(faults),
        "registers": [word for entry in ip_registers(kernel=shell.kernel) for word in (entry["name"], entry["offset"])],
    }


def tcl_value(value: Any) -> str:
    """Python's dictionaries, lists, numbers and plain words as a Tcl list."""
    if isinstance(value, dict):
        value = [part for item in value.items() for part in item]
    if isinstance(value, list | tuple):
        return " ".join("{" + tcl_value(item) + "}" for item in value)
    return str(value)
