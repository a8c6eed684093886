"""Whole sweeps of a tiny network: the points, what is kept, and where the jobs run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.contracts.errors import ConfigError, SimulationError
from flows.report.compare import overview
from flows.report.grid import markdown_of
from flows.report.views import view_of
from flows.runs import find
from flows.sweep import run as run_module
from flows.sweep import sweep
from flows.sweep.engine import LOCAL, Engine, Job, open_engine
from flows.sweep.plan import Plan, plan_of

KEYS = {"network", "model", "weights", "keep_blocks", "keep_tokens", "artifact_hash", "board", "hardware",
        "config_hash", "clusters", "groups", "clock_mhz", "cycles", "milliseconds", "images_per_second", "accuracy",
        "quality", "resources", "share", "fits", "source", "pareto", "why"}


def plan(artifact_file: Path, **more: Any) -> Plan:
    """Two networks on four configurations, of which one board takes some."""
    return plan_of({"networks": {"artifact": artifact_file, "keep_tokens": [1, .5]},
                    "hardware": {"clusters": [1, 2], "groups": [1, 2]}, "boards": [None, "pynq-z2"], **more}, "test")


def serial(chosen: Plan) -> dict[str, Any]:
    with open_engine() as engine:
        return sweep(chosen, engine)


def without_costs(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in ("results_computed", "results_cached",
                                                                        "wall_seconds")}


@pytest.fixture(name="cache")
def fixture_cache_of_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    monkeypatch.setattr("flows.cache.CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(name="content", scope="module")
def fixture_content(artifact_file: Path) -> dict[str, Any]:
    return serial(plan(artifact_file))


def test_points(content: dict[str, Any]) -> None:
    points = content["points"]
    assert content["kind"] == "sweep" and len(points) == 16 and content["left_out"] == []
    assert all(set(point) >= KEYS for point in points)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["axes"]["keep_tokens"] == [1, .5] and content["axes"]["board"] == [None, "pynq-z2"]
    assert content["axes"]["quality"] == {"key": "quality.correlation", "title": points[0]["quality"]["proxy"],
                                          "proxy": True, "better": "higher"}
    fits = [point for point in points if point["fits"]]
    assert 8 <= len(fits) < 16 and all(bool(point["why"]) != point["fits"] for point in points)
    chosen = [point for point in points if point["pareto"]]
    assert chosen and all(point["fits"] for point in chosen)
    fastest = min(fits, key=lambda point: point["milliseconds"])
    assert min(point["milliseconds"] for point in chosen) == fastest["milliseconds"]
    assert max(point["quality"]["correlation"] for point in chosen) == pytest.approx(1)
    assert all(0 <= index < 16 for entry in content["fronts"] for index in entry["points"])


def test_second_run_computes_nothing(artifact_file: Path, content: dict[str, Any]) -> None:
    again = serial(plan(artifact_file))
    assert again["results_computed"] == 0 and again["results_cached"] == content["results_computed"] > 16
    assert without_costs(again) == without_costs(content)


def test_an_interrupted_sweep_goes_on(artifact_file: Path, content: dict[str, Any], cache: Path) -> None:
    count = 0

    def stops(job: Job, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        nonlocal count
        for index, task in enumerate(tasks):
            if count == 9:
                raise KeyboardInterrupt
            count += 1
            yield index, job(task)

    with pytest.raises(KeyboardInterrupt):
        sweep(plan(artifact_file), stops)
    rest = serial(plan(artifact_file))
    assert 0 < rest["results_computed"] < content["results_computed"]
    assert rest["results_computed"] + rest["results_cached"] == content["results_computed"]
    assert without_costs(rest) == without_costs(content)


def test_another_board_is_all_that_is_new(artifact_file: Path, content: dict[str, Any]) -> None:
    more = serial(plan(artifact_file, boards=[None, "pynq-z2", "kv260"]))
    assert more["results_computed"] == 8


def _same(engine: Engine, artifact_file: Path, content: dict[str, Any]) -> None:
    found = sweep(plan(artifact_file), engine)
    assert found["results_computed"] == content["results_computed"]
    assert without_costs(found) == without_costs(content)


def test_processes_give_the_same(artifact_file: Path, content: dict[str, Any], cache: Path) -> None:
    with open_engine(2) as engine:
        _same(engine, artifact_file, content)


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_gives_the_same(artifact_file: Path, content: dict[str, Any], cache: Path) -> None:
    pytest.importorskip("distributed", reason="the extra 'sweep' is not installed")
    with open_engine(1, LOCAL) as engine:
        _same(engine, artifact_file, content)
        with pytest.raises(ConfigError, match="no such place"):
            list(engine(_fails, [1]))


def _fails(task: int) -> None:
    raise ConfigError("no such place")


@pytest.mark.filterwarnings("ignore")
def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="the extra 'sweep' is not installed")
    monkeypatch.setattr("flows.sweep.engine.CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(ConfigError, match=f"--dask {address}: no scheduler answers there"), \
                open_engine(1, address):
            pass


def _dies(task: int) -> None:
    import os

    os._exit(3)


def test_errors_of_processes() -> None:
    with open_engine(2) as engine:
        with pytest.raises(ConfigError, match="no such place"):
            list(engine(_fails, [1, 2]))
        with pytest.raises(SimulationError, match="a worker process ended early"):
            list(engine(_dies, [1]))


def test_random_points_are_of_the_grid(artifact_file: Path, content: dict[str, Any]) -> None:
    drawn = [serial(plan(artifact_file, search={"method": "random", "samples": 5, "seed": seed}))["points"]
             for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] and len(drawn[0]) == len(drawn[2]) == 5 and drawn[0] != drawn[2]
    names = [(point["network"], point["config_hash"], point["board"]) for point in content["points"]]
    chosen = [names.index((point["network"], point["config_hash"], point["board"])) for point in drawn[0]]
    assert chosen == sorted(chosen)


def test_halving_keeps_the_best(artifact_file: Path, content: dict[str, Any]) -> None:
    found = serial(plan(artifact_file, search={"method": "halving", "eta": 3}))
    assert found["rungs"] == [{"by": "bound", "points": 16}, {"by": "model", "points": 6}]
    assert len(found["points"]) == 6

    exact = {(point["network"], point["config_hash"], point["board"]): point for point in content["points"]}
    for point in found["points"]:
        assert point["cycles"] == exact[point["network"], point["config_hash"], point["board"]]["cycles"]
    chosen, whole = (min(point["milliseconds"] for point in report["points"] if point["pareto"])
                     for report in (found, content))
    assert chosen <= 1.1 * whole


def test_rtl_replaces_the_model(artifact_file: Path, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = []

    def fake(task: Any) -> list[dict[str, Any]]:
        tasks.append(task)
        return [{"cycles": 400_000, "useful_macs": 4_000_000, "peak_macs_per_cycle": 512, "bit_exact": True,
                 "mismatch": "", "run": "sim-x"}]

    monkeypatch.setattr(run_module, "simulate", fake)
    found = serial(plan(artifact_file, simulate=1))
    (measured,) = [point for point in found["points"] if point["source"] == "rtl"]
    (task,) = tasks
    model = next(point for point in content["points"] if (point["network"], point["config_hash"], point["board"]) ==
                 (measured["network"], measured["config_hash"], measured["board"]))
    assert model["pareto"] and measured["expected_cycles"] == model["cycles"] and measured["cycles"] == 400_000
    assert measured["milliseconds"] == 400_000 / (1000 * model["clock_mhz"]) and measured["run"] == "sim-x"
    assert task.options().hardware == model["hardware"] | {"multiplier": "plain", "uram_words": 0}
    # the measured cycles decide what is on the front
    assert not measured["pareto"]
    assert serial(plan(artifact_file, simulate=1))["points"] == found["points"] and len(tasks) == 1


def test_nothing_to_look_at(artifact_file: Path) -> None:
    with pytest.raises(ConfigError, match="the sweep has no point: the network has 64 channels"):
        serial(plan(artifact_file, hardware={"max_width": 32}))


@pytest.mark.slow
def test_real_rtl(artifact_file: Path) -> None:
    """The simulated circuit takes what the cycle model says, is bit exact, and is kept for reports."""
    found = serial(plan(artifact_file, hardware={"clusters": 2}, boards=[None], simulate=1))
    (measured,) = [point for point in found["points"] if point["source"] == "rtl"]
    assert measured["bit_exact"] and measured["cycles"] == pytest.approx(measured["expected_cycles"], rel=.01)
    (kept,) = [entry for entry in find() if entry.name == measured["run"]]
    assert kept.content["cycles"] == measured["cycles"] and overview([kept]).row_count == 1
    assert f"{measured['cycles']:,}" in markdown_of(view_of(kept))
