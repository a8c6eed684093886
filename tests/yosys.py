"""Yosys as a library, in a process of its own: an assertion inside it would end the test run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = "import sys, pyosys.libyosys as ys; design = ys.Design(); [ys.run_pass(c, design) for c in sys.argv[1:]]"
TIMEOUT_SECONDS = 600.0


def run_yosys(*commands: str, directory: Path) -> None:
    """Run Yosys commands in ``directory``; the calling test is skipped without pyosys."""
    pytest.importorskip("pyosys", reason="needs the package pyosys")
    result = subprocess.run([sys.executable, "-c", _SCRIPT, *commands], cwd=directory, capture_output=True, text=True,
                            timeout=TIMEOUT_SECONDS, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


def synthesize(verilog: str, family: str, directory: Path) -> dict[str, Any]:
    """Map the module ``top`` to a Xilinx family (``xcup``, ``xc7``); returns the whole design as Yosys counts it.

    Returns
    -------
    dict
        ``num_cells_by_type`` and ``estimated_num_lc``, submodules included as often as they are used.
    """
    (directory / "top.v").write_text(verilog)
    # Array members leave wires without drivers, on which synth_xilinx stops: purge them first.
    run_yosys("read_verilog top.v", "hierarchy -top top", "proc", "opt_clean -purge",
              f"synth_xilinx -family {family} -top top -noiopad -noclkbuf",
              "tee -o stat.json stat -tech xilinx -json", directory=directory)
    return json.loads((directory / "stat.json").read_text())["design"]
