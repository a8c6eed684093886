"""``sievit sim`` with several images: what it prints and reports, and that each image is judged on its own."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows import batch_flow, sim_flow
from flows.compile import Program
from flows.contracts.errors import ConfigError
from flows.sim_flow import SimOptions
from sim.accelerator import Batch, build_accelerator
from tests.flows.test_cli import invoke, small_sim


@pytest.fixture(autouse=True)
def fixture_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The simulator as the other tests build it, and two pictures in a folder of their own."""
    monkeypatch.setattr(sim_flow, "build_accelerator",
                        functools.partial(build_accelerator, assertions=True, optimize="-O1"))
    monkeypatch.setattr("flows.cache.CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(4)
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save("noise.png")
    ramp = np.linspace(0, 255, 48).astype(np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (48, 1)), np.tile(ramp[:, None], (1, 48)), np.full((48, 48), 90, np.uint8)],
                             axis=2)).save("ramp.png")


def read_report() -> dict[str, Any]:
    """The report of the last run."""
    return json.loads(Path("report.json").read_text())


def test_two_pictures_twice() -> None:
    """Threshold mode, so that each image has its own tokens; a row per image, the same as that image's run alone."""
    options = ("sim", "--model", "vit_micro", "--clusters", 2, "--drop-mode", "threshold", "--threshold", 0.06)
    alone = {}
    for name in ("noise.png", "ramp.png"):
        result = invoke(*options, "--image", name)
        assert result.exit_code == 0, result.output
        alone[name] = read_report()
        assert "images" not in alone[name] and "steady_cycles_per_image" not in alone[name]
    assert alone["noise.png"]["tokens"] != alone["ramp.png"]["tokens"]
    assert alone["noise.png"]["useful_macs"] != alone["ramp.png"]["useful_macs"]

    result = invoke(*options, "--image", "noise.png", "--image", "ramp.png", "--repeat", 2)
    assert result.exit_code == 0, result.output
    for words in ("noise.png", "ramp.png", "4 images in one run", "cycles per image", "images per second",
                  "steady state", "bit exact"):
        assert words in result.stdout
    report = read_report()
    images = report["images"]
    assert [image["image"] for image in images] == ["noise.png", "ramp.png"] * 2
    for image in images:
        single = alone[image["image"]]
        assert image["bit_exact"] is True
        for key in ("tokens", "top5", "golden_top5", "useful_macs", "checkpoints", "integers_compared"):
            assert image[key] == single[key]
    assert report["bit_exact"] is True and report["mismatch"] == ""
    assert report["registers"]["IMAGES"] == report["registers"]["IMAGES_DONE"] == 4
    assert report["integers_compared"] == 2 * sum(single["integers_compared"] for single in alone.values())

    cycles = [image["cycles"] for image in images]
    assert sum(cycles) == report["cycles"] < 2 * sum(single["cycles"] for single in alone.values())
    assert report["steady_cycles_per_image"] == pytest.approx(mean(cycles[1:]))
    assert report["images_per_second"] == pytest.approx(200e6 / mean(cycles[1:]))
    assert report["steady_utilization"] == pytest.approx(
        mean(image["useful_macs"] for image in images[1:]) / (512 * mean(cycles[1:])))


def test_repeat_alone(artifact_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--repeat takes the default photograph, whose golden run is made once; --json prints the report only."""
    runs: list[int] = []

    def counted(*arguments: Any, **options: Any) -> Any:
        runs.append(1)
        return golden_run(*arguments, **options)

    golden_run = batch_flow.run
    monkeypatch.setattr(batch_flow, "run", counted)
    result = small_sim(artifact_file, "--repeat", 3, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report == read_report()
    assert [Path(image["image"]).name for image in report["images"]] == ["chelsea.png"] * 3
    assert all(image["bit_exact"] for image in report["images"])
    assert len(runs) == 1


def test_progress(artifact_file: Path) -> None:
    """Every stage begins at nothing, never goes back and ends complete, in order."""
    seen: list[tuple[str, float]] = []
    options = SimOptions(artifact=artifact_file, hardware={"clusters": 2})
    outcome = batch_flow.simulate_batch(options, [Path("noise.png"), Path("ramp.png")],
                                        lambda stage, share: seen.append((stage, share)))
    assert outcome.mismatch == ""
    stages = list(dict.fromkeys(stage for stage, _ in seen))
    assert stages == list(outcome.seconds) == ["export", "golden", "compile", "build", "simulate", "compare"]
    for stage in stages:
        shares = [share for name, share in seen if name == stage]
        assert shares[0] == 0 and shares[-1] == 1 and shares == sorted(shares)
    assert ("golden", 0.5) in seen and ("compare", 0.5) in seen
    with pytest.raises(ConfigError, match="two images or more, not 1"):
        batch_flow.simulate_batch(options, [Path("noise.png")])


def test_a_damaged_image_is_named(artifact_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches that change on the way to the hardware: only that image differs; exit 1 and its name."""
    made: list[int] = []

    def damaged(program: Program, codes: np.ndarray) -> np.ndarray:
        made.append(1)
        return words(program, codes) ^ (0x11 if len(made) == 2 else 0)

    words = batch_flow.image_words
    monkeypatch.setattr(batch_flow, "image_words", damaged)
    result = small_sim(artifact_file, "--image", "noise.png", "--image", "ramp.png")
    assert result.exit_code == 1
    assert "mismatch: image 2 of 2 (ramp.png): unit R (residual memory), step embed, embed, token" in result.stderr
    report = read_report()
    assert report["bit_exact"] is False
    assert report["mismatch"].startswith("image 2 of 2 (ramp.png): unit R")
    assert [image["bit_exact"] for image in report["images"]] == [True, False]
    assert report["images"][0]["mismatch"] == "" and report["images"][1]["checkpoints"] == 0


def test_token_registers_are_those_of_the_last_image(artifact_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong TOKENS_KEPT after the run is the last image's fault."""
    def tampered(*arguments: Any, **options: Any) -> Batch:
        batch = batch_run(*arguments, **options)
        wrong = {**batch.registers, "TOKENS_KEPT": [count + 1 for count in batch.registers["TOKENS_KEPT"]]}
        return dataclasses.replace(batch, images=tuple(dataclasses.replace(run, registers=wrong)
                                                       for run in batch.images))

    batch_run = batch_flow.run_batch
    monkeypatch.setattr(batch_flow, "run_batch", tampered)
    result = small_sim(artifact_file, "--image", "noise.png", "--image", "ramp.png")
    assert result.exit_code == 1
    assert "mismatch: image 2 of 2 (ramp.png): registers TOKENS_KEPT hold" in result.stderr
    assert [image["bit_exact"] for image in read_report()["images"]] == [True, False]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--image", "noise.png", "--image", "missing.jpg"], "no image file at missing.jpg"),
    (["--image", "noise.png", "--image", "text.jpg"], "text.jpg cannot be read as an image"),
    (["--image", "noise.png", "--image", "ramp.png", "--layers", "1..2"], "layers 1..2 are not within 0..1"),
    (["--repeat", "0"], "--repeat must be at least 1, not 0"),
])
def test_bad_input(artifact_file: Path, arguments: list[str], message: str) -> None:
    """One line that says which file or option, exit 2, and nothing written."""
    Path("text.jpg").write_text("text")
    result = small_sim(artifact_file, *arguments)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not Path("report.json").exists()
