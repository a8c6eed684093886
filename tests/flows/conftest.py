"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.contracts.artifact import TokenDrop, save_artifact
from tests.factory import random_artifact


@pytest.fixture(name="artifact_file", scope="module")
def fixture_artifact_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network in a file."""
    path = tmp_path_factory.mktemp("artifact") / "small.safetensors"
    save_artifact(random_artifact(width=64, heads=2, depth=2, hidden=64, tokens=17, classes=21, seed=8,
                                  drop={0: TokenDrop("topk", keep=9)}), path)
    return path
