"""A store of real runs of a small network, its dashboard, and a browser to look at it."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows import cli, sim_flow
from flows.contracts.artifact import TokenDrop, save_artifact
from flows.dashboard import Built, build_dashboard
from flows.runs import Kept, find, keep, stamp
from sim.accelerator import build_accelerator
from tests.dashboard.sweeps import sweep_content
from tests.factory import random_artifact

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(name="store_folder", scope="session")
def fixture_store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the command line: one image and two on the simulated RTL, resources; and an evaluation and a sweep."""
    folder = tmp_path_factory.mktemp("store")
    artifact = folder / "small.safetensors"
    save_artifact(random_artifact(width=64, heads=2, depth=2, hidden=64, tokens=17, classes=21, seed=8,
                                  drop={0: TokenDrop("topk", keep=9)}), artifact)
    runs = folder / "runs"
    with pytest.MonkeyPatch.context() as patch:
        # The same simulator as in the other tests, so that it is built once.
        patch.setattr(
            sim_flow, "build_accelerator", functools.partial(build_accelerator, assertions=True, optimize="-O1")
        )
        patch.setattr("flows.cache.CACHE", folder / "cache")
        patch.setenv("SIEVIT_RUNS", str(runs))
        patch.chdir(folder)
        for options in ((), ("--repeat", "2")):
            result = CliRunner().invoke(cli.app, ["sim", "--artifact", str(artifact), "--clusters", "2", *options])
            assert result.exit_code == 0, result.output
        result = CliRunner().invoke(cli.app, ["resources", "--artifact", str(artifact), "--clusters", "2", "--board",
                                              "zcu104", "--estimate"])
        assert result.exit_code == 0, result.output
    simulated = next(run for run in find(runs) if run.kind == "sim")
    keep(evaluation(simulated.content["artifact_hash"], 0.8, macs=500), "random-pack", "sparse", root=runs)
    keep(evaluation("0123456789abcdef", 0.83, macs=900), "random-pack", "dense", root=runs)
    keep(sweep_content(), "random", "sweep", root=runs)
    return runs


def evaluation(artifact: str, top1: float, macs: int) -> dict[str, Any]:
    """An evaluation's report."""
    row = {"top1": top1, "top1_interval": [top1 - 0.02, top1 + 0.02], "top5": 0.99, "top5_interval": [0.97, 1.0]}
    return {
        **stamp("eval", artifact=artifact),
        "model": "random",
        "weights": "synthetic",
        "images": 1000,
        "pack": "p",
        "networks": {"float": {**row, "agreement": 1.0}, "integer": {**row, "top1": top1 - 0.005, "agreement": 0.98}},
        "differing_logits": 0,
        "tokens": [17, 11, 11],
        "macs": macs,
        "dense_macs": 900,
    }


@pytest.fixture(name="store", scope="session")
def fixture_store(store_folder: Path) -> list[Kept]:
    """The runs."""
    return find(store_folder)


@pytest.fixture(name="built", scope="session")
def fixture_built(store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The dashboard of the store, without figures."""
    return build_dashboard(tmp_path_factory.mktemp("dashboard"), store_folder, figures=False)


@pytest.fixture(name="browser", scope="module")
def fixture_browser() -> Iterator[Any]:
    """A headless Chromium of the system; its event loop would be in the way of other modules' tests."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; pip install '.[dev]'")
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH; apt-get install chromium")
    with api.sync_playwright() as driver:
        # Chromium has no sandbox for the superuser, and containers have little shared memory.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(name="shots")
def fixture_shots(tmp_path: Path) -> Path:
    """Where screenshots go: the folder ``SIEVIT_SCREENSHOTS``, else the test's own."""
    folder = Path(os.environ.get("SIEVIT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
