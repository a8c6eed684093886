"""Training runs: they learn, resume exactly, prune what they are told to, and refuse what makes no sense."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from algo.export import export, prepare
from algo.prune.plan import zero_block_masks
from algo.synthetic import synthetic_state
from algo.train.batches import Loader
from algo.train.loss import blended_cross_entropy
from algo.train.recipe import Augment, Recipe, load_recipe
from algo.train.run import train
from algo.weights import read_facts
from flows.contracts.errors import ConfigError, ImageError

IMAGES = 256


class Stripes:
    """A data set as a user would write it: ten classes of stripes in ten directions, with noise."""

    names = tuple(f"angle {index}" for index in range(10))

    def __init__(self, seed: str) -> None:
        self.seed = int(seed)
        self.label = np.arange(IMAGES) % 10

    def __len__(self) -> int:
        return IMAGES

    def image(self, index: int) -> Image.Image:
        """One image of 32x32."""
        generator = np.random.default_rng([self.seed, index])
        y, x = np.mgrid[:32, :32]
        angle = np.pi * self.label[index] / 10
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.9 + generator.uniform(0, 6))
        pixels = 128 + 80 * wave[:, :, None] + generator.normal(0, 25, (32, 32, 3))
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def recipe(**changes: object) -> Recipe:
    base = {"model": "vit_micro", "data": {"train": "tests.algo.test_train:Stripes(0)",
                                           "test": "tests.algo.test_train:Stripes(1)"},
            "augment": {"flip": 0, "pad": 2}, "epochs": 4, "batch": 32, "precision": "float32",
            "optimizer": {"lr": 2e-3}, "evaluate_images": 64, "checkpoint": 8}
    return Recipe.model_validate({**base, **changes})


PRUNED = {"prune": {"method": "learned", "budget": {"keep": 0.5}, "score_lr": 0.05},
          "tokens": {"keep": 0.7, "layers": [1]}}


def same(one: Path, other: Path) -> bool:
    first, second = load_file(one / "weights.safetensors"), load_file(other / "weights.safetensors")
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_and_leaves_a_record(tmp_path: Path) -> None:
    trained = train(recipe(epochs=10), tmp_path)
    assert trained is not None and trained.record.evaluations[-1]["top1"] > 0.6
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0].startswith("step,images_seen,lr,loss") and len(lines) == 1 + 80 // 20
    content = json.loads((tmp_path / "evaluations.json").read_text())
    assert content["steps"] == 80 and content["evaluations"][-1]["images"] == IMAGES
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert read_facts(tmp_path / "weights.safetensors")["class_names"] == list(Stripes.names)


@pytest.mark.parametrize("prune", [
    {"method": "learned", "pattern": "alternate"}, {"method": "learned", "pattern": "blocks"},
    {"method": "magnitude", "pattern": "alternate"}, {"method": "magnitude", "pattern": "blocks", "balanced": True}])
def test_what_is_left_is_what_was_asked_for(tmp_path: Path, prune: dict) -> None:
    train(recipe(epochs=2, **{**PRUNED, "prune": {**prune, "budget": {"keep": 0.5}}}), tmp_path)
    state = load_file(tmp_path / "weights.safetensors")
    masks = zero_block_masks(state)
    hidden = [len(state[f"blocks.{layer}.mlp.fc1.bias"]) for layer in range(3)]
    if prune["pattern"] == "alternate":
        assert hidden == [128] * 3 and not any("mlp" in name for name in masks)
    else:
        assert hidden == [256] * 3 and all(masks[f"blocks.{layer}.mlp.fc1"].mean() == 0.5 for layer in range(3))
    for layer in range(3):
        parts = np.split(masks[f"blocks.{layer}.attn.qkv"], 3)
        assert all(part.mean() <= 0.5 for part in parts)
        if prune["pattern"] == "alternate":
            assert (parts[0].any(1) == parts[1].any(1)).all()
            assert (parts[2].any(1) == masks[f"blocks.{layer}.attn.proj"].any(0)).all()
        if prune.get("balanced"):
            assert all(set(part.sum(1)) == {2} for part in parts)
    facts = read_facts(tmp_path / "weights.safetensors")
    assert facts["keep_tokens"] == 0.7 and facts["drop_layers"] == [1]


def test_the_exported_network_is_the_trained_one(tmp_path: Path) -> None:
    trained = train(recipe(epochs=6, **PRUNED), tmp_path)
    assert trained is not None
    ready = prepare("vit_micro", weights=tmp_path / "weights.safetensors")
    assert list(ready.drops) == [1] and ready.drops[1].keep == 12
    from algo.data import normalise
    from algo.tokens.evit import forward_with_drop
    from flows.contracts.preprocess import crop

    source = Stripes("1")
    pixels = np.stack([crop(source.image(index), 32, resize=False) for index in range(IMAGES)])
    logits = forward_with_drop(ready.model, normalise(pixels, ready.mean, ready.std), ready.drops)
    top1 = float((logits.argmax(1).numpy() == source.label).mean())
    assert top1 == trained.record.evaluations[-1]["top1"]
    artifact = export("vit_micro", weights=tmp_path / "weights.safetensors")
    assert artifact.class_names == Stripes.names
    assert artifact.blocks[1].drop is not None and artifact.blocks[0].fc1.weight.shape == (128, 64)
    assert not artifact.blocks[0].qkv.mask.all()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(recipe(epochs=1, seed=seed, **PRUNED), tmp_path / name)
    assert same(tmp_path / "a", tmp_path / "b") and not same(tmp_path / "a", tmp_path / "c")


def command(config: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "flows.cli", "train", "--config", str(config), "--out", str(out), "--json"]


@pytest.mark.parametrize("method", ["learned", "magnitude"])
def test_a_killed_run_goes_on_exactly(tmp_path: Path, method: str) -> None:
    """Kill the process after its first checkpoint, start it again, and compare with a run that was left alone."""
    described = recipe(epochs=5, checkpoint=3, **{**PRUNED, "prune": {**PRUNED["prune"], "method": method}})
    config = tmp_path / "recipe.yaml"
    config.write_text(json.dumps(described.model_dump(mode="json", exclude_none=True)))
    process = subprocess.Popen(command(config, tmp_path / "killed"), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "checkpoint.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline, "the run made no checkpoint"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    train(described, tmp_path / "killed")
    train(described, tmp_path / "whole")
    assert same(tmp_path / "killed", tmp_path / "whole")
    first, second = (json.loads((tmp_path / name / "evaluations.json").read_text())["evaluations"]
                     for name in ("killed", "whole"))
    assert first == second
    assert (tmp_path / "killed" / "log.csv").read_bytes() == (tmp_path / "whole" / "log.csv").read_bytes()


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    described = recipe(epochs=0.25, optimizer={"lr": 2e-3, "warmup": 0}, **PRUNED)
    config = tmp_path / "recipe.yaml"
    config.write_text(json.dumps(described.model_dump(mode="json", exclude_none=True)))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*torchrun, *command(config, tmp_path / "two")[1:]], check=True, env=environment, timeout=300,
                   capture_output=True)
    train(described, tmp_path / "one")
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    start = synthetic_state("vit_micro", 0)
    assert {name: tensor.shape for name, tensor in one.items()} == {name: tensor.shape for name, tensor in two.items()}
    for name in ("head.weight", "norm.weight", "patch_embed.proj.weight", "blocks.1.attn.proj.bias"):
        # sums in another order, seen through the square root of Adam, are no more than a small part of what was learned
        learned = (one[name] - start[name]).norm()
        assert (one[name] - two[name]).norm() < 0.2 * learned, name


def test_a_teacher_and_threshold_selection(tmp_path: Path) -> None:
    train(recipe(epochs=4), tmp_path / "teacher")
    teacher = {"weights": str(tmp_path / "teacher" / "weights.safetensors"), "alpha": 0.5, "features": 1.0}
    trained = train(recipe(epochs=3, weights=teacher["weights"], teacher=teacher,
                           tokens={"threshold": 0.05, "layers": [0, 1]}), tmp_path / "student")
    assert trained is not None and {"distillation", "features"} <= trained.record.lines[0].keys()
    facts = read_facts(trained.weights)
    assert (facts["drop_mode"], facts["threshold"], facts["drop_layers"]) == ("threshold", 0.05, [0, 1])
    ready = prepare("vit_micro", weights=trained.weights)
    assert {drop.mode for drop in ready.drops.values()} == {"threshold"}


def test_fixed_masks_finish_a_pruned_network_at_another_size(tmp_path: Path) -> None:
    """What was pruned stays pruned, and shares count against the dense network."""
    first = train(recipe(epochs=1, **PRUNED), tmp_path / "small")
    assert first is not None
    second = train(recipe(epochs=1, weights=str(first.weights), image_size=48, prune={"method": "fixed"},
                          tokens=PRUNED["tokens"]), tmp_path / "large")
    assert second is not None
    before, after = load_file(first.weights), load_file(second.weights)
    for name, mask in zero_block_masks(before).items():
        assert (zero_block_masks(after)[name] == mask).all()
    assert not torch.equal(before["blocks.0.mlp.fc1.weight"], after["blocks.0.mlp.fc1.weight"])
    share = [trained.record.evaluations[-1]["kept_weights"] for trained in (first, second)]
    assert share[0] == pytest.approx(share[1]) and share[0] < 0.52


def test_other_image_size_and_classes(tmp_path: Path) -> None:
    train(recipe(epochs=0.5, image_size=48), tmp_path)
    state = load_file(tmp_path / "weights.safetensors")
    assert state["pos_embed"].shape == (1, 37, 64)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    train(recipe(epochs=0.5), tmp_path)
    with pytest.raises(ConfigError, match=r"made with another recipe \(optimizer\.lr differs\); train with --restart"):
        train(recipe(epochs=0.5, optimizer={"lr": 1e-4}), tmp_path)
    train(recipe(epochs=0.5, optimizer={"lr": 1e-4}), tmp_path, restart=True)
    data = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(data[:1000])
    with pytest.raises(ConfigError, match="is no checkpoint or is damaged"):
        train(recipe(epochs=0.5, optimizer={"lr": 1e-4}), tmp_path)


@pytest.mark.parametrize(("changes", "message"), [
    ({"epoch": 3}, "epoch: Extra inputs are not permitted"),
    ({"prune.budget.keep": 0}, "prune.budget.keep: Input should be greater than 0"),
    ({"prune.budget.macs": 0.5}, "give exactly one of keep, macs, cycles"),
    ({"prune.start": 0.9}, "start, end and freeze must not decrease"),
    ({"precision": "int3"}, "precision: Input should be 'float32' or 'bfloat16'"),
    ({"data.train": "$SIEVIT_NOWHERE/x.npz"}, r"environment variable \$SIEVIT_NOWHERE, which is not set"),
])
def test_wrong_recipes(tmp_path: Path, changes: dict, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({"data": {"train": "a.npz", "test": "b.npz"}, "prune": {"budget": {"keep": 0.5}}}))
    assert load_recipe(path).prune is not None
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(path, changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("source", "error", "message"), [
    ("nowhere.npz", ImageError, "no data pack at nowhere.npz"),
    ("tests.algo.test_train:Nothing", ConfigError, "cannot be made"),
    ("tests.algo.test_train:recipe", ConfigError, "needs label, names"),
])
def test_wrong_data(tmp_path: Path, source: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train(recipe(data={"train": source, "test": source}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_batches_depend_on_seed_and_step_alone() -> None:
    options = {"source": Stripes("0"), "size": 32, "batch": 8, "augment": Augment(mixup=0.5, erase=0.5),
               "mean": (0.5,) * 3, "std": (0.5,) * 3, "seed": 3}
    whole = Loader(**options)
    batches = list(whole.run(2, 5))
    for step, batch in enumerate(batches, 2):
        again = whole.at(step)
        assert torch.equal(batch.images, again.images) and torch.equal(batch.others, again.others)
        halves = [Loader(**options, rank=rank, world=2).at(step) for rank in range(2)]
        assert torch.equal(torch.stack([half.images for half in halves], 1).flatten(0, 1), batch.images)
        assert torch.equal(torch.stack([half.share for half in halves], 1).flatten(), batch.share)
    assert not torch.equal(batches[0].labels, batches[1].labels)
    epoch = torch.cat([whole.at(step).labels for step in range(IMAGES // 8)])
    assert torch.equal(epoch.bincount(), torch.from_numpy(np.bincount(Stripes("0").label)))


def test_blended_images_have_both_labels() -> None:
    batch = Loader(Stripes("0"), 32, 16, Augment(crop="none", flip=0, mixup=1.0), (0.5,) * 3, (0.5,) * 3, 0).at(0)
    assert 0 < float(batch.share.min()) < float(batch.share.max()) < 1 and not torch.equal(batch.labels, batch.others)
    logits = torch.randn(16, 10, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(16, 10)
    target[range(16), batch.labels] += batch.share
    target[range(16), batch.others] += 1 - batch.share
    expected = torch.nn.functional.cross_entropy(logits, target)
    assert torch.allclose(blended_cross_entropy(logits, batch, 0.0), expected, atol=1e-5)


def test_a_folder_of_classes(tmp_path: Path) -> None:
    source = Stripes("0")
    for index in range(64):
        folder = tmp_path / "images" / source.names[source.label[index]]
        folder.mkdir(parents=True, exist_ok=True)
        source.image(index).save(folder / f"{index}.png")
    folder = str(tmp_path / "images")
    augment = {"crop": "resized", "flip": 0.5, "erase": 0.5}
    trained = train(recipe(epochs=2, data={"train": folder, "test": folder}, augment=augment), tmp_path / "out")
    assert trained is not None and read_facts(trained.weights)["class_names"] == sorted(source.names)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="it needs one folder per class"):
        train(recipe(data={"train": str(tmp_path / "empty"), "test": folder}), tmp_path / "out2")


@pytest.mark.parametrize(("bits", "tokens"), [(8, {"keep": 0.7, "layers": [1], "end": 0.1}), (4, None),
                                              (8, {"threshold": 0.05, "layers": [1], "end": 0.1})])
def test_integers_that_were_trained_are_the_integers_of_the_golden_model(tmp_path: Path, bits: int,
                                                                         tokens: dict | None) -> None:
    """Train a pruned network on its integers, stopped once; export it: the golden model has the same top-1."""
    from flows.contracts.preprocess import patch_codes
    from sim.golden.network import Golden

    options = {"prune": PRUNED["prune"], "tokens": tokens, "checkpoint": 6, "batch": 32,
               "quantize": {"start": 0.7, "images": 64, "weight_bits": bits}}

    def stop(stage: str, share: float) -> None:
        if stage == "train" and share > 0.8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(epochs=3, **options), tmp_path, progress=stop)
    trained = train(recipe(epochs=3, **options), tmp_path)
    assert trained is not None
    facts = read_facts(trained.weights)
    assert facts["settings"]["weight_bits"] == bits
    artifact = export("vit_micro", weights=trained.weights)
    assert artifact.blocks[0].fc1.weight.shape[0] == 128 and not artifact.blocks[0].qkv.mask.all()
    assert np.abs(artifact.blocks[0].fc1.weight).max() == (1 << (bits - 1)) - 1
    source, golden = Stripes("1"), Golden(artifact)
    codes = np.stack([patch_codes(source.image(index), artifact, resize=False) for index in range(IMAGES)])
    top1 = float((golden.classify(codes).argmax(1) == source.label).mean())
    assert top1 == trained.record.evaluations[-1]["top1"] > 0.15


def test_quantization_comes_last() -> None:
    with pytest.raises(ValueError, match=r"quantize\.start must not be before prune\.freeze"):
        recipe(**PRUNED, quantize={"start": 0.5})
