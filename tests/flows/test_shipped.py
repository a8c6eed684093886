"""The trained network that comes with sievit: what is shipped, that commands use it, and that it knows a cat."""

from pathlib import Path

import numpy as np
import pytest

from flows.contracts.artifact import SparseVit, load_artifact
from flows.contracts.preprocess import load_image, patch_codes
from flows.shipped import shipped_artifact
from flows.sim_flow import ExportOptions, SimOptions, default_image, obtain_artifact
from sim.golden.network import run


@pytest.fixture(scope="module")
def artifact() -> SparseVit:
    path = shipped_artifact("deit_t")
    assert path is not None
    return load_artifact(path)


def test_it_is_pruned_and_small(artifact: SparseVit) -> None:
    assert artifact.image_size == 224 and artifact.tokens == 197 and not artifact.synthetic
    assert [layer for layer, block in enumerate(artifact.blocks) if block.drop] == [3, 6, 9]
    assert [block.drop.keep for block in artifact.blocks if block.drop] == [138, 98, 70]
    kept = sum(layer.mask.sum() for kind in ("qkv", "proj", "fc1", "fc2") for layer in artifact.layers_of(kind))
    dense = 12 * 12 * (192 // 16) ** 2
    assert 0.45 < kept / dense <= 0.5
    path = shipped_artifact("deit_t")
    assert path is not None and path.stat().st_size < 6e6


def test_it_knows_the_photograph_that_is_simulated_by_default(artifact: SparseVit) -> None:
    result = run(artifact, patch_codes(load_image(default_image()), artifact))
    assert artifact.class_names[int(np.argmax(result.logits))] == "cat"


def test_commands_use_it_when_they_are_asked_for_nothing_else(artifact: SparseVit, monkeypatch) -> None:
    assert obtain_artifact(SimOptions()).content_hash() == artifact.content_hash()
    monkeypatch.setattr("flows.sim_flow.load_artifact", lambda path: pytest.fail(f"loaded {path}"))
    with pytest.raises(pytest.fail.Exception, match="artifact-deit_t"):  # an export of its own, looked for in the cache
        obtain_artifact(SimOptions(ExportOptions(keep_blocks=0.5)))


@pytest.mark.parametrize("name", ["deit_s", "../artifacts/deit_t", "", "README.md"])
def test_nothing_else_is_shipped(name: str) -> None:
    assert shipped_artifact(name) is None


def test_origin_and_licence_are_told() -> None:
    text = (Path(__file__).resolve().parents[2] / "flows" / "artifacts" / "README.md").read_text()
    assert "Apache-2.0" in text and "DeiT" in text and "CIFAR-10" in text
