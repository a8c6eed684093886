"""Swins on the command line: pruned and evaluated in float, refused by everything that needs the accelerator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algo.data import normalise
from algo.prune.plan import zero_block_masks
from algo.swin import build_swin, swin_macs, swin_parameters, swin_weights
from algo.synthetic import synthetic_like
from algo.weights import read_facts, save_weights
from flows.cli_base import EXIT_ERROR
from flows.contracts.images import load_pack
from flows.contracts.preprocess import crop
from flows.eval_report import FLOAT_ONLY
from flows.wilson import wilson
from tests.flows.pictures import invoke, write_pack

NAME = "swin_micro"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module", name="model")
def fixture_model() -> Any:
    """The dense network that the command line makes up from seed 0."""
    return build_swin(NAME, synthetic_like(build_swin(NAME).state_dict(), 0))


@pytest.fixture(scope="module", name="pack")
def fixture_pack(tmp_path_factory: pytest.TempPathFactory, model: Any) -> Path:
    """Twelve pictures of 32x32; eight have the class that the dense network sees, four have another one."""
    path = write_pack(tmp_path_factory.mktemp("pack") / "pack.npz")
    labels = classes_of(model, path)
    labels[8:] = (labels[8:] + 1) % 10
    return write_pack(path, labels)


def classes_of(model: Any, pack: Path, *, resize: bool = False) -> np.ndarray:
    """Best class of each image, one image at a time, under timm's normalisation for Swin.

    ``resize`` is what evaluation does with images from folders.
    """
    images = load_pack(pack)
    pixels = [crop(images.image(index), 32, resize=resize) for index in range(len(images))]
    with torch.inference_mode():
        return np.array([int(model(normalise(image[None], MEAN, STD)).argmax()) for image in pixels])


@pytest.fixture(scope="module", name="pruned")
def fixture_pruned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A file that 'sievit prune' has written, and its report."""
    out = tmp_path_factory.mktemp("pruned") / "deep" / "pruned.safetensors"
    result = invoke("prune", "--model", NAME, "--method", "dimap", "--macs", 0.7, "--calibration-images", 2, "--out",
                    out, "--json")
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_prune_writes_weights_that_load(pruned: tuple[Path, dict[str, Any]], model: Any) -> None:
    out, report = pruned
    state, origin = swin_weights(NAME, out)
    assert origin == "file pruned.safetensors"
    masks = zero_block_masks(state)
    assert masks and report["blocks"].keys() == masks.keys()
    assert report["macs"] == report["budget"]["cost"] == swin_macs(model, masks).total
    assert report["dense_macs"] == swin_macs(model).total and 0.68 < report["macs_share"] <= 0.7
    assert report["parameters"] == swin_parameters(model, masks) < report["dense_parameters"]
    assert report["dense_parameters"] == sum(parameter.numel() for parameter in model.parameters())
    facts = read_facts(out)
    assert facts["prune_method"] == "dimap" and facts["prune_budget"]["unit"] == "MACs"
    assert "synthetic (seed 0)" in facts["origin"] and not {"keep_tokens", "drop_layers"} & set(facts)
    kept, dense = state["layers.1.blocks.0.mlp.fc2.weight"], model.state_dict()["layers.1.blocks.0.mlp.fc2.weight"]
    assert torch.equal(kept, torch.where(kept == 0, kept, dense)) and not torch.equal(kept, dense)


def test_prune_by_share_on_the_screen(tmp_path: Path) -> None:
    out = tmp_path / "half.safetensors"
    result = invoke("prune", "--model", NAME, "--method", "dimap", "--keep", 0.5, "--calibration-images", 2, "--out",
                    out)
    assert result.exit_code == 0, result.output
    assert "swin_micro pruned by dimap" in result.stdout and "neurons left" not in result.stdout
    masks = zero_block_masks(swin_weights(NAME, out)[0])
    empty, blocks = sum(int((~mask).sum()) for mask in masks.values()), 2 * (12 + 4 + 16 + 16 + 4 * (12 + 4 + 16 + 16))
    assert empty == (blocks + 4 * 8) // 2  # and the patch merging between the stages, 64x128


def test_eval_of_a_dense_swin(pack: Path, model: Any) -> None:
    result = invoke("eval", pack, "--model", NAME, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["networks"].keys() == {"float"} and content["images"] == 12
    row = content["networks"]["float"]
    assert row["top1"] == 8 / 12 and row["top1_interval"] == list(wilson(8, 12))
    assert row["top5"] >= row["top1"]
    assert content["macs"] == content["dense_macs"] == swin_macs(model).total
    assert content["architecture"] == "swin" and "cycles" not in content


def test_eval_of_a_pruned_swin(pack: Path, pruned: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    file, report = pruned
    result = invoke("eval", pack, "--model", NAME, "--weights", file, "--report", tmp_path / "eval.json")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "eval.json").read_text())
    assert {name: content[name] for name in ("macs", "dense_macs", "parameters")} == \
        {name: report[name] for name in ("macs", "dense_macs", "parameters")}
    labels = load_pack(pack).label
    right = int((classes_of(build_swin(NAME, swin_weights(NAME, file)[0]), pack) == labels).sum())
    assert content["networks"]["float"]["top1"] == right / 12
    assert FLOAT_ONLY in result.stdout and "95 % interval" in result.stdout and "parameters: " in result.stdout


def test_eval_follows_the_file(pack: Path, model: Any, tmp_path: Path) -> None:
    """Normalisation and class names are those of the weights file; subfolders stand for classes by name."""
    labels, images = classes_of(model, pack, resize=True), load_pack(pack)
    for index in range(6):
        folder = tmp_path / "images" / f"c{labels[index]}"
        folder.mkdir(parents=True, exist_ok=True)
        images.image(index).save(folder / f"{index}.png")
    facts = {"class_names": [f"c{index}" for index in range(10)], "mean": MEAN, "std": STD}
    save_weights(model.state_dict(), tmp_path / "named.safetensors", facts)
    save_weights(model.state_dict(), tmp_path / "other.safetensors", facts | {"mean": [3.0, -3.0, 3.0]})
    answers = {name: json.loads(invoke("eval", tmp_path / "images", "--model", NAME, "--weights",
                                       tmp_path / f"{name}.safetensors", "--json").stdout)
               for name in ("named", "other")}
    assert answers["named"]["images"] == 6 and answers["named"]["networks"]["float"]["top1"] == 1
    assert answers["other"]["networks"]["float"]["top1"] < 1


@pytest.mark.parametrize(("arguments", "message"), [
    (["--method", "dimap", "--cycles", 1000], "(it is a Swin) and has no cycles; give --keep or --macs"),
    (["--method", "kwon", "--keep", 0.5], "kwon cannot prune 'swin_micro' (it is a Swin); methods that can: dimap"),
    (["--method", "dimap", "--keep", 0.5, "--keep-tokens", 0.7], "--keep-tokens is for plain ViTs"),
    (["--method", "dimap", "--keep", 0.5, "--drop-layers", "1"], "--drop-layers is for plain ViTs"),
    (["--method", "dimap", "--keep", 0.5, "--weights", "none.safetensors"], "no weights file at none.safetensors"),
    (["--method", "dimap", "--macs", 0.01], "no plan meets"),
])
def test_prune_refuses(arguments: list, message: str, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    result = invoke("prune", "--model", NAME, "--calibration-images", 2, "--out", out, "--json", *arguments)
    assert result.exit_code == EXIT_ERROR
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("option", [
    ("--keep-blocks", 0.5), ("--keep-tokens", 0.7), ("--keep-neurons", 0.5), ("--drop-layers", "1"),
    ("--drop-mode", "topk"), ("--threshold", 0.1), ("--balanced",), ("--calibrate", "mse"), ("--weight-bits", 4),
    ("--workers", 2), ("--clusters", 2), ("--groups", 2), ("--set", "bus_bits=128")])
def test_eval_refuses_what_would_change_nothing(option: tuple, pack: Path) -> None:
    result = invoke("eval", pack, "--model", NAME, "--json", *option)
    assert result.exit_code == EXIT_ERROR
    assert f"leave out {option[0]}" in result.stderr and result.stderr.count("\n") == 1


def test_eval_with_foreign_labels(pack: Path, model: Any, tmp_path: Path) -> None:
    few = {name: tensor[:2] if name.startswith("head.fc.") else tensor for name, tensor in model.state_dict().items()}
    save_weights(few, tmp_path / "few.safetensors", {})
    result = invoke("eval", pack, "--model", NAME, "--weights", tmp_path / "few.safetensors", "--json")
    assert result.exit_code == EXIT_ERROR and f"{NAME} has 2 classes" in result.stderr
    foreign = invoke("eval", pack, "--model", "swin_t", "--weights", tmp_path / "few.safetensors", "--json")
    assert foreign.exit_code == EXIT_ERROR and "few.safetensors: tensor " in foreign.stderr


@pytest.mark.parametrize("command", [
    ["sim", "--report", "OUT"], ["export", "--out", "OUT"], ["bench", "--quick", "--report", "OUT"],
    ["prune-table", "PACK", "--methods", "dimap", "--out", "OUT"]])
def test_the_accelerator_takes_no_swin(command: list[str], pack: Path, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.cache.CACHE", tmp_path / "cache")
    out = tmp_path / "out.json"
    places = {"OUT": out, "PACK": pack}
    result = invoke(*(places.get(word, word) for word in command), "--model", "swin_t")
    assert result.exit_code == EXIT_ERROR
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line == ("error: model 'swin_t' cannot run on the accelerator (it is a Swin); only 'sievit prune' and "
                    "'sievit eval' take it")
    assert not out.exists()


def test_compile_takes_no_swin_weights(pruned: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    result = invoke("compile", pruned[0], "--out", tmp_path / "program")
    assert result.exit_code == EXIT_ERROR and result.stderr.count("\n") == 1
    assert not (tmp_path / "program").exists()


def test_lists_show_the_architecture() -> None:
    models = {entry["name"]: entry["architecture"] for entry in json.loads(invoke("models", "--json").stdout)}
    assert models["swin_t"] == models["swin_s"] == models["swin_b"] == "swin" and models["deit_t"] == "vit"
    assert "swin_b       swin  timm swin_base_patch4_window7_224" in invoke("models").stdout
    assert "dimap                vit,swin  needs nothing" in invoke("methods").stdout
