"""Views: what a page shows of a run is what the reports say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from flows.dashboard import accuracy, fill, markup, numbers, photo, points, roofline, slots
from flows.dashboard.data import RunView, run_view
from flows.dashboard.index import overview
from flows.dashboard.pages import run_page
from flows.published import load_published
from flows.resources.model import resources_of
from flows.runs import Kept, stamp
from flows.shipped import shipped_artifact
from tests.dashboard.conftest import evaluation
from tests.dashboard.sweeps import sweep_content

SMALL: dict[str, Any] = {
    "clusters": 2,
    "groups": 1,
    "max_width": 64,
    "max_hidden": 64,
    "max_patch": 48,
    "max_tokens": 32,
}


@pytest.fixture(name="view", scope="module")
def fixture_view(store: list[Kept]) -> RunView:
    """The view of the simulated run."""
    return run_view(next(run for run in store if run.kind == "sim"), store)


def kept(content: dict[str, Any], name: str = "run") -> Kept:
    return Kept(content["kind"], name, Path("absent"), content)


def test_headline_is_the_report(view: RunView) -> None:
    content = view.kept.content
    values = {item.key: item.value for item in view.headline if item.key}
    assert values == {name: content[name] for name in ("milliseconds", "images_per_second", "cycles", "utilization")}
    assert {item.label for item in view.headline} == {"Latency", "Frames", "Cycles", "Useful MACs / peak", "Accuracy",
                                                      "Board fill"}


def test_steps_are_the_report(view: RunView) -> None:
    rows = view.kept.content["steps"]
    assert [(step.name, step.expected, step.cycles, step.tokens, step.macs, step.bytes) for step in view.steps] == [
        (row["name"], row["expected_cycles"], row["cycles"], row["tokens"], row["useful_macs"], row["memory_bytes"])
        for row in rows]
    assert sum(part.cycles for part in view.parts) == view.kept.content["cycles"]


def test_timeline_accounts_for_the_work(view: RunView) -> None:
    """Busy cycles times MACs of a cluster cover the useful MACs, and steps together are the run."""
    line = view.timeline
    assert line is not None
    content = view.kept.content
    rows = content["breakdown"]["cycles"]["slots"]
    assert max(line.busy) <= rows
    assert sum(line.busy) * 256 >= content["useful_macs"]
    assert line.busy == tuple(map(sum, zip(*(line.busy_in(step) for step in range(len(line.names))), strict=True)))
    assert sum(line.cycles_by_step) == line.total - line.cycle[0]


def test_roofline(view: RunView) -> None:
    roof = view.roofline
    assert roof is not None
    content = view.kept.content
    assert (roof.peak, roof.bandwidth, roof.ridge) == (512, 32.0, 16.0)
    assert roof.run.macs == content["useful_macs"] == sum(dot.macs for dot in roof.steps)
    assert roof.run.cycles == content["cycles"] == sum(dot.cycles for dot in roof.steps)
    assert roof.run.bytes == content["program_bytes"] + 16 * 48
    assert roof.limit(1) == 32
    assert roof.limit(1000) == 512
    assert all(dot.rate <= roof.peak for dot in roof.steps)


def test_bandwidth_of_the_memory() -> None:
    content = {"hardware": {"bus_bits": 256}, "memory": {"bandwidth": 12.8}}
    assert roofline.bandwidth_of(content) == (12.8, "simulated memory")
    content["memory"]["bandwidth"] = 99.0
    assert roofline.bandwidth_of(content)[0] == 32
    content["memory"]["bandwidth"] = 0.0
    assert roofline.bandwidth_of(content) == (32, "width of the bus")


def test_matrices_and_photograph(view: RunView) -> None:
    details = json.loads((view.kept.folder / "details.json").read_text())
    assert [matrix.kept for matrix in view.matrices] == [entry["kept"] for entry in details["matrices"]]
    for matrix in view.matrices:
        assert sum(matrix.by_cluster().values()) + matrix.idle == matrix.kept
    assert view.photo is not None
    assert view.photo.drops == (0,)
    for stage in view.photo.stages:
        assert sum(stage.attention.values()) + stage.fused_attention == pytest.approx(1)
    assert view.photo.png == (view.kept.folder / "picture.png").read_bytes()


def test_nothing_without_details(view: RunView, tmp_path: Path) -> None:
    bare = dataclasses.replace(view.kept, folder=tmp_path)
    found = run_view(bare, [bare])
    assert (found.timeline, found.matrices, found.photo) == (None, (), None)
    assert found.steps == view.steps


def test_accuracy_beside_the_dense_network(view: RunView) -> None:
    """The evaluation of the same network; the dense one is the same model with all MACs on the same images."""
    found = view.accuracy
    assert found is not None
    assert [score.name for score in found.scores] == ["float", "integer", "dense"]
    assert found.best.top1 == 0.795
    assert found.loss == pytest.approx(0.83 - 0.795)
    item = next(item for item in view.headline if item.label == "Accuracy")
    assert item.note == "top-1, 1,000 images, dense 83.0 % (-3.5 points)"


def test_accuracy_takes_the_most_images() -> None:
    sparse, more = (kept(evaluation("aa", top1, 500), f"e{index}") for index, top1 in enumerate((0.8, 0.7)))
    more.content["images"] = 2000
    run = kept({**stamp("sim"), "artifact_hash": "aa"})
    found = accuracy.accuracy_of(run, [run, sparse, more])
    assert found is not None
    assert (found.images, found.scores[0].top1, found.loss) == (2000, 0.7, None)
    assert accuracy.accuracy_of(kept({**stamp("sim"), "artifact_hash": "bb"}), [sparse]) is None
    assert accuracy.accuracy_of(kept(stamp("sim")), [kept(evaluation("x", 0.5, 1) | {"artifact_hash": None})]) is None


def test_accuracy_on_record_is_of_the_shipped_network() -> None:
    """The recorded figures are those of docs/results, and belong to the network that is shipped."""
    from flows.contracts.artifact import load_artifact

    path = shipped_artifact("deit_t")
    assert path is not None
    digest = load_artifact(path).content_hash()[:16]
    found = accuracy.accuracy_of(kept({**stamp("sim"), "artifact_hash": digest}), [])
    assert found is not None
    results = Path(__file__).parents[2] / "docs" / "results"
    recorded = json.loads((results / "eval_224.json").read_text())
    assert found.best.top1 == recorded["networks"]["integer"]["top1"]
    assert found.images == recorded["images"]
    dense = json.loads((results / "runs" / "dense_224" / "evaluations.json").read_text())["evaluations"][-1]
    assert found.best.top1 + (found.loss or 0) == pytest.approx(dense["top1"])


def hardware(**changes: Any) -> dict[str, Any]:
    from flows.contracts.hardware import HardwareConfig

    return HardwareConfig(**(SMALL | changes)).to_dict()


def test_fill_by_the_model() -> None:
    """Without a synthesized report the model is asked; with a board the shares are of it."""
    from flows.contracts.hardware import HardwareConfig

    run = kept({**stamp("sim"), "hardware": {**hardware(), "config_hash": "0"}, "board": "zcu102"})
    found = fill.fill_of(run, [run])
    assert found is not None
    total = resources_of(HardwareConfig(**SMALL), "ultrascale+")
    assert (found.board, found.chosen, found.source) == ("zcu102", True, "analytical model")
    assert {kind.name: kind.used for kind in found.kinds} == pytest.approx(
        {name: amount for name, amount in total.to_dict().items() if amount})
    assert found.largest.share == max(kind.share for kind in found.kinds)
    assert found.total("dsp") == total.dsp


def test_fill_prefers_synthesis_and_finds_a_board() -> None:
    content = {**stamp("sim"), "config_hash": "ab", "hardware": hardware(), "board": None}
    unit = {"name": "core", "count": 2, "lut": 1000.0, "ff": 10.0, "dsp": 5.0, "bram36": 1.0, "uram": 0.0, "path": None}
    synthesized = {**stamp("resources"), "config_hash": "ab", "source": "open synthesis", "family": "ultrascale+",
                   "units": [unit], "total": {"lut": 2000.0, "ff": 20.0, "dsp": 10.0, "bram36": 2.0, "uram": 0.0}}
    found = fill.fill_of(kept(content), [kept(synthesized)])
    assert found is not None
    assert (found.source, found.board, found.chosen) == ("open synthesis", "ultra96-v2", False)
    assert found.units[0].amounts["lut"] == 2000
    other = dict(synthesized, config_hash="other")
    again = fill.fill_of(kept(content), [kept(other)])
    assert again is not None
    assert again.source == "analytical model"


def test_fill_over_the_board() -> None:
    """A kind that the board lacks is infinite, and what fits nowhere is held against the largest board."""
    kind = fill.Kind("uram", "URAM", 3, 0, 0.8)
    assert kind.share == float("inf")
    assert numbers.percent(kind.share) == "∞"
    assert markup.full(kind.share) == "null"
    huge = kept(
        {
            **stamp("sim"),
            "board": None,
            "hardware": hardware(clusters=16, groups=8, max_tokens=208, max_width=1024, max_hidden=4096),
        }
    )
    found = fill.fill_of(huge, [])
    assert found is not None
    assert not found.chosen


def test_sweep_clouds() -> None:
    content = sweep_content()
    accurate, share = points.clouds_of(kept(content), [])
    assert [(point.x, point.y) for point in accurate.points] == [(point["milliseconds"], point["accuracy"])
                                                                 for point in content["points"]]
    assert accurate.series == ("zcu102", "pynq-z2")
    assert (accurate.up, share.up) == (True, False)
    for cloud in (accurate, share):
        fitting = [point for point in cloud.points if point.fits]
        sign = 1 if cloud.up else -1
        for point in fitting:
            beaten = any(other.x <= point.x and sign * other.y >= sign * point.y and
                         (other.x, other.y) != (point.x, point.y) for other in fitting)
            same = any((other.x, other.y) == (point.x, point.y) for other in cloud.front)
            assert same is not beaten


def test_sweep_without_labels_shows_proxies() -> None:
    """Every number that tells points apart; text and constants do not."""
    clouds = points.clouds_of(kept(sweep_content(accuracy=False)), [])
    assert [cloud.y_title for cloud in clouds] == ["same class as the reference", "largest share of the board"]
    assert clouds[0].note == points.PROXY


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"points": None},
        {"points": [3, {}, {"milliseconds": "x"}, {"milliseconds": None}, {"milliseconds": float("nan")}]},
    ],
)
def test_sweeps_that_are_not_as_expected(broken: dict[str, Any]) -> None:
    """Whatever lacks a time is left out."""
    view = run_view(kept({**stamp("sweep"), **broken}), [])
    assert view.clouds == ()
    assert view.headline[0].value == 0


def test_sweep_of_little() -> None:
    """A time and an accuracy are enough for a point."""
    view = run_view(kept({**stamp("sweep"), "points": [{"milliseconds": 1.5, "accuracy": 0.5}]}), [])
    assert [(point.x, point.y, point.fits) for point in view.clouds[0].points] == [(1.5, 0.5, True)]


def test_a_run_is_marked_in_its_sweep() -> None:
    content = sweep_content()
    content["points"][7] |= {"artifact_hash": "aa", "config_hash": "bb"}
    run = kept({**stamp("sim"), "artifact_hash": "aa", "config_hash": "bb", "model": "random", "milliseconds": 1.0})
    clouds = points.clouds_of(run, [run, kept(content, "sweep")])
    assert [index for index, point in enumerate(clouds[0].points) if point.here] == [7]
    assert all(point.key is None for point in clouds[0].points)


def test_beside_published(view: RunView) -> None:
    """This run first, then every published system with its marks."""
    here, *others = view.beside
    systems = load_published()
    assert here.here
    assert [(row.system, row.unverified, row.figures["gops"]) for row in others] == [
        (system.system, system.unverified, system.gops) for system in systems]
    content = view.kept.content
    gops = 2 * content["useful_macs"] / content["milliseconds"] / 1e6
    assert here.figures["gops"] == pytest.approx(gops)
    dsps = here.figures["dsps"]
    assert dsps
    assert here.figures["macs_per_dsp_cycle"] == pytest.approx(content["useful_macs"] / content["cycles"] / dsps)


def test_batch_timeline_is_of_the_first_image(store: list[Kept]) -> None:
    batch = next(run for run in store if run.kind == "batch")
    view = run_view(batch, store)
    assert view.timeline is not None
    assert view.timeline.total == batch.content["images"][0]["cycles"]
    here = view.beside[0]
    assert here.figures["gops"] == pytest.approx(
        2 * batch.content["useful_macs"] / 2 * batch.content["images_per_second"] / 1e9)


def test_timeline_by_hand() -> None:
    details = {
        "steps": ["embed", "block0.qkv"],
        "clusters": [[0, 1, 0], [2, -1, 3]],
        "sources": [[0, 0, 1], [1, -1, 2]],
        "slots": {"cycle": [5, 10, 20], "step": [0, 0, 1], "rows": [5, 8, 9], "length": [5, 8, 9]},
    }
    line = slots.timeline_of(details, {"cycles": 40})
    assert line is not None
    assert line.busy == (22, 14)
    assert line.busy_in(0) == (13, 5)
    assert line.cycles_by_step == (15, 20)
    assert slots.timeline_of({**details, "slots": None}, {"cycles": 40}) is None


def test_photo_needs_both_files(tmp_path: Path) -> None:
    run = Kept("sim", "run", tmp_path, stamp("sim"))
    blocks = [{"alive": [0, 1], "kept": [1], "fused": True, "attention": {"0": 0.25, "1": 0.75}}]
    assert photo.photo_of(run, {"grid": [1, 2], "blocks": blocks}) is None
    (tmp_path / "picture.png").write_bytes(b"png")
    found = photo.photo_of(run, {"grid": [1, 2], "blocks": blocks})
    assert found is not None
    assert found.drops == (0,)
    assert found.stages[0].attention == {0: 0.25, 1: 0.75}
    assert found.uri == "data:image/png;base64,cG5n"


def test_numbers() -> None:
    assert numbers.digits(2.32958) == "2.330"
    assert numbers.digits(429.2619) == "429.3"
    assert numbers.digits(15340.95) == "15,341"
    assert numbers.digits(0.0187) == "0.01870"
    assert numbers.digits(0) == "0"
    assert numbers.percent(0.91975, 2) == "91.98 %"
    assert numbers.percent(0.9283308981661931) == "92.8 %"
    assert [numbers.short(value) for value in (0, 20_000, 1.5e6, 0.01)] == ["0", "20k", "1.5M", "0.01"]
    assert numbers.ticks(57_493) == [0, 10_000, 20_000, 30_000, 40_000, 50_000]
    assert numbers.ticks(0) == [0]
    assert numbers.log_ticks(0.3, 3000) == [1, 10, 100, 1000] or len(numbers.log_ticks(0.3, 3000)) <= 8
    assert numbers.log_ticks(1, 10) == [1, 1.5, 2, 3, 4, 5, 7, 10]


def test_bench_page(tmp_path: Path) -> None:
    """A row of the benchmark is a bar with its own utilization."""
    row = {"model": "vit_micro", "keep_blocks": 1.0, "keep_tokens": 0.7, "clusters": 2, "groups": 1, "source": "model",
           "cycles": 13037, "lower_bound_cycles": 11459, "cycles_over_lower_bound": 1.1377, "milliseconds": 0.065,
           "utilization": 0.8434, "useful_macs_per_dsp_cycle": None}
    page = run_page(run_view(kept({**stamp("bench"), "rows": [row], "published": []}), []))
    assert 'data-value="0.8434" data-key="rows/0/utilization"' in page
    assert "vit_micro 1/0.7, 2\u00d71" in page


def test_a_board_without_a_kind() -> None:
    """UltraRAM on a device that has none: the page says so instead of failing."""
    content = {**stamp("sim"), "hardware": hardware(uram_words=512, resident_words=4096), "board": "pynq-z2",
               "model": "m", "milliseconds": 1.0, "images_per_second": 1000.0, "cycles": 200, "utilization": 0.5,
               "cycles_over_lower_bound": 1.0, "useful_macs": 1000}
    view = run_view(kept(content), [])
    assert view.fill is not None
    assert view.fill.largest.name == "uram"
    item = next(item for item in view.headline if item.label == "Board fill")
    assert item.text == "∞"
    assert "∞" in run_page(view)


def test_overview_of_the_index(view: RunView) -> None:
    """Three simulated runs with accuracy make a scatter, two do not; runs that were not simulated do not count."""
    def at(milliseconds: float, kind: str = "sim") -> RunView:
        content = {**view.kept.content, "milliseconds": milliseconds}
        return dataclasses.replace(view, kept=dataclasses.replace(view.kept, kind=kind, content=content))

    assert overview([at(1.0), at(2.0), at(3.0, "hls")]) is None
    cloud = overview([at(1.0), at(2.0), at(3.0)])
    assert cloud is not None
    assert [(point.x, point.y) for point in cloud.points] == [(1.0, 0.795), (2.0, 0.795), (3.0, 0.795)]
    assert [point.x for point in cloud.front] == [1.0]
