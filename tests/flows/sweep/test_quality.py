"""Quality of networks: the proxy against its definition, accuracy against ``sievit eval``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from flows.accuracy import measure_artifact
from flows.contracts.artifact import TokenDrop, load_artifact, save_artifact
from flows.contracts.errors import ConfigError
from flows.sweep.network import NetworkSpec
from flows.sweep.quality import PHOTOGRAPHS, ScoreTask, agreement, photographs, score
from tests.factory import random_artifact
from tests.flows.pictures import write_pack


@pytest.fixture(name="trained", scope="module")
def fixture_trained(tmp_path_factory: pytest.TempPathFactory) -> NetworkSpec:
    """A network of 32x32 pictures and ten classes that does not say that it is made up."""
    path = tmp_path_factory.mktemp("trained") / "net.safetensors"
    artifact = random_artifact(width=32, heads=2, depth=2, hidden=32, tokens=17, patch_inputs=192, classes=10,
                               drop={0: TokenDrop("topk", keep=9)})
    save_artifact(dataclasses.replace(artifact, weights="somebody's"), path)
    return NetworkSpec("net", artifact=path)


def test_equal_logits_agree() -> None:
    logits = np.random.default_rng(0).normal(0, 1, (4, 9))
    assert agreement(logits, logits) == {"correlation": pytest.approx(1), "agreement": 1.0, "snr_db": None}


def test_noise_is_measured() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.normal(0, 1, (3, 5000))
    found = agreement(theirs + rng.normal(0, .1, theirs.shape), theirs)
    assert found["snr_db"] == pytest.approx(20, abs=.3)
    assert found["correlation"] == pytest.approx(1 / np.sqrt(1.01), abs=1e-3)
    assert agreement(-theirs, theirs)["correlation"] == pytest.approx(-1)


def test_photographs_differ() -> None:
    pictures = photographs(24)
    assert len(pictures) == 2 * len(PHOTOGRAPHS) and {picture.shape for picture in pictures} == {(24, 24, 3)}
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


def test_proxy_falls_as_tokens_go(trained: NetworkSpec) -> None:
    whole = score(ScoreTask(dataclasses.replace(trained, keep_tokens=1.0)))
    half = score(ScoreTask(dataclasses.replace(trained, keep_tokens=.2)))
    assert whole["accuracy"] is None and whole["quality"]["correlation"] == pytest.approx(1)
    assert whole["quality"]["snr_db"] is None and whole["quality"]["agreement"] == 1
    assert half["quality"]["correlation"] < .9999 and half["quality"]["snr_db"] > 0
    assert half["quality"]["reference"] == "net.safetensors, tokens 1"


def test_accuracy_is_that_of_eval(trained: NetworkSpec, tmp_path: Path) -> None:
    assert trained.artifact is not None
    pack = write_pack(tmp_path / "pack.npz")
    expected = measure_artifact(load_artifact(trained.artifact), pack, images=8, workers=1)
    found = score(ScoreTask(trained, pack, 8))
    assert found["accuracy"] == expected.rows["integer"].top1
    assert found["quality"]["top1_interval"] == list(expected.rows["integer"].top1_interval)
    assert found["quality"]["mean_tokens"] == list(expected.tokens) and found["quality"]["images"] == 8


def test_made_up_weights_have_no_accuracy(artifact_file: Path, tmp_path: Path) -> None:
    found = score(ScoreTask(NetworkSpec("small", artifact=artifact_file), write_pack(tmp_path / "pack.npz"), 8))
    assert found["accuracy"] is None and "top1" not in found["quality"]


def test_classes_have_to_fit(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    artifact = random_artifact(width=32, heads=2, depth=1, hidden=32, tokens=17, patch_inputs=192, classes=12,
                               drop={0: TokenDrop("topk", keep=9)})
    save_artifact(dataclasses.replace(artifact, weights="somebody's"), path)
    with pytest.raises(ConfigError, match="has 10 classes, net.safetensors has 12; leave the network or --images out"):
        score(ScoreTask(NetworkSpec("net", artifact=path), write_pack(tmp_path / "pack.npz"), 8))
