"""The command ``sievit sweep``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.runs import find
from flows.sweep import run as run_module
from tests.flows.pictures import invoke

SMALL = ("--clusters", "1,2", "--workers", 1)


@pytest.fixture(autouse=True)
def fixture_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIEVIT_RUNS", str(tmp_path / "runs"))


def test_table_file_and_store(artifact_file: Path, tmp_path: Path) -> None:
    result = invoke("sweep", "--artifact", artifact_file, *SMALL, "--boards", "none,kv260", "--keep-tokens", "1,.5",
                    "--groups", 1, "--set", "banks=4,8", "--out",
                    tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out.json").read_text())
    (run,) = find()
    assert run.kind == "sweep" and run.content == content and run.name.startswith("sweep-random-")
    assert len(content["points"]) == 16 and content["grid"]["hardware"]["banks"] == [4, 8]
    assert "Pareto set: latency against proxy" in result.stdout and "latency against resources" in result.stdout
    fastest = min((point for point in content["points"] if point["pareto"]), key=lambda point: point["milliseconds"])
    assert "weights of small.safetensors: synthetic (seed 8)" in result.stdout
    assert f"{fastest['milliseconds']:.3f}" in result.stdout and "--images measures accuracy" in result.stdout


def test_file_options_and_json(artifact_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(f"networks: {{artifact: {artifact_file}}}\nhardware: {{clusters: [1, 2, 3], groups: [1]}}\n"
                    "search: {method: random, samples: 2}\n")
    result = invoke("sweep", "--config", file, "--workers", 1, "--json", "--limit", "lut=.5", "--groups", 2,
                    "--samples", 3, "--boards", "kv260")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert sorted(point["clusters"] for point in content["points"]) == [1, 2, 3]
    assert {point["groups"] for point in content["points"]} == {2}
    assert content["grid"]["limits"] == {"lut": .5} and content["grid"]["search"]["samples"] == 3


def test_a_mismatch_fails(artifact_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "simulate", lambda task: [{
        "cycles": 9, "useful_macs": 1, "peak_macs_per_cycle": 1, "bit_exact": False, "mismatch": "residual: token 3",
        "run": "x"}])
    result = invoke("sweep", "--artifact", artifact_file, *SMALL, "--simulate", 1)
    assert result.exit_code == 1
    assert "mismatch: small.safetensors: residual: token 3" in result.stderr


@pytest.mark.parametrize(("options", "message"), [
    (("--boards", "nosuch"), "unknown board 'nosuch'"),
    (("--models", "vit_micro", "--keep-blocks", 2), "sweep: networks.0.keep_blocks.0: input should be less than"),
    (("--keep-tokens", "some"), "--keep-tokens takes numbers such as 1,2, not 'some'"),
    (("--clusters", "1,x"), "--clusters takes numbers such as 1,2, not '1,x'"),
    (("--set", "banks"), "--set banks: give a field and its values"),
    (("--set", "bank=2"), "sweep: no hardware field 'bank'; known: "),
    (("--method", "clever"), "sweep: search.method: input should be 'grid', 'random' or 'halving'"),
    (("--method", "random"), "sweep: search: method random needs samples"),
    (("--limit", "lut"), "--limit lut: write resource=share, as lut=.6"),
    (("--simulate", -1), "sweep: simulate: input should be greater than or equal to 0"),
    (("--workers", 0), "--workers must be at least 1, not 0"),
    (("--weights", "w.pth", "--models", "deit_t,deit_s"), "--weights are of one model; name it with --models"),
    (("--weights", "absent.pth", "--models", "deit_t"), "--weights: no such file: absent.pth"),
    (("--artifact", "absent"), "artifact: no such file: absent"),
    (("--artifact", "absent", "--keep-blocks", .5), "--keep-blocks does not change an artifact"),
    (("--config", "absent.yaml"), "cannot read sweep file absent.yaml"),
])
def test_refuses(options: tuple[object, ...], message: str) -> None:
    result = invoke("sweep", *options)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and lines[0].startswith(f"error: {message}"), result.stderr


def test_images_have_to_be_there(artifact_file: Path, tmp_path: Path) -> None:
    result = invoke("sweep", "--artifact", artifact_file, *SMALL, "--images", tmp_path / "absent.npz")
    assert result.exit_code == 2 and "error: no data pack at" in result.stderr
