"""The random networks that all tests use are worth testing with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.contracts.artifact import TokenDrop, load_artifact, save_artifact
from sim.golden.network import run
from tests.factory import random_artifact, random_patches

SIZES = {
    "small": {},
    "two tokens": {"tokens": 2},
    "one head": {"width": 32, "heads": 1, "tokens": 5},
    "deep": {"depth": 8, "tokens": 33},
    "wide": {"width": 192, "heads": 3, "hidden": 768, "tokens": 65, "patch_inputs": 768, "classes": 1000, "depth": 1},
    "many tokens": {"tokens": 320, "depth": 2},
    "dense": {"keep_blocks": 1.0},
    "sparse": {"keep_blocks": 0.3, "width": 128, "hidden": 256},
}


@pytest.mark.parametrize("name", SIZES)
def test_activations_spread_over_their_range(name: str) -> None:
    """No checkpoint is constant, nearly constant over tokens, or saturated."""
    artifact = random_artifact(**SIZES[name])
    checkpoints = run(artifact, random_patches(artifact, 9), record=True).checkpoints
    for key, array in checkpoints.items():
        values = array.astype(float)
        unit = 100 if array.dtype == np.int16 else 1
        assert values.std() > 10 * unit, key
        limit = {np.dtype(np.int8): 127, np.dtype(np.uint8): 255, np.dtype(np.int16): 32767}[array.dtype]
        assert (np.abs(values) >= limit).mean() < 0.03, key
        if array.ndim > 1 and array.shape[-2] > 4:
            assert values.std(axis=-2).mean() > 7 * unit, key


def test_logits_depend_on_the_image() -> None:
    artifact = random_artifact()
    first, second = (run(artifact, random_patches(artifact, seed)).logits for seed in (0, 1))
    assert np.abs(first.astype(int) - second).mean() > 100


def test_deterministic() -> None:
    hashes = [random_artifact(seed=seed, drop={1: TokenDrop("topk", keep=3)}).content_hash() for seed in (3, 3, 4)]
    assert hashes[0] == hashes[1] != hashes[2]
    artifact = random_artifact()
    assert (random_patches(artifact, 1) == random_patches(artifact, 1)).all()
    assert (random_patches(artifact, 1) != random_patches(artifact, 2)).any()
    assert random_patches(artifact, 1, batch=3).shape == (3, 17, 48)


def test_empty_columns_and_heads() -> None:
    artifact = random_artifact(empty_columns=(1, ("fc1", 7)), empty_heads=(0,), keep_blocks=1.0)
    for block in artifact.blocks:
        assert np.flatnonzero(~block.qkv.mask.any(1)).tolist() == [0, 1, 4, 5, 8, 9]
        assert np.flatnonzero(~block.proj.mask.any(1)).tolist() == [1]
        assert np.flatnonzero(~block.fc1.mask.any(1)).tolist() == [1, 7]
        assert np.flatnonzero(~block.fc2.mask.any(1)).tolist() == [1]
        assert not block.fc1.weight[112:].any()


def test_saves_and_loads(tmp_path: Path) -> None:
    artifact = random_artifact(drop={0: TokenDrop("threshold", threshold=5)}, classes=21)
    save_artifact(artifact, tmp_path / "a.safetensors")
    loaded = load_artifact(tmp_path / "a.safetensors")
    assert loaded.content_hash() == artifact.content_hash()
    patches = random_patches(artifact)
    assert (run(loaded, patches).logits == run(artifact, patches).logits).all()


def test_impossible_patch() -> None:
    with pytest.raises(ValueError, match=r"patch_inputs 50 is not 3 \* patch \* patch"):
        random_artifact(patch_inputs=50)
