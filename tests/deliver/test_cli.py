"""The commands of the deliverable."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows import cli
from flows.contracts.artifact import SparseVit, save_artifact
from flows.contracts.hardware import HardwareConfig
from tests.deliver.conftest import MakeFolder

FAKE_VIVADO = """#!/bin/sh
for word in "$@"; do script=$last; last=$word; case $script in -source) echo "$word" >> calls;; esac; done
case "$*" in
*package_ip*) mkdir -p ip && touch ip/component.xml;;
*block_design*) mkdir -p build/bd && touch build/bd/vit_accel.xpr;;
*build_bitstream*) echo "ERROR: timing is not met" >&2; exit 1;;
esac
"""


def invoke(*arguments: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(name="artifact_file")
def fixture_artifact_file(tmp_path: Path, network: SparseVit) -> Path:
    """The small network in a file."""
    path = tmp_path / "small.safetensors"
    save_artifact(network, path)
    return path


def small(tiny: HardwareConfig) -> list[str]:
    """Options that give the smallest accelerator, as the other tests have it."""
    fields = tiny.to_dict()
    del fields["clock_mhz"], fields["clusters"]
    return ["--clusters", str(tiny.clusters), *(word for name, value in fields.items()
                                                for word in ("--set", f"{name}={value}"))]


def test_verilog_for_a_board(artifact_file: Path, tiny: HardwareConfig, tmp_path: Path) -> None:
    """Explicit sizes and the board's clock; the folder passes its check."""
    out = tmp_path / "out"
    result = invoke("verilog", "--board", "kv260", "--artifact", artifact_file, "--out", out, *small(tiny))
    assert result.exit_code == 0, result.output
    assert f"configuration {tiny.config_hash():08x}" in result.stdout.replace("\n", " ")
    params = json.loads((out / "params.json").read_text())
    assert params["board"]["name"] == "kv260"
    assert params["interfaces"]["clock_mhz"] == 200.0
    checked = invoke("check-tcl", out, "--json")
    assert checked.exit_code == 0, checked.output
    assert {item["target"]: item["good"] for item in json.loads(checked.stdout)} == dict.fromkeys(
        ("ip", "ooc", "bd", "bitstream", "check_timing"), True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "small.safetensors"]


def test_verilog_alone_stays(artifact_file: Path, tiny: HardwareConfig, tmp_path: Path) -> None:
    """Without a board: Verilog and sizes, nothing else."""
    out = tmp_path / "plain"
    result = invoke("verilog", "--artifact", artifact_file, "--out", out, *small(tiny))
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["hardware.json", "vit_accel.v"]
    assert json.loads((out / "hardware.json").read_text())["config_hash"] == f"{tiny.config_hash():08x}"


@pytest.mark.parametrize(("arguments", "message"), [
    (["--board", "zx81"], "zx81"),
    (["--board", "zcu102", "--set", "max_tokens=16"], "raise hardware.max_tokens"),
    (["--board", "zcu102", "--clusters", "99"], "hardware.clusters must be 1 to 16"),
    (["--board", "zcu102", "--clusters", "1", "--image", "missing.jpg"], "no image file at missing.jpg"),
    (["--keep-blocks", ".5"], "options of the model and --image need --board"),
    (["--model", "deit_s"], "options of the model and --image need --board"),
])
def test_bad_options(artifact_file: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    """One line, exit 2, no folder."""
    result = invoke("verilog", "--artifact", artifact_file, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "out").exists()


def test_foreign_folder(artifact_file: Path, tmp_path: Path) -> None:
    """Refused before anything is computed."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    result = invoke("verilog", "--board", "zcu102", "--artifact", artifact_file, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "was not made by sievit" in result.stderr.replace("\n", " ")


def test_check_tells_what_is_wrong(folder: MakeFolder) -> None:
    """A broken script: exit 1 and the reason."""
    out = folder("zcu102")
    script = out / "tcl" / "block_design.tcl"
    script.write_text(script.read_text().replace("ps/S_AXI_HP0_FPD", "ps/S_AXI_HP7_FPD"))
    result = invoke("check-tcl", out)
    assert result.exit_code == 1
    assert "make ooc: good" in result.stdout
    assert "make bd: FAILED" in result.stdout
    assert "no interface ps/S_AXI_HP7_FPD" in result.stderr


@pytest.mark.parametrize(("board", "missing"), [
    ("zcu102", "not on the PATH: vivado; source the settings64.sh of Vivado"),
    ("u250", "not on the PATH: vivado, v++, xclbinutil"),
    ("kc705", "has no processing system"),
])
def test_bitstream_without_tools(board: str, missing: str, pristine: MakeFolder, tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, in one line; make says the same."""
    (tmp_path / "make").symlink_to(shutil.which("make") or "make")
    monkeypatch.setenv("PATH", str(tmp_path))
    result = invoke("bitstream", pristine(board))
    assert result.exit_code == 2
    assert missing in result.stderr
    assert result.stderr.count("\n") == 1


def test_bitstream_runs_vivado(folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Vivado on the PATH its scripts run in order, and its failure is ours."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "vivado").write_text(FAKE_VIVADO)
    (tools / "vivado").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    out = folder("zcu102")
    result = invoke("bitstream", out, "--jobs", 3)
    assert result.exit_code == 1
    assert "error: no bitstream" in result.stderr
    scripts = [f"tcl/{name}.tcl" for name in ("package_ip", "block_design", "build_bitstream")]
    assert (out / "calls").read_text().split() == scripts
    assert invoke("bitstream", out, "--jobs", 0).exit_code == 2


