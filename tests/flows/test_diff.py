"""``sievit diff``: faults put into the program are found where they are."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from flows import cli, hls_flow, sim_flow
from flows.compile import Program, compile_program
from flows.contracts.artifact import SparseVit, load_artifact
from flows.contracts.hardware import HardwareConfig
from flows.contracts.preprocess import load_image, patch_codes
from flows.diff_flow import Diff, diff_of, report_of_diff
from flows.meaning import meaning_of
from flows.runs.saved import SavedRun, load_run
from sim.accelerator import build_accelerator
from sim.golden.layer_norm import layer_norm
from sim.golden.network import Result as GoldenResult
from sim.golden.network import run as golden_run
from sim.golden.network import select_layers
from sim.probes import UNITS
from tests.factory import random_artifact

BLOCK, CHANNEL = 1, 37


@pytest.fixture(autouse=True)
def fixture_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The simulator that other tests have built; everything that is written stays out of the project."""
    monkeypatch.setattr(sim_flow, "build_accelerator",
                        functools.partial(build_accelerator, assertions=True, optimize="-O1"))
    monkeypatch.setattr("flows.cache.CACHE", tmp_path / "cache")
    monkeypatch.setattr("flows.runs.saved.ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)


def faulty(artifact: SparseVit, layer: str, member: str, place: Any, bit: int, block: int = BLOCK) -> SparseVit:
    """The network with one bit of a parameter flipped."""
    blocks = [copy.deepcopy(each) for each in artifact.blocks]
    getattr(getattr(blocks[block], layer), member)[place] ^= 1 << bit
    return dataclasses.replace(artifact, blocks=tuple(blocks))


def compile_wrongly(monkeypatch: pytest.MonkeyPatch, layer: str, member: str, place: Any, bit: int,
                    block: int = BLOCK) -> None:
    """From now on programs are those of the faulty network."""
    def wrong(artifact: SparseVit, config: HardwareConfig) -> Program:
        return compile_program(faulty(artifact, layer, member, place, bit, block), config)

    monkeypatch.setattr(sim_flow, "obtain_program", wrong)
    monkeypatch.setattr(hls_flow, "obtain_program", wrong)


def invoke(*arguments: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def goldens(artifact: SparseVit, *fault: Any) -> tuple[GoldenResult, GoldenResult]:
    """Golden results of the network and of the faulty one."""
    codes = patch_codes(load_image(sim_flow.default_image()), artifact)
    return golden_run(artifact, codes, record=True), golden_run(faulty(artifact, *fault), codes, record=True)


@pytest.mark.parametrize("engine", ["rtl", "hls"])
def test_wrong_multiplier(engine: str, artifact_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit of a requantizer's multiplier: the run fails and says what to do, and that names the place."""
    fault = ("fc1", "mult", CHANNEL, 13)
    compile_wrongly(monkeypatch, *fault)
    failed = invoke("sim", "--artifact", artifact_file, "--clusters", 2, "--engine", engine)
    assert failed.exit_code == 1
    folder = failed.stderr.rpartition("to look into it: sievit diff ")[2].split("\n")[0]
    assert Path(folder, "run.json").is_file()

    shown = invoke("diff", folder, "--json")
    assert shown.exit_code == 1, shown.stderr
    report = json.loads(shown.stdout)
    right, wrong = (result.checkpoints for result in goldens(load_artifact(artifact_file), *fault))
    first, name = report["first"], f"block{BLOCK}.hidden"
    token = first["token"]
    assert (first["unit"], first["step"], first["checkpoint"], first["channel"], first["layer"], first["head"]) == (
        "A", f"block{BLOCK}.fc1", name, CHANNEL, BLOCK, None)
    assert first["golden"] == right[name][token, CHANNEL] != first["hardware"] == wrong[name][token, CHANNEL]
    assert f"token {token}, channel {CHANNEL}: " in report["mismatch"] and report["engine"] == engine
    assert first["cycle"] > 0
    # Exactly the checkpoints that a wrong golden model has wrong, as often and in the order of execution.
    differing = {each: int((right[each] != wrong[each]).sum()) for each in right if (right[each] != wrong[each]).any()}
    assert {row["checkpoint"]: row["wrong"] for row in report["checkpoints"]} == differing
    assert [row["checkpoint"] for row in report["checkpoints"]] == [name, f"block{BLOCK}.mlp", "norm", "logits"]
    assert report["checkpoints"][0]["channels"] == 1
    near = report["near"]
    at = near["tokens"].index(token), near["channels"].index(CHANNEL)
    assert near["hardware"][at[0]][at[1]] == first["hardware"] and near["golden"][at[0]][at[1]] == first["golden"]
    assert np.array_equal(near["golden"], right[name][np.ix_(near["tokens"], near["channels"])])
    assert np.array_equal(near["hardware"], wrong[name][np.ix_(near["tokens"], near["channels"])])

    table = invoke("diff", folder)
    assert table.exit_code == 1
    for words in ("first difference", f"layer {BLOCK}, step block1.fc1", str(first["golden"]), "4 of 23 checkpoints"):
        assert words in table.stdout
    assert ("word" if engine == "hls" else "cycle") in table.stdout


def test_run_anew_in_a_later_layer(artifact_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder it runs what the options say; layers are counted in the whole network."""
    compile_wrongly(monkeypatch, "qkv", "bias", 64 + 5, 15, 0)
    arguments = ("diff", "--artifact", artifact_file, "--clusters", 2, "--engine", "hls", "--json")
    whole = json.loads(invoke(*arguments).stdout)["first"]
    assert (whole["checkpoint"], whole["channel"], whole["layer"]) == ("block0.key", 5, 0)
    part = json.loads(invoke(*arguments, "--layers", 1).stdout)["first"]
    assert (part["checkpoint"], part["channel"], part["layer"]) == ("block0.key", 5, 1)
    assert part["real"]["hardware"] is None and "folded into the weights" in part["real"]["quantity"]


def test_no_difference(artifact_file: Path) -> None:
    """A good run that was kept: exit 0."""
    kept = invoke("sim", "--artifact", artifact_file, "--clusters", 2, "--engine", "hls", "--run-dir", "good")
    assert kept.exit_code == 0 and "run: good" in kept.stdout
    shown = invoke("diff", "good")
    assert shown.exit_code == 0 and "no difference: 23 checkpoints are equal" in shown.stdout
    assert json.loads(invoke("diff", "good", "--json").stdout)["equal"] is True


@pytest.fixture(name="good_folder", scope="module")
def fixture_good_folder(artifact_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run without differences is."""
    folder = tmp_path_factory.mktemp("good")
    result = invoke("sim", "--artifact", artifact_file, "--clusters", 2, "--engine", "hls", "--run-dir", folder,
                    "--report", folder / "report.json")
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(name="good")
def fixture_good(good_folder: Path) -> SavedRun:
    """A run without differences."""
    return load_run(good_folder)


def test_code_of_the_document(good_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines of Python in docs/debugging.md do what they say."""
    Path("out").mkdir()
    shutil.copytree(good_folder, "out/run")
    text = (Path(cli.__file__).parent.parent / "docs" / "debugging.md").read_text()
    block = text[text.index("```python\n") + len("```python\n"):].split("```")[0]
    exec(compile(block, "debugging.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "embed 0 0" and len(lines) == 23


def changed(run: SavedRun, unit: str, step: str, change: Any) -> Diff:
    """The difference after a change of the records of a unit in a step."""
    records = run.records.copy()
    places = np.flatnonzero((records["unit"] == UNITS[unit]) & (records["step"] == run.steps.index(step)))
    assert places.size
    return diff_of(dataclasses.replace(run, records=change(records, places)))


def test_missing_word(good: SavedRun) -> None:
    """A word that never came has a place and no integer of the hardware's."""
    diff = changed(good, "KV", "block0.qkv", lambda records, places: np.delete(records, places[7]))
    report = report_of_diff(diff)
    first = report["first"]
    assert (first["cycle"], first["hardware"], first["golden"], first["real"]["difference"]) == (None, None, None, None)
    assert [(row["checkpoint"], row["wrong"], row["missing"]) for row in report["checkpoints"]] == [
        (first["checkpoint"], 0, 16)]
    row = report["near"]["hardware"][report["near"]["tokens"].index(first["token"])]
    assert row[report["near"]["channels"].index(first["channel"])] is None


def test_score_of_a_head(good: SavedRun) -> None:
    """Scores have a head and a key."""
    def flip(records: np.ndarray, places: np.ndarray) -> np.ndarray:
        at = places[(records["column"][places] >= 2) & (records["token"][places] == 4)][0]
        records["data"][at, 3] ^= 2
        return records

    first = report_of_diff(changed(good, "S", "block1.score", flip))["first"]
    assert (first["checkpoint"], first["token"], first["channel"] % 16) == ("block1.score", 4, 3)
    assert first["head"] == 1 and abs(first["hardware"] - first["golden"]) == 2


def test_output_buffer(good: SavedRun) -> None:
    """Logits that only the output buffer has wrong."""
    logits = good.logits.copy()
    logits[3] += 1
    diff = diff_of(dataclasses.replace(good, logits=logits))
    assert diff.first is None and "output buffer, class 3" in diff.text
    assert report_of_diff(diff)["checkpoints"] == []


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda folder: (folder / "run.json").unlink(), "holds no run; 'sievit sim --run-dir"),
    (lambda folder: (folder / "run.npz").write_bytes(b"no"), "is damaged .* run the simulation again"),
    (lambda folder: (folder / "artifact.safetensors").write_bytes(b"no"), "artifact.safetensors"),
])
def test_damaged_folder(spoil: Any, message: str, artifact_file: Path) -> None:
    """One line, exit status 2."""
    invoke("sim", "--artifact", artifact_file, "--clusters", 2, "--engine", "hls", "--run-dir", "run")
    spoil(Path("run"))
    result = invoke("diff", "run")
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    assert re.search(message, result.stderr)


def test_unknown_engine() -> None:
    """A misspelt engine is refused."""
    result = invoke("diff", "--engine", "verilog")
    assert result.exit_code == 2 and "--engine must be rtl or hls" in result.stderr


def test_meaning() -> None:
    """Real values are those of the formulas that made the codes."""
    scales = {"residual": 0.001, "logits": 0.01, "blocks.0.score": 0.05, "blocks.1.score": 0.25,
              "blocks.0.hidden": 0.02}
    artifact = dataclasses.replace(random_artifact(depth=2), scales=scales)
    assert meaning_of(artifact, "block1.mlp", 3).value(-1500) == pytest.approx(-1.5)
    assert meaning_of(artifact, "embed", 0).difference(30, 20) == pytest.approx(0.01)
    assert meaning_of(artifact, "logits", 0).value(7) == pytest.approx(0.07)
    assert meaning_of(artifact, "block1.score", 0).value(4) == pytest.approx(1.0)
    assert meaning_of(select_layers(artifact, 1, 1), "block0.score", 0).value(4) == pytest.approx(1.0)
    hidden = meaning_of(artifact, "block0.hidden", 0)
    assert hidden.value(5) is None and hidden.difference(5, 3) == pytest.approx(0.04)
    assert meaning_of(artifact, "block1.hidden", 0).difference(5, 3) is None
    assert meaning_of(dataclasses.replace(artifact, scales={}), "embed", 0).value(1) is None
    assert meaning_of(artifact, "block0.query", 0).value(1) is None
    # A layer norm's codes lead back to what it normalised.
    x = np.random.default_rng(0).integers(-9000, 9000, (6, artifact.width)).astype(np.int16)
    norm = artifact.blocks[1].norm2
    codes = layer_norm(x, norm)
    real = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    for channel in range(artifact.width):
        meaning = meaning_of(artifact, "block1.norm2", channel)
        inside = np.abs(codes[:, channel]) < 127
        found = np.array([meaning.value(int(code)) for code in codes[:, channel]])
        assert meaning.scale is not None
        assert np.allclose(found[inside], real[inside, channel], atol=0.6 * abs(meaning.scale) + 0.01)
    assert meaning_of(artifact, "norm", artifact.width + 3).scale is None
