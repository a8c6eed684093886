"""Reports: every kind on the terminal, as Markdown and as CSV, with the values of the JSON."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Group
from rich.table import Table

from flows.contracts.artifact import load_artifact
from flows.report.compare import beside
from flows.report.grid import Grid, grid_of, markdown_of, parts_of
from flows.report.records import ROWS, row_records
from flows.runs import KINDS, find, keep
from tests.factory import random_artifact
from tests.flows.pictures import invoke, write_pack
from tests.flows.report.reports import all_kinds, simulated


@pytest.fixture(name="contents", scope="module")
def fixture_contents(artifact_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("contents")
    evaluated = random_artifact(width=32, heads=2, depth=1, hidden=32, tokens=17, patch_inputs=192, classes=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.cache.CACHE", folder / "cache")
        return all_kinds(artifact_file, write_pack(folder / "pack.npz"), evaluated)


@pytest.fixture(name="store", autouse=True)
def fixture_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIEVIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_every_kind(contents: dict[str, dict[str, Any]]) -> None:
    for content in contents.values():
        keep(content, "some", content["kind"])
    result = invoke("report")
    assert result.exit_code == 0, result.output
    folder = Path("out/report")
    assert set(contents) == set(KINDS)
    expected = {name for kind, rows in ROWS.items() for name in (f"{kind}.md", f"{kind}.csv", f"{kind}_{rows}.csv")}
    assert {path.name for path in folder.iterdir()} == expected
    for kind, meaning in KINDS.items():
        assert f"{kind}: {meaning}" in result.stdout
        (row,) = read_csv(folder / f"{kind}.csv")
        assert row["kind"] == kind and row["run"].startswith(f"{kind}-some-")
        rows = read_csv(folder / f"{kind}_{ROWS[kind]}.csv")
        assert len(rows) == len(contents[kind][ROWS[kind]]) > 0 and {entry["run"] for entry in rows} == {row["run"]}
        text = (folder / f"{kind}.md").read_text()
        assert text.startswith(f"# {kind}\n") and f"\n## {row['run']}\n" in text and "|---" in text


def test_values_are_those_of_the_json(contents: dict[str, dict[str, Any]]) -> None:
    for kind in ("sweep", "resources", "sim"):
        keep(contents[kind], "some", kind)
    assert invoke("report").exit_code == 0
    for row, point in zip(read_csv(Path("out/report/sweep_points.csv")), contents["sweep"]["points"], strict=True):
        for key in ("milliseconds", "utilization", "cycles"):
            assert float(row[key]) == point[key]
        assert float(row["quality.correlation"]) == point["quality"]["correlation"]
        assert int(row["hardware.banks"]) == point["hardware"]["banks"] and row["accuracy"] == row["share"] == ""
    units = read_csv(Path("out/report/resources_units.csv"))
    assert [float(row["lut"]) for row in units] == [unit["lut"] for unit in contents["resources"]["units"]]
    (row,) = read_csv(Path("out/report/sim.csv"))
    assert float(row["utilization"]) == contents["sim"]["utilization"] and row["tokens"] == "17 12 12"
    assert row["breakdown.cycles.slots"] == "12045" and row["registers.SLOTS"] == "5"
    text = Path("out/report/sim.md").read_text()
    assert "| bee \\| wasp | 75.0 % | 4321 | 4321 |" in text and "| rows streamed in slots | 12,045 |" in text


def test_vendor_tools(contents: dict[str, dict[str, Any]]) -> None:
    """A row with the design that is nearest to hardware, every design in the files, and the command's own tables."""
    vivado = keep(contents["vivado"], "some", 1).name
    keep(contents["vitis_hls"], "some", 2)
    result = invoke("report")
    words = " ".join(result.stdout.split())
    assert f"{vivado} bitstream 71,234 1,100 121.5 44% 205.0/200 met" in words
    assert "xczu9eg 120,456 1,280 155.5 51% 274.0/200 met" in words
    rows = {row["name"]: row for row in read_csv(Path("out/report/vivado_designs.csv"))}
    assert list(rows) == ["accelerator, synthesized", "bitstream", "kernel, linked"]
    assert rows["bitstream"]["timing.wns"] == "0.123" and rows["kernel, linked"]["utilization.uram.used"] == "64.0"
    assert "| accelerator, synthesized | 200 | -1.25 | - | NO | 160.0 |" in Path("out/report/vivado.md").read_text()
    assert "| packets.cycles | 208 | 244 | 1 | 38 |" in Path("out/report/vitis_hls.md").read_text()
    assert "71234 / 274080" in invoke("report", vivado, "--format", "none").stdout
    broken = keep({key: value for key, value in contents["vivado"].items() if key != "designs"}, "broken", 3).name
    assert f"error: run {broken} has no 'designs'; run its command again" in invoke("report", broken).stderr


def test_named_runs_in_full(contents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    name = keep(contents["sim"], "some", 1).name
    file = tmp_path / "resources.json"
    file.write_text(json.dumps(contents["resources"]))
    result = invoke("report", name, file, "--format", "none")
    assert result.exit_code == 0, result.output
    assert "tiny: best classes in hardware" in result.stdout and "where the cycles go" in result.stdout
    assert "group.clusters" in result.stdout and not Path("out").exists()


def test_simulations_side_by_side(artifact_file: Path) -> None:
    artifact = load_artifact(artifact_file)
    for clusters, cycles in ((1, 20_000), (2, 12_345), (4, 8_000), (6, 7_000), (8, 6_543)):
        keep(simulated("sim", artifact, clusters, cycles, board="zcu102"), f"tiny-{clusters}", clusters)
    first, second = (grid_of(table) for table in beside(find()))
    assert (len(first.headings), len(second.headings)) == (5, 2)
    cells = {row[0]: row[1:] for row in first.rows}
    assert cells["cycles"] == ("20,000", "12,345", "8,000", "7,000") and cells["model's error"][1] == "+0.04%"
    assert cells["clusters x groups"] == ("1 x 1", "2 x 1", "4 x 1", "6 x 1") and cells["board"] == ("zcu102",) * 4
    result = invoke("report", "--kind", "sim")
    assert "simulations side by side" in result.stdout and "6,543" in result.stdout
    assert "simulations side by side" in Path("out/report/sim.md").read_text()


def test_json_and_formats(contents: dict[str, dict[str, Any]]) -> None:
    keep(contents["sim"], "some", 1)
    keep(contents["search"], "some", 2)
    result = invoke("report", "--json", "--kind", "search", "--format", "md", "--out", "there")
    content = json.loads(result.stdout)
    assert content["files"] == ["there/search.md"] and [path.name for path in Path("there").iterdir()] == ["search.md"]
    (record,) = content["runs"]
    assert record["choice.milliseconds"] == contents["search"]["choice"]["milliseconds"]
    assert "> | 2 x 1" in Path("there/search.md").read_text()


def test_old_reports_are_left_out(contents: dict[str, dict[str, Any]]) -> None:
    old = {key: value for key, value in contents["sim"].items() if key != "breakdown"}
    name = keep(old, "old", 1).name
    result = invoke("report", name)
    assert result.exit_code == 2 and f"error: run {name} has no 'breakdown'; run its command again" in result.stderr
    assert invoke("report").exit_code == 2
    keep(contents["sim"], "new", 2)
    result = invoke("report")
    assert result.exit_code == 0 and f"left out: run {name} has no 'breakdown'" in result.stderr
    assert len(read_csv(Path("out/report/sim.csv"))) == 1


@pytest.mark.parametrize(("options", "message"), [
    ((), "no runs in .*runs; run 'make sim' first, or name the store with --runs"),
    (("--runs", "absent"), "no runs in absent; run 'make sim' first"),
    (("nosuch",), "no such report: nosuch"),
    (("--format", "pdf"), "--format must be md, csv or none, not 'pdf'"),
])
def test_refuses(options: tuple[str, ...], message: str) -> None:
    result = invoke("report", *options)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and re.match(f"error: {message}", lines[0])


def test_kinds_have_to_be_there(contents: dict[str, dict[str, Any]]) -> None:
    keep(contents["sim"], "some", 1)
    assert "--kind must be one of sim, batch" in invoke("report", "--kind", "poem").stderr
    assert "error: no run is of kind eval" in invoke("report", "--kind", "eval").stderr


def test_grids_are_plain() -> None:
    table = Table(title="a [bold]title[/]", caption="below")
    table.add_column("clusters\nx groups")
    table.add_column("MACs/\ncycle", justify="right")
    table.add_row("[red]1 x 2[/]", "a\\b")
    bare = Table(show_header=False)
    bare.add_row("x", "*")
    first, line, second = parts_of(Group(table, "- a [b]line[/b]", bare))
    assert first == Grid("a title", ("clusters x groups", "MACs/cycle"), (False, True), (("1 x 2", "a\\b"),), "below")
    assert line == "- a line" and isinstance(second, Grid) and second.headings == ("", "")
    assert markdown_of(Group(table, bare)) == ("**a title**\n\n| clusters x groups | MACs/cycle |\n|---|---:|\n"
                                               "| 1 x 2 | a\\\\b |\n\nbelow\n\n|  |  |\n|---|---|\n| x | \\* |\n")


def test_every_row_has_its_run(contents: dict[str, dict[str, Any]]) -> None:
    keep(contents["eval"], "some", 1)
    (record,) = row_records(find())
    assert record["name"] == "integer" and record["top1"] == contents["eval"]["networks"]["integer"]["top1"]
