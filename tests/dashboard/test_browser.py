"""The pages in a real headless Chromium: nothing fails, values are the report's, keys work, themes and widths too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.dashboard import Built, build_dashboard
from flows.runs import Kept, find
from tests.dashboard.browsing import WIDTHS, charts, check_values, load_seconds, opened, tip

RUN_CHARTS = {"photograph", "cycles", "timeline", "balance", "breakdown", "roofline", "resources", "accuracy", "map"}
SIZE_LIMIT = 6_000_000


def of_kind(store: list[Kept], kind: str) -> Kept:
    return next(run for run in store if run.kind == kind)


def check_page(browser: Any, path: Path, content: dict[str, Any], expected: set[str], values: int, shots: Path) -> None:
    """What holds for every page: charts, values, all three looks, size, time."""
    assert path.stat().st_size < SIZE_LIMIT
    assert load_seconds(browser, path) < 2
    for mode in WIDTHS:
        with opened(browser, path, mode) as page:
            assert charts(page) >= expected
            assert check_values(page, content) >= values
            assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[mode]
            light = page.evaluate(
                "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every((c) => c > 128)"
            )
            assert light is (mode != "dark")
            shot = shots / f"{path.stem}-{mode}.png"
            page.screenshot(path=shot, full_page=True)
            assert shot.stat().st_size > 20_000


def test_run_page(browser: Any, built: Built, store: list[Kept], shots: Path) -> None:
    """The page of a simulated run."""
    run = of_kind(store, "sim")
    steps = len(run.content["steps"])
    check_page(browser, built.pages[run.name], run.content, RUN_CHARTS, 7 * steps + 20, shots)


def test_sweep_page(browser: Any, built: Built, store: list[Kept], shots: Path) -> None:
    """The page of a sweep of 60 points: each is a mark in both scatters, at its values."""
    sweep = of_kind(store, "sweep")
    points = sweep.content["points"]
    assert len(points) >= 60
    path = built.pages[sweep.name]
    with opened(browser, path) as page:
        scatters = page.evaluate("""() => [...document.querySelectorAll('svg[data-chart^=scatter]')].map((chart) =>
            [...chart.querySelectorAll('.glyph')].map((mark) => mark.dataset)
                .map((data) => [data.xKey, +data.x, +data.value]))""")
        names = {"accuracy", "share"}
        assert len(scatters) == 2
        for marks, name in zip(scatters, sorted(names), strict=True):
            assert marks == [[f"points/{index}/milliseconds", point["milliseconds"], point[name]]
                             for index, point in enumerate(points)]
    check_page(browser, path, sweep.content, set(), 4 * len(points), shots)


@pytest.mark.parametrize("kind", ["batch", "eval", "resources"])
def test_other_pages(browser: Any, built: Built, store: list[Kept], kind: str) -> None:
    """Other kinds have what their reports have."""
    expected = {"batch": {"images", "timeline", "photograph", "map", "resources"}, "eval": {"accuracy"},
                "resources": {"resources"}}
    run = of_kind(store, kind)
    for mode in WIDTHS:
        with opened(browser, built.pages[run.name], mode) as page:
            assert charts(page) >= expected[kind]
            assert check_values(page, run.content) > 0
            assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[mode]


def test_index(browser: Any, built: Built, store: list[Kept], shots: Path) -> None:
    """The index leads to every page and shows figures of the reports."""
    with opened(browser, built.index) as page:
        links = page.evaluate(
            "() => [...document.querySelectorAll('.runs a')].map((link) => link.getAttribute('href'))"
        )
        assert sorted(links) == sorted(path.name for path in built.pages.values())
        by_name = {run.name: run.content for run in store}
        cells = page.evaluate(
            "() => [...document.querySelectorAll('td[data-run][data-key]')].map((cell) => ({...cell.dataset}))"
        )
        assert len(cells) >= 6
        for cell in cells:
            value = by_name[cell["run"]]
            for part in cell["key"].split("/"):
                value = value[part]
            assert json.loads(cell["value"]) == value
        page.screenshot(path=shots / "index-light.png", full_page=True)
        page.click(".runs a")
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.url.endswith(links[0])
    with opened(browser, built.index, "phone") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_marks_by_keyboard(browser: Any, built: Built, store: list[Kept]) -> None:
    """A chart is one tab stop; arrow keys go through its marks, and each says its values."""
    run = of_kind(store, "sim")
    step = run.content["steps"][0]
    with opened(browser, built.pages[run.name]) as page:
        page.focus("svg[data-chart=cycles]")
        page.keyboard.press("ArrowRight")
        assert tip(page).startswith(step["name"])
        assert f"measured {step['cycles']:,} cycles" in tip(page)
        page.keyboard.press("ArrowRight")
        assert f"cycle model {step['expected_cycles']:,} cycles" in tip(page)
        page.keyboard.press("End")
        assert tip(page).startswith(run.content["steps"][-1]["name"])
        page.keyboard.press("Escape")
        assert tip(page) == ""
        assert page.evaluate(
            "() => [...document.querySelectorAll('svg .mark')].every((mark) => mark.getAttribute('aria-label'))"
        )


def test_marks_by_pointer(browser: Any, built: Built, store: list[Kept]) -> None:
    """Hovering says the same."""
    run = of_kind(store, "sim")
    with opened(browser, built.pages[run.name]) as page:
        page.hover("svg[data-chart=cycles] .mark[data-key='steps/1/cycles']")
        assert f"measured {run.content['steps'][1]['cycles']:,} cycles" in tip(page)
        page.mouse.move(2, 2)
        assert tip(page) == ""


def test_timeline_keys(browser: Any, built: Built, store: list[Kept]) -> None:
    """Zoom, pan, and from slot to slot; the slot that is shown is the details' one."""
    run = of_kind(store, "sim")
    details = json.loads((run.folder / "details.json").read_text())
    total = run.content["cycles"]
    with opened(browser, built.pages[run.name]) as page:
        def span() -> tuple[int, int]:
            return tuple(page.evaluate("() => { const data = document.querySelector('canvas.timeline').dataset; "
                                       "return [+data.from, +data.to]; }"))

        page.focus("canvas.timeline")
        assert span() == (0, total)
        page.keyboard.press("+")
        assert span() == (round(total / 4), round(total * 3 / 4))
        page.keyboard.press("ArrowRight")
        assert span()[0] > round(total / 4)
        page.keyboard.press("0")
        assert span() == (0, total)
        page.keyboard.press("]")
        page.keyboard.press("]")
        shown = page.inner_text(".readout")
        slots = details["slots"]
        assert shown.startswith(f"{details['steps'][slots['step'][1]]}, slot 1; from cycle {slots['cycle'][1]:,}")
        for cluster, outputs in enumerate(details["clusters"]):
            column = f"column {details['sources'][cluster][1]} → {outputs[1]}" if outputs[1] >= 0 else "waits"
            assert f"cluster {cluster}: {column}" in shown
        before = span()
        page.hover("canvas.timeline")
        page.mouse.wheel(0, -200)
        assert span()[1] - span()[0] < before[1] - before[0]


def test_photograph_keys(browser: Any, built: Built, store: list[Kept]) -> None:
    """The slider goes through the blocks; patches are shaded as the details say, and tell their attention."""
    run = of_kind(store, "sim")
    blocks = json.loads((run.folder / "details.json").read_text())["blocks"]
    with opened(browser, built.pages[run.name]) as page:
        def gone() -> list[int]:
            return page.evaluate(
                "() => [...document.querySelectorAll('.patches rect[data-state]')].flatMap((cell, index) => "
                "cell.dataset.state === 'kept' ? [] : [index])"
            )

        patches = set(range(16))
        page.focus("#stage")
        for block in reversed(range(len(blocks))):
            assert gone() == sorted(patches - set(blocks[block]["kept"]))
            page.keyboard.press("ArrowLeft")
        assert gone() == []
        page.keyboard.press("ArrowRight")
        page.focus(".patches")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        assert tip(page).startswith("patch row 1, column 0")
        assert f"{100 * blocks[0]['attention']['4']:.2f} % of the class token" in tip(page)
        page.check("#heat")
        heat = page.evaluate(
            "() => new Set([...document.querySelectorAll('.patches rect[data-state]')]"
            ".map((cell) => cell.getAttribute('fill'))).size"
        )
        assert heat > 4


def test_block_map_keys(browser: Any, built: Built, store: list[Kept]) -> None:
    """Arrow keys go from block to block; pixels have the colours of the clusters."""
    run = of_kind(store, "sim")
    matrices = json.loads((run.folder / "details.json").read_text())["matrices"]
    index = next(index for index, matrix in enumerate(matrices) if matrix["name"] == "block0.fc1")
    with opened(browser, built.pages[run.name]) as page:
        maps = page.evaluate(
            "() => [...document.querySelectorAll('canvas.map')].map((map) => [+map.dataset.matrix, +map.dataset.value])"
        )
        for number, matrix in enumerate(matrices):
            assert sum(kept for at, kept in maps if at == number) == matrix["kept"]
        canvas = f"canvas.map[data-matrix='{index}']"
        page.focus(canvas)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        letter = matrices[index]["clusters"][0][1]
        assert tip(page) == f"block0.fc1\noutput column 0, input column 1\n{words(letter)}"
        page.evaluate("document.activeElement.blur()")
        pixel = page.evaluate(
            f"() => [...document.querySelector(\"{canvas}\").getContext('2d')"
            ".getImageData(0, 0, 1, 1).data].slice(0, 3)"
        )
        name = (
            "--raised"
            if matrices[index]["clusters"][0][0] == "."
            else f"--cluster-{int(matrices[index]['clusters'][0][0], 16)}"
        )
        colour = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()")
        assert pixel == [int(colour[at:at + 2], 16) for at in (1, 3, 5)]


def words(letter: str) -> str:
    return {".": "pruned", "*": "kept, nothing uses its result"}.get(letter) or f"cluster {int(letter, 16)}"


def test_theme_by_keyboard(browser: Any, built: Built) -> None:
    """The button goes from auto to light to dark."""
    with opened(browser, built.index, "dark") as page:
        page.focus("#theme")
        seen = []
        for _ in range(3):
            page.keyboard.press("Enter")
            seen.append(
                (page.inner_text("#theme span"), page.evaluate("getComputedStyle(document.body).backgroundColor"))
            )
        assert [name for name, _ in seen] == ["light", "dark", "auto"]
        assert seen[1][1] == seen[2][1] != seen[0][1]


@pytest.mark.slow
def test_shipped_network(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shots: Path) -> None:
    """The network that comes with sievit, as ``make sim`` runs it: page, accuracy on record, figures."""
    monkeypatch.setenv("SIEVIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["sim", "--model", "deit_t"])
    assert result.exit_code == 0, result.output
    built = build_dashboard(tmp_path / "dashboard")
    (run,) = find(tmp_path / "runs")
    assert len(built.figures) >= 16
    path = built.pages[run.name]
    check_page(browser, path, run.content, RUN_CHARTS, 7 * len(run.content["steps"]) + 20, shots)
    with opened(browser, path) as page:
        assert page.evaluate("document.querySelectorAll('canvas.map').length") == 12 * 6 + 2
        assert page.evaluate("document.querySelectorAll('.patches rect[data-state]').length") == 196
        assert "90.4 %" in page.inner_text(".headline")
