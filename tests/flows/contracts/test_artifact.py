"""Artifact files: equal bytes, exact round trip, and refusal of everything that is not right."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from flows.contracts.artifact import (
    FORMAT_VERSION,
    SparseVit,
    TokenDrop,
    load_artifact,
    save_artifact,
    validate,
)
from flows.contracts.errors import ArtifactError
from tests.factory import random_artifact


@pytest.fixture(name="artifact")
def fixture_artifact() -> SparseVit:
    return random_artifact(depth=2, drop={1: TokenDrop("topk", keep=5)})


def test_round_trip(artifact: SparseVit, tmp_path: Path) -> None:
    """What is read is what was written, and equal artifacts are equal files."""
    save_artifact(artifact, tmp_path / "a")
    save_artifact(artifact, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = load_artifact(tmp_path / "a")
    assert loaded.content_hash() == artifact.content_hash()
    assert loaded.blocks[1].drop == TokenDrop("topk", keep=5)
    np.testing.assert_array_equal(loaded.blocks[0].fc1.weight, artifact.blocks[0].fc1.weight)
    assert not list(tmp_path.glob("*.tmp"))


def rewrite(path: Path, change: Any) -> None:
    """Apply ``change(metadata, tensors)`` to a file."""
    with safetensors.safe_open(str(path), "np") as file:
        metadata = json.loads(file.metadata()["sievit"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(metadata, tensors)
    safetensors.numpy.save_file(tensors, str(path), metadata={"sievit": json.dumps(metadata)})


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no artifact at .*sievit export"):
        load_artifact(tmp_path / "none")


@pytest.mark.parametrize("size", [0, 7, 1000, -1])
def test_truncated(artifact: SparseVit, tmp_path: Path, size: int) -> None:
    path = tmp_path / "a"
    save_artifact(artifact, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match="not a sievit artifact or is truncated"):
        load_artifact(path)


def test_other_version(artifact: SparseVit, tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_artifact(artifact, path)
    rewrite(path, lambda metadata, tensors: metadata.update(format=FORMAT_VERSION + 1))
    with pytest.raises(ArtifactError, match=f"has artifact format {FORMAT_VERSION + 1}, this sievit reads"):
        load_artifact(path)


def test_other_safetensors_file(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"x": np.zeros(3)}, str(tmp_path / "a"))
    with pytest.raises(ArtifactError, match="no sievit artifact"):
        load_artifact(tmp_path / "a")


def test_one_wrong_bit(artifact: SparseVit, tmp_path: Path) -> None:
    """A flipped bit of a weight, and of a scale in the description."""
    path = tmp_path / "a"
    save_artifact(artifact, path)

    def flip(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        tensors["blocks.0.qkv.weight"] = tensors["blocks.0.qkv.weight"] ^ np.int8(1)

    rewrite(path, flip)
    with pytest.raises(ArtifactError, match="damaged"):
        load_artifact(path)


@pytest.mark.parametrize(("change", "message"), [
    ({"heads": 3}, "head width"),
    ({"residual_init": np.zeros((17, 64), np.int32)}, "residual_init is int32"),
])
def test_validate(artifact: SparseVit, change: dict[str, Any], message: str) -> None:
    """Whole-network rules."""
    with pytest.raises(ArtifactError, match=message):
        validate(dataclasses.replace(artifact, **change))


def test_validate_layers(artifact: SparseVit) -> None:
    """Rules of a layer: no -128, nothing in a pruned block, ranges of bias, tables and drops."""
    block = artifact.blocks[0]

    def refused(message: str, **change: Any) -> None:
        with pytest.raises(ArtifactError, match=message):
            validate(dataclasses.replace(artifact, blocks=(dataclasses.replace(block, **change),
                                                           *artifact.blocks[1:])))

    low = block.fc1.weight.copy()
    low[0, 0] = -128
    refused("-128 is not allowed", fc1=dataclasses.replace(block.fc1, weight=low))
    refused("pruned block holds", fc1=dataclasses.replace(block.fc1, mask=np.zeros_like(block.fc1.mask)))
    refused("bias or shift out of range", proj=dataclasses.replace(block.proj, shift=48))
    refused("exp table must start with 255", exp=np.zeros(256, np.uint8))
    refused("gelu table must be", gelu=np.zeros(255, np.uint8))
    refused("not topk or threshold", drop=TokenDrop("random"))
    refused("token drop out of range", drop=TokenDrop("topk", keep=512))
    refused("score requantizer out of range", score_mult=1 << 16)
