"""Runs the Makefile of a deliverable, in a copy, with stand-ins for ``vivado``, ``v++`` and ``xclbinutil``."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.contracts.errors import ConfigError
from flows.deliver.check.facts import board_of, read_params, tcl_value, tool_facts
from flows.deliver.shells import shell_of

HERE = Path(__file__).resolve().parent
FAULTS = ("timing", "unconstrained", "synth_1", "impl_1", "bitstream", "handoff", "ip", "board", "xo", "clock")
"""What can be made to go wrong: timing missed, nothing constrained, a run that fails, no bitstream, no .hwh, IPs that
are not there, the board definition that is not installed, v++ without a result, v++ with a lower clock."""
TIMEOUT = 120


@dataclass(frozen=True)
class Finding:
    """Outcome of one make target.

    Attributes
    ----------
    target : of the Makefile
    status : exit status of make
    errors : lines on the standard error output
    products : files in ``bitstream/`` afterwards
    """

    target: str
    status: int
    errors: str
    products: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether the target was made."""
        return self.status == 0


def tcl_interpreter() -> list[str]:
    """Command that runs a Tcl script: ``tclsh``, or Python's own interpreter of Tcl.

    Raises
    ------
    ConfigError
        When there is neither.
    """
    if (tclsh := shutil.which("tclsh")) is not None:
        return [tclsh]
    try:
        import tkinter  # noqa: F401
    except ImportError:
        raise ConfigError("there is no Tcl interpreter; install with: apt-get install tcl (or python3-tk)") from None
    return [sys.executable, str(HERE / "tcl_of_python.py")]


def targets_of(params: dict[str, Any]) -> tuple[str, ...]:
    """Targets that have to work, in order."""
    return ("ip", "ooc", "bd", "bitstream", "check_timing") if shell_of(board_of(params)).name != "fabric" else (
        "ip", "ooc", "check_timing")


def check_folder(folder: Path | str, *, faults: Iterable[str] = (), targets: Sequence[str] | None = None,
                 variables: Sequence[str] = ("ROUTE=1",)) -> list[Finding]:
    """Make the targets of a deliverable with stand-ins, one after the other until one fails. The folder stays as it is.

    Parameters
    ----------
    folder : made by :func:`flows.deliver.write_folder`
    faults : members of :data:`FAULTS`
    targets : of the Makefile; all that have to work by default
    variables : for make

    Returns
    -------
    one finding per target that was tried

    Raises
    ------
    ConfigError
        When the folder is none of ours, or there is no Tcl interpreter or make.
    """
    folder = Path(folder)
    if unknown := set(faults) - set(FAULTS):
        raise ConfigError(f"no fault {min(unknown)!r}; faults: {', '.join(FAULTS)}")
    if shutil.which("make") is None:
        raise ConfigError("make is missing; install with: apt-get install make")
    params = read_params(folder)
    found: list[Finding] = []
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "folder"
        shutil.copytree(folder, copy, ignore=lambda _, names: {"build", "ip", "reports", "bitstream"} & set(names))
        tools = _tools(Path(scratch), copy, params, faults)
        for target in targets_of(params) if targets is None else targets:
            found.append(_make(copy, target, tools, variables))
            if not found[-1].good:
                break
    return found


def _make(folder: Path, target: str, tools: dict[str, str], variables: Sequence[str]) -> Finding:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-s", target, *(f"{name}={path}" for name, path in tools.items()), *variables]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False,
                          timeout=TIMEOUT)
    products = tuple(sorted(path.name for path in (folder / "bitstream").glob("*")))
    return Finding(target, done.returncode, done.stderr.strip(), products)


def _tools(scratch: Path, folder: Path, params: dict[str, Any], faults: Iterable[str]) -> dict[str, str]:
    """Executables by variable of the Makefile."""
    facts = scratch / "facts"
    facts.write_text(tcl_value(tool_facts(folder, params, faults)))
    commands = {"VIVADO": [*tcl_interpreter(), str(HERE / "vivado_stub.tcl"), str(facts)]}
    if shell_of(board_of(params)).kernel:
        for name in ("VPP", "XCLBINUTIL"):
            commands[name] = [sys.executable, str(HERE / "vitis_stub.py"), name.lower(), str(facts), *faults, "--"]
    paths = {}
    for name, command in commands.items():
        path = scratch / name.lower()
        path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        path.chmod(0o755)
        paths[name] = str(path)
    return paths
