"""Whole exports of the test network, and their agreement with the float network."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algo.data import calibration_pixels, normalise
from algo.export import DROP_LAYERS, class_names, export, prepare, resolve_layers
from algo.tokens.evit import forward_with_drop
from flows.contracts.artifact import SparseVit, load_artifact, save_artifact, validate
from flows.contracts.errors import ConfigError, WeightsError
from flows.contracts.preprocess import code_table, pixel_patches
from sim.golden.network import Golden

OPTIONS: dict[str, Any] = {"calibration_images": 16}


@pytest.fixture(scope="module")
def artifact() -> SparseVit:
    return export("vit_micro", **OPTIONS)


def test_artifact_is_valid_and_complete(artifact: SparseVit) -> None:
    validate(artifact)
    assert (artifact.model, artifact.image_size, artifact.patch, artifact.heads) == ("vit_micro", 32, 8, 2)
    assert artifact.synthetic and artifact.weights == "synthetic (seed 0), no trained weights were available"
    assert artifact.residual_init.shape == (17, 64) and artifact.residual_init.dtype == np.int16
    assert artifact.mean == (0.485, 0.456, 0.406) and artifact.class_names == tuple("0123456789")
    assert not artifact.embed.bias.any()
    # 0.7 of 16 patches: 12, so 14 tokens; 0.7 of 13: 10, so 12; 0.7 of 11: 8
    assert [block.drop.keep if block.drop else None for block in artifact.blocks] == [12, 10, 8]
    for block in artifact.blocks:
        for layer in (block.qkv, block.proj, block.fc1, block.fc2):
            assert layer.mask.mean() == 0.5
            assert layer.weight.dtype == np.int8 and layer.bias.dtype == np.int32 and layer.mult.dtype == np.uint16
    assert artifact.embed.mask.all() and artifact.head.mask.all()


def test_same_options_give_the_same_bytes(artifact: SparseVit, tmp_path: Path) -> None:
    again = export("vit_micro", **OPTIONS)
    save_artifact(artifact, tmp_path / "a")
    save_artifact(again, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert load_artifact(tmp_path / "a").content_hash() == artifact.content_hash()
    assert export("vit_micro", seed=1, **OPTIONS).content_hash() != artifact.content_hash()


@pytest.mark.parametrize("options", [
    {"keep_blocks": 1.0, "keep_tokens": 1.0},
    {"keep_blocks": 0.5, "keep_tokens": 1.0, "balanced": True},
    {"keep_blocks": 1.0, "keep_tokens": 0.5, "keep_neurons": 0.5},
    {"keep_blocks": 0.7, "keep_tokens": 0.7, "drop_mode": "threshold", "drop_layers": (0, 2)},
])
def test_integers_follow_the_float_network(options: dict) -> None:
    """Logits on images that were not calibrated on."""
    artifact, prepared = export("vit_micro", **OPTIONS, **options), prepare("vit_micro", **OPTIONS, **options)
    pixels = calibration_pixels(None, 32, count=48, seed=9)
    table = code_table(artifact.mean, artifact.std, artifact.input_scale)
    codes = np.stack([pixel_patches(image, table, artifact.patch) for image in pixels])
    logits = Golden(artifact).classify(codes) * artifact.scales["logits"]
    expected = forward_with_drop(prepared.model, normalise(pixels, prepared.mean, prepared.std), prepared.drops).numpy()
    # what distinguishes images, not what they have in common, has to agree
    logits, expected = logits - expected.mean(0), expected - expected.mean(0)
    assert expected.std() > 0.3
    limit = 0.1 if not prepared.drops else 0.35  # a token dropped instead of another of nearly the same score
    assert np.sqrt(((logits - expected) ** 2).mean()) < limit * expected.std()
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > (0.995 if not prepared.drops else 0.94)


def test_keep_one_means_dense_without_drop() -> None:
    artifact = export("vit_micro", keep_blocks=1.0, keep_tokens=1.0, **OPTIONS)
    assert all(block.drop is None and block.qkv.mask.all() and block.fc2.mask.all() for block in artifact.blocks)
    artifact = export("vit_micro", keep_blocks=1.0, keep_tokens=1.0, drop_mode="threshold", **OPTIONS)
    assert all(block.drop is None for block in artifact.blocks)


def test_given_threshold() -> None:
    artifact = export("vit_micro", drop_mode="threshold", threshold=0.05, drop_layers=(1,), **OPTIONS)
    drops = [block.drop for block in artifact.blocks]
    assert drops[0] is None and drops[2] is None
    assert drops[1] is not None and (drops[1].mode, drops[1].threshold) == ("threshold", round(0.1 * 65536))


def test_neurons_and_balance() -> None:
    artifact = export("vit_micro", keep_neurons=0.5, balanced=True, **OPTIONS)
    for block in artifact.blocks:
        assert block.fc1.weight.shape == (128, 64) and block.fc2.weight.shape == (64, 128)
        assert (block.fc2.mask.sum(1) == 4).all()


def test_weights_file_and_progress(tmp_path: Path) -> None:
    import torch

    from algo.synthetic import synthetic_state

    torch.save(synthetic_state("vit_micro", 0), tmp_path / "w.pth")
    stages: list[tuple[str, float]] = []
    artifact = export("vit_micro", weights=tmp_path / "w.pth", progress=lambda *at: stages.append(at), **OPTIONS)
    assert artifact.weights == "file w.pth" and not artifact.synthetic
    assert ("calibrate", 1.0) in stages and stages[-1] == ("quantize", 1.0)
    assert [stage for stage, share in stages if share == 0.0] == ["weights", "prune", "calibration images", "quantize"]


@pytest.mark.parametrize(("options", "message"), [
    ({"keep_blocks": 0}, "keep_blocks of every layer must be above 0"),
    ({"keep_tokens": 0}, "keep_tokens must be above 0"),
    ({"keep_neurons": 2}, "keep_neurons must be above 0"),
    ({"drop_layers": (3,)}, r"drop_layers names block 3; the model has blocks 0 to 2"),
    ({"drop_layers": (1, 1)}, "drop_layers names a block twice"),
    ({"drop_mode": "random"}, "drop_mode must be topk or threshold"),
    ({"threshold": 0.1}, "threshold is for drop_mode threshold"),
    ({"drop_mode": "threshold", "threshold": 2}, "threshold must be a mean attention"),
    ({"block": 24}, "block size 24x24 must be multiples of 16"),
])
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        export("vit_micro", **OPTIONS, **options)


def test_bad_weights_leave_nothing_half_done(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError):
        export("vit_micro", weights=tmp_path / "w.pth")


def test_default_drop_layers_scale_with_the_depth() -> None:
    assert resolve_layers(DROP_LAYERS, 12) == (3, 6, 9)
    assert resolve_layers(DROP_LAYERS, 3) == (0, 1, 2)
    assert resolve_layers((9, 0), 12) == (0, 9)
    assert resolve_layers((), 12) == ()


def test_class_names() -> None:
    names = class_names(1000)
    assert len(names) == 1000 and names[281].startswith("tabby") and names[812] == "space shuttle"
    assert class_names(3) == ("0", "1", "2")


@pytest.mark.slow
@pytest.mark.skipif("SIEVIT_DATA" not in os.environ, reason="SIEVIT_DATA does not name the folder with the data packs")
@pytest.mark.parametrize(("keep_tokens", "agreement"), [(1.0, 0.96), (0.7, 0.9)])
def test_accuracy_of_deit_tiny(keep_tokens: float, agreement: float) -> None:
    """Within one point of float on 1000 validation images."""
    from flows.accuracy import measure

    data = Path(os.environ["SIEVIT_DATA"])
    result = measure("deit_t", data / "imagenet1k_val1000_227px_jpeg.npz", keep_blocks=1.0, keep_tokens=keep_tokens,
                     weights=data / "deit_tiny_patch16_224_fp16.safetensors",
                     calibration=data / "imagenet1k_calib250_224px_jpeg.npz")
    assert result.images == 1000 and result.rows["float"].top1 > 0.7
    assert result.top1_drop_points <= 1.0
    assert (result.rows["integer"].agreement or 0) >= agreement
    assert result.differing_logits == 0
