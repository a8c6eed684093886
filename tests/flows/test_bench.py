"""The benchmark: its rows, the check against a baseline, and the published figures beside it."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from boards.catalog import load_board
from flows import bench, bench_check, breakdown, cli, sim_flow
from flows.bench import ARRAYS, Array, BenchOptions, array_dsps, bench_rows
from flows.bench_check import BASELINE, RATIOS, check, load_baseline, models_in, record
from flows.contracts.errors import ConfigError, SimulationError
from flows.contracts.hardware import HardwareConfig
from flows.golden_speed import golden_images_per_second
from flows.published import FIGURES, System, load_published
from flows.search import find
from sim.accelerator import MemoryOptions, build_accelerator
from tests.factory import random_artifact
from tests.flows.coarse_parts import coarse_parts

KEYS = {"model", "keep_blocks", "keep_tokens", "peak_macs_per_cycle", "clusters", "groups", "cycles",
        "lower_bound_cycles", "utilization", "stall_cycles", "cycles_over_lower_bound", "useful_macs_per_dsp_cycle",
        "array_dsps", "stall_share", "outside_slot_share", "milliseconds", "simulated_cycles_per_second",
        "compile_seconds", "golden_images_per_second", "hls_images_per_second"}
SMALL = BenchOptions(models=("vit_micro",), quick=True, synthetic=True)


@pytest.fixture(autouse=True)
def fixture_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files of a test stay in its folder; exports and programs are kept for the other tests of this module."""
    monkeypatch.setattr("flows.cache.CACHE", tmp_path_factory.getbasetemp() / "bench_cache")
    monkeypatch.chdir(tmp_path)


@functools.cache
def small_rows() -> tuple[dict[str, Any], ...]:
    """Rows of the smallest model."""
    return tuple(bench_rows(SMALL))


def invoke(*arguments: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(cli.app, ["bench", *map(str, arguments)])


def test_rows() -> None:
    """Every row has the promised keys, and its ratios follow from its counts."""
    rows = small_rows()
    assert len(rows) == 2 * len(ARRAYS)
    assert [(row["clusters"], row["groups"]) for row in rows[:len(ARRAYS)]] == [(a.clusters, a.groups) for a in ARRAYS]
    for row in rows:
        assert set(row) >= KEYS
        assert row["weights"] == "synthetic (seed 0)"
        assert row["peak_macs_per_cycle"] == 256 * row["clusters"] * row["groups"]
        assert row["utilization"] == row["useful_macs"] / (row["cycles"] * row["peak_macs_per_cycle"])
        assert row["useful_macs_per_dsp_cycle"] == pytest.approx(2 * row["utilization"])
        assert row["cycles_over_lower_bound"] == row["cycles"] / row["lower_bound_cycles"] >= 1
        assert row["slots_over_lower_bound"] >= 1
        assert row["stall_share"] == row["stall_cycles"] / row["cycles"]
        assert sum(row["breakdown"].values()) == row["cycles"]
        assert row["outside_slot_share"] == 1 - row["breakdown"]["slots"] / row["cycles"]
        assert row["milliseconds"] == pytest.approx(row["cycles"] / 200_000)
        assert row["compile_seconds"] is row["golden_images_per_second"] is row["simulated_cycles_per_second"] is None
        assert row["hls_images_per_second"] is None
    cycles = [row["cycles"] for row in rows]
    assert cycles[len(ARRAYS)] < cycles[0]
    assert len(set(cycles)) > 6


def test_rows_on_a_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row per network: the search's configuration, at the clock and with the memory of the board."""
    monkeypatch.setattr(find, "model_parts", coarse_parts)
    board = load_board("zcu102")
    rows = bench_rows(dataclasses.replace(SMALL, board=board))
    assert [(row["board"], row["keep_blocks"]) for row in rows] == [("zcu102", 1.0), ("zcu102", 0.5)]
    for row in rows:
        config = HardwareConfig.from_dict(row["hardware"] | {"clusters": row["clusters"], "groups": row["groups"]})
        assert config.multiplier == row["multiplier"] == "dsp48e2"
        assert row["clock_mhz"] == board.clock_mhz
        assert row["memory_bytes_per_cycle"] == pytest.approx(12.8)
        assert row["milliseconds"] == pytest.approx(row["cycles"] / (1000 * board.clock_mhz))
        assert row["peak_macs_per_cycle"] == config.macs_per_cycle
    assert all(row["board"] is None for row in small_rows())


def test_a_board_has_no_baseline() -> None:
    """Baselines are about array sizes."""
    result = invoke("--board", "zcu102", "--check")
    assert result.exit_code == 2
    assert "without --board" in result.stderr


def test_speeds_are_measured() -> None:
    """Without --quick a row has the seconds of a real compilation, and the speed of golden and HLS models."""
    options = BenchOptions(models=("vit_micro",), synthetic=True, arrays=(Array(1), Array(1)), sparsities=((0.5, 0.7),))
    stages: list[tuple[str, float]] = []
    first, second = bench_rows(options, lambda stage, share: stages.append((stage, share)))
    assert first["golden_images_per_second"] == second["golden_images_per_second"] > 1
    assert first["hls_images_per_second"] == second["hls_images_per_second"] > 1
    assert min(first["compile_seconds"], second["compile_seconds"]) > 0
    assert stages == [("vit_micro 0.5/0.7", share) for share in (0.0, 0.5, 1.0)]


def test_schedules_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before every timed compilation."""
    cleared: list[bool] = []
    monkeypatch.setattr(bench.schedule, "cache_clear", lambda: cleared.append(True))
    options = BenchOptions(models=("vit_micro",), synthetic=True, arrays=ARRAYS[:2], sparsities=((1.0, 1.0),))
    for name in ("golden_images_per_second", "hls_images_per_second"):
        monkeypatch.setattr(bench, name, lambda artifact, images: 1.0)
    bench_rows(options)
    assert cleared == [True, True]


def test_hardware_and_memory_of_an_array() -> None:
    """An array may have its own hardware fields and memory; both count."""
    slow = Array(2, hardware={"bus_bits": 128}, memory=MemoryOptions(latency=300, bandwidth=4))
    options = BenchOptions(models=("vit_micro",), quick=True, synthetic=True, arrays=(Array(2), slow),
                           sparsities=((0.5, 0.7),))
    usual, other = bench_rows(options)
    assert other["cycles"] > 1.5 * usual["cycles"]
    assert (other["hardware"], other["memory_latency"], other["memory_bytes_per_cycle"]) == ({"bus_bits": 128}, 300, 4)


def test_array_dsps() -> None:
    """128 slices for 256 MACs when two share a slice."""
    config = HardwareConfig(clusters=4, groups=2)
    assert array_dsps(config) == 8 * 256
    assert array_dsps(config.replace(multiplier="dsp48e2")) == array_dsps(config.replace(multiplier="dsp48e1")) == 1024
    assert array_dsps(HardwareConfig(clusters=1, multiplier="dsp48e1", row_cycles=2)) == 64


def test_golden_speed_reports_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that fails gives one line, not a number."""
    artifact = random_artifact(patch_inputs=192)
    monkeypatch.setattr("flows.golden_speed.save_artifact", lambda artifact, path: path.write_bytes(b"nothing"))
    with pytest.raises(SimulationError, match="the golden model's speed could not be measured: .*ArtifactError"):
        golden_images_per_second(artifact)


@pytest.mark.slow
def test_simulated_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --simulate cycles, stalls and breakdown are those of the RTL, close to the model's."""
    monkeypatch.setattr(sim_flow, "build_accelerator",
                        functools.partial(build_accelerator, assertions=True, optimize="-O1"))
    options = BenchOptions(models=("vit_micro",), quick=True, synthetic=True, arrays=ARRAYS[1:2],
                           sparsities=((0.5, 0.7),))
    (model,), (rtl,) = bench_rows(options), bench_rows(dataclasses.replace(options, simulate=True))
    assert (model["source"], rtl["source"], rtl["bit_exact"]) == ("model", "rtl", True)
    assert rtl["cycles"] == pytest.approx(model["cycles"], rel=0.01)
    assert rtl["expected_cycles"] == model["cycles"]
    assert sum(rtl["breakdown"].values()) == rtl["cycles"]
    assert rtl["outside_slot_share"] == breakdown.outside_slots(rtl["breakdown"])
    assert rtl["simulated_cycles_per_second"] > 100
    assert set(rtl) == set(model)


def test_equal_rows_pass(tmp_path: Path) -> None:
    """What was recorded is read back; rounding is no change."""
    rows = small_rows()
    record(rows, tmp_path / "baseline.json")
    baseline = load_baseline(tmp_path / "baseline.json")
    assert models_in(baseline) == ("vit_micro",)
    verdict = check(rows, baseline)
    assert (verdict.worse, verdict.better, verdict.rows) == ((), (), len(rows))


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda ratio: ratio.name)
@pytest.mark.parametrize(("change", "worse", "better"), [(0.025, 1, 0), (0.015, 0, 0), (-0.025, 0, 1)])
def test_every_ratio_is_guarded(ratio: bench_check.Ratio, change: float, worse: int, better: int) -> None:
    """A loss of 2.5 % fails, one of 1.5 % does not, a gain is reported; for shares in points of all cycles."""
    rows = small_rows()
    doctored = [dict(row) for row in rows]
    now = rows[3][ratio.name]
    # The baseline against which the row has lost that much.
    doctored[3][ratio.name] = now + ratio.better * change if ratio.share else now / (1 - ratio.better * change)
    verdict = check(rows, doctored)
    assert (len(verdict.worse), len(verdict.better)) == (worse, better)
    for line in (*verdict.worse, *verdict.better):
        assert line.startswith(f"vit_micro, blocks 1, tokens 1, 4 x 2: {ratio.name} ")


def test_rows_need_partners() -> None:
    """A row without a baseline fails, and so does a baseline without a row; other models do not count."""
    rows = small_rows()
    other = rows[0] | {"model": "deit_b"}
    assert check(rows, [*rows, other]).worse == ()
    assert check(rows, rows[1:]).worse == \
        ("vit_micro, blocks 1, tokens 1, 1 x 1: not in the baseline; record it with make bench-baseline",)
    assert check(rows[1:], rows).worse == ("vit_micro, blocks 1, tokens 1, 1 x 1: in the baseline, but not measured",)


@pytest.mark.parametrize("text", ["", "[]", '{"rows": []}', '{"rows": [{"model": "deit_t"}]}', '{"rows": 3}'])
def test_damaged_baseline(tmp_path: Path, text: str) -> None:
    """It says what to do."""
    path = tmp_path / "baseline.json"
    with pytest.raises(ConfigError, match="no baseline at .*; record one with make bench-baseline"):
        load_baseline(path)
    path.write_text(text)
    with pytest.raises(ConfigError, match="is no baseline of this version; record a new one with make bench-baseline"):
        load_baseline(path)


def test_committed_baseline() -> None:
    """It covers the whole grid of DeiT-Tiny."""
    baseline = load_baseline(BASELINE)
    assert models_in(baseline) == ("deit_t",)
    assert {(row["clusters"], row["groups"]) for row in baseline} == {(a.clusters, a.groups) for a in ARRAYS}
    assert len(baseline) == 2 * len(ARRAYS)


@pytest.mark.slow
def test_bench_check() -> None:
    """The committed baseline holds for this design: what 'make bench-check' says."""
    result = invoke("--check")
    assert result.exit_code == 0, result.stderr


def test_command_line_check() -> None:
    """Record, check, and a check that fails: exit 1, one line per offender."""
    small = ("--models", "vit_micro", "--baseline", "baseline.json")
    result = invoke(*small, "--record")
    assert result.exit_code == 0, result.output
    result = invoke(*small, "--check")
    assert result.exit_code == 0, result.output
    assert "10 rows are no more than 2 % worse than the baseline" in result.stderr
    assert "improved" not in result.stderr
    content = json.loads(Path("baseline.json").read_text())
    content["rows"][0]["utilization"] *= 0.9
    Path("baseline.json").write_text(json.dumps(content))
    result = invoke("--check", "--baseline", "baseline.json")
    assert result.exit_code == 0, result.output
    assert "improved; run make bench-baseline to record" in result.stderr
    content["rows"][1]["cycles_over_lower_bound"] *= 0.9
    content["rows"][7]["stall_share"] -= 0.03
    Path("baseline.json").write_text(json.dumps(content))
    result = invoke("--check", "--baseline", "baseline.json")
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("worse: ")]
    assert len(lines) == 2
    assert "2 x 1: cycles_over_lower_bound" in lines[0]
    assert "4 x 1: stall_share" in lines[1]


def test_command_line_json_and_report() -> None:
    """Rows and published figures, in both places; a table without --json."""
    result = invoke("--model", "vit_micro", "--quick", "--json", "--report", "deep/bench.json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content == json.loads(Path("deep/bench.json").read_text())
    assert [row["model"] for row in content["rows"]] == ["vit_micro"] * 10
    assert any(not entry["verified"] for entry in content["published"])
    result = invoke("--models", "vit_micro", "--quick")
    for words in ("useful/", "published figures", "not verified", "EfficientViT", "~0.53*", "weights"):
        assert words in result.stdout
    assert "on this machine" not in result.stdout


@pytest.mark.parametrize(("arguments", "message"), [
    (["--check", "--record"], "--check and --record exclude each other"),
    (["--check", "--baseline", "missing.json"], "no baseline at missing.json; record one with make bench-baseline"),
    (["--model", "deit_t", "--models", "deit_s"], "give --model or --models, not both"),
    (["--models", "deit_t,deit_t"], "--models names a model twice: deit_t,deit_t"),
    (["--models", "resnet18", "--quick"], "resnet18"),
])
def test_bad_input(arguments: list[str], message: str) -> None:
    """One line, exit 2."""
    result = invoke(*arguments)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]


def test_published_figures_follow_from_each_other() -> None:
    """Derived MACs per slice and cycle, recomputed; every entry names its source."""
    systems = load_published()
    assert len(systems) > 12
    checked = 0
    for system in systems:
        if "macs_per_dsp_cycle" not in system.derived or system.clock_mhz is None:
            continue
        per_dsp = system.gops_per_dsp
        if system.gops is not None and system.dsps is not None:
            per_dsp = system.gops / system.dsps
        assert per_dsp is not None
        assert system.macs_per_dsp_cycle == pytest.approx(per_dsp * 1000 / 2 / system.clock_mhz, abs=0.006)
        checked += 1
    assert checked >= 8
    assert {system.verified for system in systems} == {True, False}
    assert set(FIGURES) < set(System.model_fields)


ENTRY = "- {system: A, venue: B, source: C, model: M, precision: int8, platform: P"


@pytest.mark.parametrize(("text", "message"), [
    ("- [", "cannot be read"),
    ("system: A", "must be a list of systems"),
    (ENTRY + ", gops: fast}", r"entry 1 \(A\): gops: Input should be a valid number"),
    (ENTRY + ", gops: 1, speed: 2}", r"entry 1 \(A\): speed: Extra inputs are not permitted"),
    (ENTRY + ", utilization: 95}", r"entry 1 \(A\): utilization: Input should be less than or equal to 1"),
    (ENTRY + ", gops: 1, unverified: [dsps]}", "may name figures that are given, not 'dsps'"),
    (ENTRY + ", gops: 1, derived: {source: x}}", "may name figures that are given, not 'source'"),
    (ENTRY + "}", "no figure is given"),
    ("- 5", r"entry 1 \(\?\): Input should be a valid dictionary"),
])
def test_bad_published_file(tmp_path: Path, text: str, message: str) -> None:
    """The loader names the entry and the field."""
    path = tmp_path / "published.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_published(path)


def test_missing_published_file(tmp_path: Path) -> None:
    """A line, not a traceback."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_published(tmp_path / "none.yaml")
