"""The Vitis HLS project: its script under a Tcl interpreter in which the tool's commands are stand-ins."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from boards.catalog import board_names, load_board
from flows.contracts.errors import ConfigError
from flows.deliver.check import tcl_interpreter
from flows.hls_folder import Target, project_script, write_hls_folder
from hls_models import build
from tests.accelerator.hardware import FOUR, TWO
from tests.factory import random_artifact
from tests.hls.networks import make_case

needs_tcl = pytest.mark.usefixtures("tcl")

COMMANDS = {
    "open_project": {"-reset": 0}, "set_top": {}, "add_files": {"-tb": 0, "-cflags": 1},
    "open_solution": {"-reset": 0, "-flow_target": 1}, "set_part": {}, "create_clock": {"-period": 1, "-name": 1},
    "config_interface": {"-m_axi_latency": 1, "-m_axi_alignment_byte_size": 1, "-m_axi_max_widen_bitwidth": 1},
    "config_rtl": {"-reset": 1}, "csim_design": {"-clean": 0, "-argv": 1}, "csynth_design": {},
    "cosim_design": {"-argv": 1}, "export_design": {"-rtl": 1, "-format": 1, "-output": 1},
}
"""Commands of the tool that the script may use, their options and how many values each takes (UG1399, Vitis HLS
command reference)."""
STAND_IN = """
proc stand_in {name options values} {
    set rest {}
    for {set i 0} {$i < [llength $values]} {incr i} {
        set word [lindex $values $i]
        if {[string match -* $word]} {
            if {![dict exists $options $word]} { error "$name has no option $word" }
            incr i [dict get $options $word]
            if {$i >= [llength $values]} { error "$name $word lacks a value" }
        } else {
            lappend rest $word
        }
    }
    puts [list $name {*}$values]
}
"""


def run_script(folder: Path, steps: str | None = None) -> list[str]:
    """Commands that ``run_hls.tcl`` gives the tool."""
    procedures = "".join(
        f"proc {name} {{args}} {{ stand_in {name} {{{' '.join(f'{key} {count}' for key, count in options.items())}}} "
        "$args }\n" for name, options in COMMANDS.items())
    wrapper = folder / "stand_in.tcl"
    wrapper.write_text(f"{STAND_IN}{procedures}source {{{folder / 'run_hls.tcl'}}}\n")
    environment = {name: value for name, value in os.environ.items() if name != "SIEVIT_HLS_STEPS"}
    if steps is not None:
        environment["SIEVIT_HLS_STEPS"] = steps
    done = subprocess.run([*tcl_interpreter(), str(wrapper)], capture_output=True, text=True, check=False, timeout=60,
                          env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.splitlines()


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    """A folder for a Zynq board."""
    case = make_case(random_artifact(width=32, heads=1, depth=1, hidden=32, tokens=9, classes=5, seed=5), TWO)
    write_hls_folder(tmp_path, TWO, [case.vector], Target.of(load_board("zcu102")))
    return tmp_path


@needs_tcl
@pytest.mark.parametrize("board", board_names())
def test_every_board(tmp_path: Path, board: str) -> None:
    """The script runs through with all steps; device, clock and kind of export are the board's."""
    known = load_board(board)
    (tmp_path / "run_hls.tcl").write_text(project_script(FOUR, Target.of(known)))
    lines = run_script(tmp_path, "csim csynth cosim export")
    assert f"set_part {known.part}" in lines
    assert f"create_clock -period {1000 / known.clock_mhz:.3f} -name default" in lines
    kernel = known.shell == "alveo"
    assert any(line.startswith("open_solution") and line.endswith("vitis" if kernel else "vivado") for line in lines)
    assert any(line.startswith("export_design") and ("-format xo" in line) == kernel for line in lines)
    names = [line.split()[0] for line in lines]
    assert names.index("csim_design") < names.index("csynth_design") < names.index("cosim_design")
    assert names.index("cosim_design") < names.index("export_design")


@needs_tcl
def test_steps(folder: Path) -> None:
    """Only the steps that are asked for; a misspelt one is an error before anything runs."""
    def steps(value: str | None) -> list[str]:
        return [line.split()[0] for line in run_script(folder, value) if "_design" in line]

    assert steps(None) == ["csim_design", "csynth_design"]
    assert steps("cosim") == ["cosim_design"]
    with pytest.raises(RuntimeError, match="no step 'csinth'; steps are csim csynth cosim export"):
        run_script(folder, "csim csinth")


@needs_tcl
def test_stand_ins_refuse(folder: Path) -> None:
    """The stand-ins know the options: a misspelt one does not pass."""
    script = (folder / "run_hls.tcl").read_text()
    (folder / "run_hls.tcl").write_text(script.replace("-flow_target", "-flowtarget"))
    with pytest.raises(RuntimeError, match="open_solution has no option -flowtarget"):
        run_script(folder)


@needs_tcl
def test_files_of_the_script_exist(folder: Path) -> None:
    """Everything that it adds, and the vectors, lie in the folder."""
    lines = run_script(folder, "csim")
    added = [word.strip("{}") for line in lines if line.startswith(("add_files", "csim_design"))
             for word in line.split() if word.startswith(str(folder)) and "-I" not in word]
    assert len(added) == 3
    assert all(Path(word).exists() for word in added)
    assert {path.name for path in (folder / "vectors").iterdir()} == {"memory.bin", "job.json", "records.bin"}


def test_the_folder_is_complete(folder: Path) -> None:
    """Its sources compile and run without the rest of the project: everything they include is there."""
    command = ["g++", build.STANDARD, *build.QUICK, "-Wno-unknown-pragmas", f"-I{folder / 'src'}",
               f"-I{build.NATIVE}", *(str(folder / "src" / name) for name in ("vit_accel.cpp", "testbench.cpp")),
               "-o", str(folder / "bench")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    done = subprocess.run([folder / "bench", folder / "vectors"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("PASS: 1 frames, 1 images")


def test_equal_folders(tmp_path: Path) -> None:
    """Equal arguments give equal text."""
    target = Target.of(load_board("u250"))
    assert project_script(TWO, target) == project_script(TWO, target)
    assert str(tmp_path) not in project_script(TWO, target)


def test_refused_clock() -> None:
    """A clock of 0 MHz has no period."""
    with pytest.raises(ConfigError, match="target clock must be above 0 MHz, not 0"):
        project_script(TWO, Target("board", "part", 0.0))
