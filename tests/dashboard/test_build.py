"""Files: what is written, that it repeats, and what the command says."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli import app
from flows.dashboard import Built, build_dashboard, markup
from flows.dashboard.data import run_view
from flows.dashboard.figures import DRAWN, draw_figures
from flows.runs import Kept

FIGURES = {"cycles", "breakdown", "timeline", "balance", "roofline", "blocks", "photograph", "resources", "scatter_0",
           "scatter_1"}


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_bytes(built: Built, store_folder: Path, tmp_path: Path) -> None:
    again = build_dashboard(tmp_path, store_folder, figures=False)
    assert again.pages.keys() == built.pages.keys()
    assert digests(tmp_path) == digests(built.index.parent)


def test_pages_stand_alone(built: Built) -> None:
    """Nothing is fetched: sources are data, links go to anchors and to other pages beside this one."""
    names = {path.name for path in built.pages.values()} | {built.index.name}
    for path in (*built.pages.values(), built.index):
        html = path.read_text()
        assert html.startswith("<!doctype html>")
        assert "{{" not in html
        assert not re.search(r"<link[^>]+href=\"(?!data:)", html)
        assert not re.search(r"@import|url\(|<script[^>]+src=|fetch\(|XMLHttpRequest", html)
        for source in re.findall(r" src=\"([^\"]*)\"", html):
            assert source == "" or source.startswith("data:")
        for target in re.findall(r"<a [^>]*href=\"([^\"]*)\"", html):
            assert target.startswith("#") or target in names
        identifiers = re.findall(r" id=\"([^\"]+)\"", html)
        assert len(identifiers) == len(set(identifiers))


def test_figures(store: list[Kept], tmp_path: Path) -> None:
    """Every figure that a run has, as a picture with something in it, twice the same."""
    view = run_view(next(run for run in store if run.kind == "sim"), store)
    files = draw_figures(view, tmp_path / "one")
    assert {path.stem for path in files} == FIGURES <= DRAWN.keys()
    for path in files:
        if path.suffix == ".png":
            pixels = np.asarray(Image.open(path).convert("L"))
            assert pixels.shape[1] > 1000
            assert pixels.std() > 5
        else:
            assert ET.parse(path).getroot().tag.endswith("svg")
    draw_figures(view, tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_command(store_folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["dashboard", "--runs", str(store_folder), "--out", str(tmp_path / "d"),
                                      "--no-figures", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert Path(told["index"]).is_file()
    assert all(Path(path).is_file() for path in told["pages"].values())
    assert told["figures"] == []
    assert told["left_out"] == {}
    assert not list((tmp_path / "d").glob("*.tmp"))


def test_without_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIEVIT_RUNS", raising=False)
    result = CliRunner().invoke(app, ["dashboard"])
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line]
    assert lines == ["error: no runs in out/runs; run 'make sim' first, or name the folder with --runs"]
    assert not (tmp_path / "out").exists()


def test_out_is_a_file(store_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["dashboard", "--runs", str(store_folder), "--out", str(tmp_path / "file")])
    assert result.exit_code == 2
    assert "error: --out" in result.stderr
    assert "Traceback" not in result.output


def test_damaged_reports_are_left_out(store: list[Kept], tmp_path: Path) -> None:
    """Others are drawn, and the command says which are missing and why; without any other it is an error."""
    run = next(run for run in store if run.kind == "sim")
    for name in ("good", "bad"):
        shutil.copytree(run.folder, tmp_path / "runs" / name)
    report = tmp_path / "runs" / "bad" / "report.json"
    content = json.loads(report.read_text())
    del content["steps"][0]["slots"]
    report.write_text(json.dumps(content))
    arguments = ["dashboard", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--no-figures"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "left out: bad, its report is not as expected (KeyError: 'slots'); run its command again" in result.stderr
    assert (tmp_path / "out" / "good.html").is_file()
    assert not (tmp_path / "out" / "bad.html").exists()
    shutil.rmtree(tmp_path / "runs" / "good")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "error: no run can be drawn; bad: KeyError: 'slots'" in result.stderr


def test_text_is_escaped(store: list[Kept], tmp_path: Path) -> None:
    """Names of classes and files cannot break a page."""
    run = next(run for run in store if run.kind == "sim")
    shutil.copytree(run.folder, tmp_path / "runs" / "odd")
    report = tmp_path / "runs" / "odd" / "report.json"
    content = json.loads(report.read_text())
    content["top5"][0]["name"] = content["weights"] = content["model"] = "</script><b>\"&'"
    report.write_text(json.dumps(content))
    html = build_dashboard(tmp_path / "out", tmp_path / "runs", figures=False).pages["odd"].read_text()
    assert "<b>\"&" not in html
    assert html.count("</script>") == 2
    assert markup.tag("p", markup.text("<&>")) == "<p>&lt;&amp;&gt;</p>"
    assert markup.tag("rect", x=1.5, class_="a", data_key=None, hidden=True) == '<rect x="1.5" class="a" hidden/>'
