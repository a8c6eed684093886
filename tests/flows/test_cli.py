"""The command line: what it prints, what it writes, and how it refuses bad input."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows import cli, sim_flow
from flows.compile import Program, compile_program
from flows.contracts.artifact import SparseVit
from flows.contracts.hardware import HardwareConfig
from sim.accelerator import build_accelerator

KEYS = {"bit_exact", "checkpoints", "cycles", "lower_bound_cycles", "useful_macs", "peak_macs_per_cycle", "utilization",
        "stall_cycles", "tokens", "top5", "golden_top5", "weights", "hardware", "wall_seconds",
        "breakdown"}


@pytest.fixture(autouse=True)
def fixture_quick_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compile the simulator as the other tests do, so that it is built once; keep cached files out of the project."""
    monkeypatch.setattr(sim_flow, "build_accelerator",
                        functools.partial(build_accelerator, assertions=True, optimize="-O1"))
    monkeypatch.setattr("flows.cache.CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


def invoke(*arguments: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def small_sim(artifact_file: Path, *arguments: object) -> Result:
    """Simulate the small network."""
    return invoke("sim", "--artifact", artifact_file, "--clusters", 2, "--bandwidth", 0, *arguments)


def test_sim_writes_a_report(artifact_file: Path) -> None:
    """A good run: exit 0, a table, and a report with every promised key."""
    result = small_sim(artifact_file, "--report", "deep/report.json")
    assert result.exit_code == 0, result.output
    for words in ("bit exact", "useful MACs / peak", "cycles / lower bound", "tokens alive", "stall cycles", "weights",
                  "where the cycles go", "barrier between steps"):
        assert words in result.stdout
    report = json.loads(Path("deep/report.json").read_text())
    assert set(report) >= KEYS
    assert report["bit_exact"] is True
    assert report["mismatch"] == ""
    assert report["checkpoints"] == 3 + 2 * 10
    assert report["top5"] == report["golden_top5"]
    assert [entry["logit"] for entry in report["top5"]] == sorted((e["logit"] for e in report["top5"]), reverse=True)
    assert report["tokens"] == [17, 11, 11]
    assert report["weights"] == "synthetic (seed 8)"
    assert report["lower_bound_cycles"] < report["cycles"]
    assert report["utilization"] == report["useful_macs"] / (512 * report["cycles"])
    assert report["stall_cycles"] == sum(report["stalls"].values())
    assert sum(step["cycles"] for step in report["steps"]) == report["cycles"]
    assert sum(report["breakdown"]["cycles"].values()) == report["cycles"]
    assert 0 < report["breakdown"]["outside_slot_share"] < 1
    assert [step["name"] for step in report["steps"]][0::len(report["steps"]) - 1] == ["embed", "head"]
    assert not list(Path("deep").glob("*.tmp"))


def test_sim_json(artifact_file: Path) -> None:
    """With --json standard output is the report and nothing else."""
    result = small_sim(artifact_file, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["bit_exact"] is True
    assert json.loads(result.stdout) == json.loads(Path("report.json").read_text())


def test_sim_of_some_layers(artifact_file: Path) -> None:
    """--layers runs a part of the network, as a network of its own."""
    result = small_sim(artifact_file, "--layers", "1")
    assert result.exit_code == 0, result.output
    report = json.loads(Path("report.json").read_text())
    assert report["checkpoints"] == 3 + 10
    assert report["tokens"] == [17, 17]


def test_one_flipped_bit_fails(artifact_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight that changes between compiler and hardware: exit 1, the place is named, the report says so."""
    def damaged(artifact: SparseVit, config: HardwareConfig) -> Program:
        program = compile_program(artifact, config)
        # The first weight block of the embedding, found by its own first word.
        block = artifact.embed.weight[:16, :16].tobytes()
        stream = program.stream.tobytes()
        at = stream.find(block[:32])
        assert at > 0
        program.stream[at + 3] ^= 0x10
        return program

    monkeypatch.setattr(sim_flow, "obtain_program", damaged)
    result = small_sim(artifact_file)
    assert result.exit_code == 1
    assert "mismatch: unit R (residual memory), step embed, embed, token" in result.stderr
    report = json.loads(Path("report.json").read_text())
    assert report["bit_exact"] is False
    assert report["checkpoints"] == 0
    assert "channel" in report["mismatch"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--layers", "2..1"], "layers 2..1 are not within 0..1"),
    (["--layers", "1..2"], "layers 1..2 are not within 0..1"),
    (["--layers", "one"], "--layers must be a block or a range such as 0..2, not 'one'"),
    (["--image", "missing.jpg"], "no image file at missing.jpg"),
    (["--image", "no_image.jpg"], "no_image.jpg cannot be read as an image"),
    (["--set", "speed=9"], "no hardware field 'speed'"),
    (["--set", "bus_bits=wide"], "bus_bits takes a number"),
    (["--set", "bus_bits=100"], "hardware.bus_bits must be 128, 256 or 512"),
    (["--set", "max_tokens=16"], "raise hardware.max_tokens"),
    (["--clusters", "0"], "hardware.clusters must be 1 to 16"),
    (["--latency", "0"], "--latency must be at least 1"),
    (["--stall", "100"], "--stall must be 0 to 99 percent"),
    (["--artifact", "missing.safetensors"], "no artifact at missing.safetensors"),
    (["--artifact", "no_image.jpg"], "is not a sievit artifact or is truncated"),
])
def test_bad_input(artifact_file: Path, arguments: list[str], message: str) -> None:
    """One line that says what to do, exit 2, and nothing written."""
    Path("no_image.jpg").write_text("text")
    result = small_sim(artifact_file, *arguments)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in result.output
    assert not Path("report.json").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (["--keep-blocks", "0"], "--keep-blocks must be above 0 and at most 1, not 0.0"),
    (["--keep-tokens", "1.5"], "--keep-tokens must be above 0 and at most 1, not 1.5"),
    (["--weights", "missing.pth"], "--weights: no such file: missing.pth"),
    (["--drop-layers", "3;4"], "--drop-layers must be block numbers such as 3,6,9, not '3;4'"),
    (["--model", "resnet18"], "resnet18"),
])
def test_bad_model_options(arguments: list[str], message: str) -> None:
    """The same for options of the export."""
    for command in (["sim"], ["export", "--out", "out.safetensors"]):
        result = invoke(*command, *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert not Path("out.safetensors").exists()


def test_truncated_weights() -> None:
    """A weights file that is cut short is refused."""
    Path("weights.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{\"a\"")
    result = invoke("sim", "--model", "vit_micro", "--weights", "weights.safetensors")
    assert result.exit_code == 2
    assert "weights.safetensors" in result.stderr


def test_compile(artifact_file: Path) -> None:
    """The schedule is printed per step, and the program file is written."""
    result = invoke("compile", artifact_file, "--out", "program.safetensors", "--clusters", 2)
    assert result.exit_code == 0, result.output
    assert "block1.fc2" in result.stdout
    assert Path("program.safetensors").stat().st_size > 1000
    manifest = json.loads(invoke("compile", artifact_file, "--json").stdout)["manifest"]
    assert manifest["steps"][0]["name"] == "embed"


def test_verilog_is_reproducible(artifact_file: Path) -> None:
    """The same bytes on every run."""
    for folder in ("one", "two"):
        result = invoke("verilog", "--artifact", artifact_file, "--clusters", 2, "--out", folder)
        assert result.exit_code == 0, result.output
    text = Path("one/vit_accel.v").read_bytes()
    assert b"module vit_accel(" in text
    assert text == Path("two/vit_accel.v").read_bytes()
    assert json.loads(Path("one/hardware.json").read_text())["clusters"] == 2


def test_models() -> None:
    """The registry."""
    names = [entry["name"] for entry in json.loads(invoke("models", "--json").stdout)]
    assert {"deit_t", "deit_s", "deit_b", "vit_micro"} <= set(names)


@pytest.mark.parametrize("command", ["sim", "export", "compile", "verilog", "eval", "bench", "models"])
def test_help(command: str) -> None:
    """Every command explains itself."""
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert "--help" in result.stdout
