"""The HLS models on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.contracts.artifact import TokenDrop, save_artifact
from tests.factory import random_artifact
from tests.flows.pictures import invoke, write_pack


@pytest.fixture(name="artifact", scope="module")
def fixture_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that drops tokens in both ways."""
    path = tmp_path_factory.mktemp("artifact") / "small.safetensors"
    drop = {0: TokenDrop("topk", keep=9), 1: TokenDrop("threshold", threshold=2 * 65536 // 11)}
    network = random_artifact(width=64, heads=2, depth=2, hidden=64, tokens=17, classes=21, seed=8, drop=drop)
    save_artifact(network, path)
    return path


@pytest.fixture(autouse=True)
def fixture_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files stay out of the project; compiled models are kept where all tests have them."""
    monkeypatch.setattr("flows.cache.CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


def test_sim(artifact: Path) -> None:
    """The same table as that of the RTL, without cycles."""
    result = invoke("sim", "--engine", "hls", "--artifact", artifact, "--clusters", 2)
    assert result.exit_code == 0, result.output
    for words in ("bit exact", "best classes in the HLS models", "golden logit", "useful MACs / peak", "tokens alive",
                  "cycles / lower bound", "not counted (model: ", "images/s of the HLS models on this machine"):
        assert words in result.stdout
    assert "stall" not in result.stdout
    report = json.loads(Path("report.json").read_text())
    assert report["bit_exact"] is True and report["mismatch"] == ""
    assert report["cycles"] is None and report["expected_cycles"] > 0
    assert report["checkpoints"] == 3 + 2 * 10
    assert report["top5"] == report["golden_top5"]
    assert report["tokens"][:2] == [17, 11]
    assert report["engine"] == "hls" and report["engine_images_per_second"] > 0
    assert [count for count in report["registers"]["TOKENS_KEPT"] if count] == report["tokens"][1:]


def test_sim_of_several_images(artifact: Path) -> None:
    """Each is compared, and each has a row."""
    result = invoke("sim", "--engine", "hls", "--artifact", artifact, "--clusters", 2, "--groups", 2, "--repeat", 3,
                    "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert len(content["images"]) == 3
    assert all(row["bit_exact"] and row["checkpoints"] == 23 for row in content["images"])
    shown = invoke("sim", "--engine", "hls", "--artifact", artifact, "--clusters", 2, "--groups", 2, "--repeat", 3)
    assert "3 images in the HLS models" in shown.stdout


def test_a_difference_is_reported(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1 and the first wrong integer."""
    from flows import hls_flow

    packed = hls_flow.image_words

    def other(*arguments: object) -> object:
        words = packed(*arguments).copy()  # type: ignore[arg-type]
        words[32 * 5] ^= 0x40
        return words

    monkeypatch.setattr(hls_flow, "image_words", other)
    result = invoke("sim", "--engine", "hls", "--artifact", artifact, "--clusters", 2)
    assert result.exit_code == 1
    assert "mismatch: unit R (residual memory), step embed, embed, token 5, channel 0: HLS model -" in result.output
    assert json.loads(Path("report.json").read_text())["bit_exact"] is False


@pytest.mark.parametrize(("options", "message"), [
    (("--engine", "verilog"), "--engine must be rtl or hls, not 'verilog'"),
    (("--engine", "hls", "--trace"), "the HLS models have no waveform"),
    (("--engine", "hls", "--latency", 200), "the HLS models have no memory to wait for"),
])
def test_refused(artifact: Path, options: tuple[object, ...], message: str) -> None:
    """Options that would change nothing are errors."""
    result = invoke("sim", "--artifact", artifact, *options)
    assert result.exit_code == 2
    assert f"error: {message}" in result.output


def test_eval(artifact: Path, tmp_path: Path) -> None:
    """The same figures as with the golden model, image by image, also in several processes."""
    pack = write_pack(tmp_path / "pack.npz")
    found = {}
    for label, options in {"golden": (), "hls": ("--engine", "hls"),
                           "two": ("--engine", "hls", "--workers", 2)}.items():
        result = invoke("eval", pack, "--artifact", artifact, "--workers", 1, "--clusters", 2, *options, "--json")
        assert result.exit_code == 0, result.output
        found[label] = json.loads(result.stdout)
        assert found[label].pop("integer_images_per_second") > 0
    assert found["golden"] == found["hls"] == found["two"]
    assert found["hls"]["tokens"][1] == 11
    assert "--engine must be golden or hls, not 'rtl'" in invoke("eval", pack, "--engine", "rtl").output


def test_hls(artifact: Path, tmp_path: Path) -> None:
    """Writes a folder for a board, and runs the test bench on its vectors."""
    result = invoke("hls", "--artifact", artifact, "--clusters", 2, "--board", "u250", "--out", tmp_path / "made")
    assert result.exit_code == 0, result.output
    assert "PASS: 1 frames, 1 images" in result.stdout
    assert "not run here" in result.stdout
    assert "xcu250" in (tmp_path / "made" / "run_hls.tcl").read_text()
    assert (tmp_path / "made" / "src" / "params.hpp").is_file()
    assert invoke("hls", "--artifact", artifact, "--board", "none").exit_code == 2
