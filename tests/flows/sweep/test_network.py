"""Networks of a sweep: other shares of tokens, and the facts that points show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from flows.contracts.artifact import TokenDrop, load_artifact
from flows.contracts.errors import ConfigError
from flows.shipped import shipped_artifact
from flows.sweep.network import NetworkSpec, facts_of, kept_share, tokens_of, with_tokens
from tests.factory import random_artifact


def test_tokens_of_an_artifact_change(artifact_file: Path) -> None:
    artifact = load_artifact(artifact_file)
    assert tokens_of(artifact) == [17, 11, 11]
    fewer = with_tokens(artifact, .5)
    assert fewer.blocks[0].drop == TokenDrop("topk", keep=8) and fewer.blocks[1].drop is None
    assert tokens_of(with_tokens(artifact, 1.0)) == [17, 17, 17]
    # all else is the same
    assert dataclasses.replace(fewer, blocks=artifact.blocks).content_hash() == artifact.content_hash()


def test_thresholds_are_refused() -> None:
    artifact = random_artifact(drop={0: TokenDrop("threshold", threshold=5)})
    with pytest.raises(ConfigError, match="drops tokens by threshold; keep_tokens of an artifact needs top-k"):
        with_tokens(artifact, .5)


def test_facts_of_a_changed_artifact(artifact_file: Path) -> None:
    plain = facts_of(NetworkSpec("small", artifact=artifact_file))
    changed = facts_of(NetworkSpec("small", artifact=artifact_file, keep_tokens=.5))
    assert (plain["keep_tokens"], changed["keep_tokens"]) == (.562, .5)  # 9 of 16
    assert changed["tokens"] == [17, 10, 10] and changed["artifact_hash"] != plain["artifact_hash"]
    assert plain["synthetic"] and plain["classes"] == 21


def test_pruned_neurons_count_as_pruned() -> None:
    path = shipped_artifact("deit_t")
    assert path is not None
    assert kept_share(load_artifact(path)) == pytest.approx(.488, abs=.001)


def test_missing_file() -> None:
    with pytest.raises(ConfigError, match="artifact: no such file: absent"):
        NetworkSpec("x", artifact=Path("absent")).check()
