"""Evaluation: three networks side by side, on packs and folders, in any number of processes."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from algo.export import export
from flows import cli
from flows.accuracy import Evaluation, choose_images, labels_for, measure, measure_artifact, ranking, rows_of
from flows.contracts.artifact import SparseVit, save_artifact
from flows.contracts.errors import ConfigError, ImageError
from flows.contracts.images import load_folder, open_images
from flows.contracts.preprocess import patch_codes
from flows.cost import cost_of
from flows.eval_report import report_of
from flows.eval_workers import CHUNK, Task, evaluate
from flows.wilson import wilson
from sim.golden.network import Golden

OPTIONS: dict[str, Any] = {"calibration_images": 8, "keep_blocks": 0.5}


def picture(seed: int, edge: int = 40) -> Image.Image:
    """Coarse random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC)


@pytest.fixture(name="pack", scope="module")
def fixture_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 images of 10 classes: more than two chunks."""
    path = tmp_path_factory.mktemp("images") / "pack.npz"
    files = []
    for index in range(20):
        buffer = io.BytesIO()
        picture(index).save(buffer, "JPEG")
        files.append(np.frombuffer(buffer.getvalue(), np.uint8))
    np.savez(path, jpeg=np.concatenate(files), offset=np.cumsum([0, *map(len, files)]).astype(np.int64),
             label=(np.arange(20) % 10).astype(np.int16), names=np.array([str(index) for index in range(10)]))
    return path


@pytest.fixture(name="artifact", scope="module")
def fixture_artifact() -> SparseVit:
    return export("vit_micro", **OPTIONS)


@pytest.fixture(name="result", scope="module")
def fixture_result(pack: Path) -> Evaluation:
    return measure("vit_micro", pack, workers=1, clusters=2, **OPTIONS)


def test_three_networks_side_by_side(result: Evaluation) -> None:
    assert result.images == 20 and list(result.rows) == ["float", "fake", "integer"]
    assert result.differing_logits == 0
    fake, integer = result.rows["fake"], result.rows["integer"]
    assert dataclasses.asdict(fake) == dataclasses.asdict(integer)
    assert result.rows["float"].agreement == 1.0 and 0.3 < (integer.agreement or 0) <= 1
    for row in result.rows.values():
        assert row.top1_interval[0] < row.top1 < row.top1_interval[1] or row.top1 in row.top1_interval
        assert row.top1_interval == wilson(round(20 * row.top1), 20)
        assert row.top5 >= row.top1
    assert result.tokens == (17, 14, 12, 10)


def test_the_number_of_processes_changes_nothing(result: Evaluation, pack: Path) -> None:
    again = measure("vit_micro", pack, workers=2, clusters=2, **OPTIONS)
    one, other = report_of(result), report_of(again)
    assert min(report.pop("integer_images_per_second") for report in (one, other)) > 0
    assert one == other


def test_logits_are_those_of_the_golden_model(artifact: SparseVit, pack: Path) -> None:
    data, chosen = open_images(pack), [1, 5, 17]
    answers = evaluate(Task(pack, artifact), chosen, 1)
    codes = np.stack([patch_codes(data.image(index), artifact, resize=False) for index in chosen])
    assert np.array_equal(answers.logits["integer"], Golden(artifact).classify(codes))
    assert answers.tokens.tolist() == [[14, 12, 10]] * 3
    assert len(data) > 2 * CHUNK


def test_artifact_alone(artifact: SparseVit, result: Evaluation, pack: Path) -> None:
    """Same integers, no other networks."""
    alone = measure_artifact(artifact, pack, workers=1, clusters=2)
    assert list(alone.rows) == ["integer"] and alone.differing_logits is None
    assert alone.rows["integer"].top1 == result.rows["integer"].top1 and alone.rows["integer"].agreement is None
    assert alone.cost == result.cost


def test_artifact_needs_no_torch(artifact: SparseVit, pack: Path, tmp_path: Path) -> None:
    """In a process where importing torch fails."""
    import subprocess

    save_artifact(artifact, tmp_path / "a.safetensors")
    code = ("import sys; sys.modules['torch'] = None; from flows.cli import main; "
            f"sys.argv = ['sievit', 'eval', {str(pack)!r}, '--artifact', {str(tmp_path / 'a.safetensors')!r}, "
            "'--workers', '1', '--images', '3', '--json']; main()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["images"] == 3 and content["networks"].keys() == {"integer"}


def test_cost(artifact: SparseVit) -> None:
    """Fewer blocks and tokens cost less; dense is what the numbers are measured against."""
    sparse, dense = cost_of(artifact, 2), cost_of(export("vit_micro", calibration_images=4, keep_blocks=1.0,
                                                         keep_tokens=1.0), 2)
    assert dense.macs == dense.dense_macs == sparse.dense_macs
    # by hand: 17 tokens (16 patches), width 64, hidden 256, 3 blocks
    assert dense.macs == 16 * 192 * 64 + 3 * (17 * 64 * (192 + 64 + 512) + 2 * 17 * 17 * 64) + 64 * 10
    assert sparse.macs < 0.5 * dense.macs and sparse.cycles < dense.cycles
    from algo.models import build_model

    assert dense.parameters == sum(parameter.numel() for parameter in build_model("vit_micro").parameters())
    assert dense.parameters - sparse.parameters == 3 * (64 * 768) // 2
    assert dense.weight_bytes == 64 * 192 + 3 * 64 * 768 + 16 * 64
    short = cost_of(dataclasses.replace(artifact, weight_bits={"fc1": 4}), 2)
    assert sparse.weight_bytes - short.weight_bytes == 3 * 64 * 256 // 2 // 2
    assert cost_of(artifact, 1).cycles > sparse.cycles


def test_cost_follows_the_tokens_of_a_threshold(pack: Path) -> None:
    result = measure("vit_micro", pack, workers=1, drop_mode="threshold", keep_tokens=0.6, **OPTIONS)
    assert result.tokens[1] != round(result.tokens[1]) and result.tokens[3] < 14
    artifact = export("vit_micro", drop_mode="threshold", keep_tokens=0.6, **OPTIONS)
    most = cost_of(artifact)
    assert result.cost.macs < most.macs and result.cost.cycles < most.cycles


def test_rows() -> None:
    logits = np.eye(6)[[0, 1, 2, 3]]
    other = np.eye(6)[[0, 1, 5, 5]] * 100
    rows = rows_of({"float": logits, "integer": other}, np.array([0, 2, 2, 5]))
    assert (rows["float"].top1, rows["integer"].top1, rows["integer"].agreement) == (0.5, 0.5, 0.5)
    assert rows["integer"].top1_interval == wilson(2, 4)
    assert ranking(np.array([[1, 3, 3, 0, 2, 2]])).tolist() == [[1, 2, 4, 5, 0]]


def make_folder(path: Path, names: tuple[str, ...]) -> Path:
    for label, name in enumerate(names):
        (path / name).mkdir(parents=True)
        for index in range(2):
            picture(10 * label + index, 50).save(path / name / f"{index}.png")
    (path / "notes.txt").write_text("no image")
    return path


def test_folder(tmp_path: Path, artifact: SparseVit) -> None:
    """Subfolders named as classes stand for them, in whatever order; others are counted."""
    named = load_folder(make_folder(tmp_path / "named", ("3", "7", "1")))
    assert len(named) == 6 and named.names == ("1", "3", "7") and named.resize
    assert labels_for(artifact, named).tolist() == [1, 1, 3, 3, 7, 7]
    counted = load_folder(make_folder(tmp_path / "counted", ("cat", "ant")))
    assert labels_for(artifact, counted).tolist() == [0, 0, 1, 1]
    result = measure_artifact(artifact, tmp_path / "named", workers=1)
    assert result.images == 6
    with pytest.raises(ImageError, match="no images in subfolders of"):
        open_images(tmp_path / "named" / "1")


def test_labels_have_to_fit(tmp_path: Path, artifact: SparseVit, pack: Path) -> None:
    names = tuple(f"class{index:02}" for index in range(12))
    with pytest.raises(ConfigError, match="labels up to 11, but vit_micro has 10 classes"):
        measure_artifact(artifact, make_folder(tmp_path, names))
    with pytest.raises(ConfigError, match="--images must be at least 1, not 0"):
        measure_artifact(artifact, pack, images=0)
    unlabelled = dataclasses.replace(open_images(pack), label=np.full(20, -1))  # type: ignore[type-var]
    with pytest.raises(ConfigError, match="some of the images have no label"):
        labels_for(artifact, unlabelled)
    assert choose_images(open_images(pack), 5) == choose_images(open_images(pack), 5) != [0, 1, 2, 3, 4]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["eval", *map(str, arguments)])


def test_command(pack: Path, tmp_path: Path) -> None:
    report = tmp_path / "deep" / "eval.json"
    result = invoke(pack, "--model", "vit_micro", "--workers", 1, "--images", 9, "--weight-bits", 4, "--calibrate",
                    "mse", "--keep-blocks", 0.7, "--keep-tokens", 0.8, "--report", report, "--clusters", 2)
    assert result.exit_code == 0, result.output
    for words in ("fake-quantized", "integer", "95 % interval", "MACs:", "predicted cycles:", "weights packed:",
                  "fake-quantized and integer differ: 0"):
        assert words in result.stdout
    content = json.loads(report.read_text())
    assert content["images"] == 9 and content["differing_logits"] == 0
    assert {"macs", "dense_macs", "parameters", "weight_bytes", "cycles", "milliseconds", "tokens", "networks"} <= set(
        content)


def test_command_json_of_a_dense_network(pack: Path) -> None:
    """What is not asked for is neither pruned nor dropped."""
    result = invoke(pack, "--model", "vit_micro", "--workers", 1, "--images", 2, "--json", "--set", "bus_bits=128")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["macs"] == content["dense_macs"] and content["tokens"] == [17] * 4


def test_a_difference_is_an_error(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake-quantized network that is off by one in one logit."""
    from algo.quant.fake import FakeQuantVit

    original = FakeQuantVit.logit_codes

    def wrong(self: FakeQuantVit, images: Any) -> Any:
        codes = original(self, images).clone()
        codes[0, 3] += 1
        return codes

    monkeypatch.setattr(FakeQuantVit, "logit_codes", wrong)
    result = invoke(pack, "--model", "vit_micro", "--workers", 1, "--images", 2)
    assert result.exit_code == 1
    assert "mismatch: 1 logits of the fake-quantized network are not those" in result.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (["missing.npz"], "no data pack at missing.npz"),
    (["PACK", "--workers", "0"], "--workers must be at least 1, not 0"),
    (["PACK", "--weight-bits", "3"], "weight_bits must be 4 to 8, not 3"),
    (["PACK", "--weight-bits", "many"], "--weight-bits must be a number such as 4"),
    (["PACK", "--calibrate", "best", "--model", "vit_micro"], "unknown calibration method 'best'"),
    (["PACK", "--artifact", "missing.safetensors"], "no artifact at missing.safetensors"),
    (["PACK", "--weights", "missing.pth"], "--weights: no such file: missing.pth"),
    (["PACK", "--set", "speed=9"], "no hardware field 'speed'"),
    (["PACK", "--model", "vit_micro", "--set", "max_tokens=16"], "raise hardware.max_tokens"),
])
def test_bad_input(pack: Path, arguments: list[str], message: str) -> None:
    result = invoke(*[pack if argument == "PACK" else argument for argument in arguments])
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert "Traceback" not in result.output
