"""What is kept of a simulation besides its report, against the run itself."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows import cli, sim_flow
from flows.contracts.artifact import SparseVit, load_artifact
from flows.contracts.preprocess import crop, load_image, patch_codes
from flows.runs import find
from flows.runs.details import LEFT_OUT, PRUNED
from flows.sim_flow import default_image
from sim.accelerator import build_accelerator
from sim.golden.network import run


@pytest.fixture(name="folder", scope="module")
def fixture_folder(artifact_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a run of the small network leaves behind."""
    place = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim_flow, "build_accelerator",
                      functools.partial(build_accelerator, assertions=True, optimize="-O1"))
        patch.setattr("flows.cache.CACHE", place / "cache")
        patch.setenv("SIEVIT_RUNS", str(place / "runs"))
        result = CliRunner().invoke(cli.app, ["sim", "--artifact", str(artifact_file), "--clusters", "2", "--bandwidth",
                                              "0", "--report", str(place / "report.json")])
    assert result.exit_code == 0, result.output
    (kept,) = find(place / "runs")
    assert kept.content == json.loads((place / "report.json").read_text())
    return kept.folder


@pytest.fixture(name="details")
def fixture_details(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "details.json").read_text())


@pytest.fixture(name="artifact")
def fixture_artifact(artifact_file: Path) -> SparseVit:
    return load_artifact(artifact_file)


def test_slots_follow_each_other(folder: Path, details: dict[str, Any]) -> None:
    report, slots = json.loads((folder / "report.json").read_text()), details["slots"]
    begin, length = np.array(slots["cycle"]), np.array(slots["length"])
    assert (np.diff(begin) >= length[:-1]).all()
    assert begin[-1] + length[-1] < report["cycles"]
    assert sum(slots["rows"]) == report["breakdown"]["cycles"]["slots"]
    assert np.bincount(slots["step"]).tolist() == [step["slots"] for step in report["steps"]]
    assert details["steps"] == [step["name"] for step in report["steps"]]


def test_clusters_work_on_every_kept_block_once(details: dict[str, Any], artifact: SparseVit) -> None:
    step_of, names = details["slots"]["step"], details["steps"]
    maps = {matrix["name"]: matrix for matrix in details["matrices"]}
    layers = {"embed": artifact.embed, "head": artifact.head,
              **{f"block{index}.{kind}": getattr(block, kind) for index, block in enumerate(artifact.blocks)
                 for kind in ("qkv", "proj", "fc1", "fc2")}}
    assert list(maps) == sorted(layers, key=list(maps).index)
    for name, layer in layers.items():
        rows = maps[name]["clusters"]
        assert [[letter != PRUNED for letter in row] for row in rows] == layer.mask.tolist()
        for cluster, jobs in enumerate(details["clusters"]):
            busy = sum(job >= 0 for job, step in zip(jobs, step_of, strict=True) if names[step] == name)
            # A column without blocks gets one of zeros.
            empty = sum(set(row) == {PRUNED} for row in rows)
            drawn = "".join(rows).count(f"{cluster:x}")
            assert drawn <= busy <= drawn + empty
    assert all(letter in f"01{PRUNED}{LEFT_OUT}" for matrix in maps.values() for row in matrix["clusters"]
               for letter in row)


def test_patches_and_attention(details: dict[str, Any], artifact: SparseVit) -> None:
    codes = patch_codes(load_image(default_image()), artifact)
    golden = run(artifact, codes, record=True)
    first, second = details["blocks"]
    edge = artifact.image_size // artifact.patch
    assert details["grid"] == [edge, edge]
    assert first["alive"] == list(range(artifact.tokens - 1))
    assert first["kept"] == second["alive"] == second["kept"] == (golden.kept[0] - 1).tolist()
    assert (first["fused"], second["fused"]) == (True, True)
    for row in (first, second):
        assert list(map(int, row["attention"])) == row["alive"]
        assert sum(row["attention"].values()) + row["fused_attention"] == pytest.approx(1)
    # The patches that stay are those that the class token attends to most.
    dropped = set(first["alive"]) - set(first["kept"])
    assert min(first["attention"][str(patch)] for patch in first["kept"]) >= \
        max(first["attention"][str(patch)] for patch in dropped)


def test_picture_is_what_the_network_sees(folder: Path, artifact: SparseVit) -> None:
    with Image.open(folder / "picture.png") as picture:
        assert np.array_equal(np.asarray(picture), crop(load_image(default_image()), artifact.image_size))
