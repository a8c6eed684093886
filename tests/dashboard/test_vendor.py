"""The panel of the vendor's tools: on which pages it is, what it says, and what it changes on them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from flows.contracts.hardware import HardwareConfig
from flows.dashboard import build_dashboard, vendor
from flows.dashboard.charts.vendor import NONE
from flows.dashboard.data import RunView, run_view
from flows.dashboard.index import index_page
from flows.dashboard.pages import ROUTED, TARGETS, run_page
from flows.hls_record import hls_record
from flows.resources.model import counts_of, shares_of
from flows.resources.report import estimate_of
from flows.runs import Kept, keep, stamp
from flows.vendor import vivado_record
from tests.dashboard.browsing import WIDTHS, opened, value_at
from tests.deliver.test_reports import reported

CONFIG = HardwareConfig(clusters=2)
HASH = f"{CONFIG.config_hash():08x}"
CSYNTH = Path(__file__).resolve().parents[1] / "hls" / "csynth.xml"
WORDS = "routed at 205.0 MHz reachable, WNS 0.12 ns (bitstream, zcu102)"


@pytest.fixture(name="vivado")
def fixture_vivado(tmp_path: Path) -> Kept:
    """Everything was built for the configuration on a ZCU102."""
    content = vivado_record(reported(tmp_path / "folder"))
    return kept(content | {"config_hash": HASH, "model": "tiny", "board": "zcu102", "hardware": CONFIG.to_dict()}, "v")


@pytest.fixture(name="hls")
def fixture_hls() -> Kept:
    """The same configuration in Vitis HLS."""
    return kept(hls_record(CSYNTH) | {"config_hash": HASH}, "h")


def kept(content: dict[str, Any], name: str) -> Kept:
    return Kept(content["kind"], name, Path("absent"), content)


def simulated(board: str | None = "zcu102") -> Kept:
    return kept({**stamp("sim", config=CONFIG), "hardware": CONFIG.to_dict(), "board": board, "model": "tiny",
                 "milliseconds": 1.0, "images_per_second": 1000.0, "cycles": 200_000, "utilization": 0.5,
                 "cycles_over_lower_bound": 1.0, "useful_macs": 1000}, "s")


def without_synthesis(record: Kept, *names: str) -> Kept:
    """The record with only some of its designs."""
    designs = {name: record.content["designs"][name] for name in names}
    return dataclasses.replace(record, content={**record.content, "designs": designs})


def rows_of(html: str, table: str) -> dict[str, list[str]]:
    """Cells by design of one of the panel's tables."""
    body = html[html.index(f'id="{table}"'):]
    body = body[body.index("<tbody>"):body.index("</tbody>")]
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in body.split("</tr>") if row.strip("<tbody>")]
    return {row[0]: row[1:] for row in rows}


def check_keys(view: RunView, html: str) -> int:
    """Values that name a place in the report equal it."""
    found = re.findall(r'data-value="([^"]*)" data-key="([^"]*)"', html)
    for value, key in found:
        assert json.loads(value) == value_at(view.kept.content, key), key
    return len(found)


def test_nothing_without_records(vivado: Kept) -> None:
    """Nor with records of another circuit: the clock is a target, and there is no panel."""
    other = dataclasses.replace(vivado, content={**vivado.content, "config_hash": "00000000"})
    lone = dataclasses.replace(vivado, content={**vivado.content, "config_hash": None})
    bare = run_page(run_view(simulated(), [simulated()]))
    assert bare == run_page(run_view(simulated(), [simulated(), other, lone]))
    assert "200 MHz, not placed and routed" in bare
    assert "simulated RTL at a target clock, not placed and routed" in bare
    assert TARGETS in bare
    assert "vendor-resources" not in bare and "Vivado" not in bare


def test_panel_of_a_run(vivado: Kept, hls: Kept) -> None:
    """Every design with its tool, resources, shares and clocks; the routed one replaces "not placed and routed"."""
    run = simulated()
    view = run_view(run, [run, vivado, hls])
    html = run_page(view)
    used = rows_of(html, "vendor-resources")
    assert used["bitstream"] == ["Vivado", "zcu102", "71,234", "26.0 %", "102,345", "18.7 %", "1,100", "43.7 %",
                                 "121.5", "13.3 %", NONE, NONE]
    assert used["kernel, linked"][-2:] == ["64", "5.0 %"]
    assert used["C++ models, HLS estimate"][:4] == ["Vitis HLS", "xczu9eg-ffvb1156-2-e", "120,456", "43.9 %"]
    clocks = rows_of(html, "vendor-clocks")
    assert clocks == {
        "accelerator, synthesized": ["Vivado", "zcu102", "200", "-1.250", "160.0", "NOT met"],
        "bitstream": ["Vivado", "zcu102", "200", "0.123", "205.0", "met"],
        "kernel, linked": ["Vitis", "zcu102", "250", NONE, "241.0", "NOT met"],
        "C++ models, HLS estimate": ["Vitis HLS", "xczu9eg-ffvb1156-2-e", "200", NONE, "274.0", "met"]}
    assert dict(view.facts)["target clock"] == "200 MHz"
    assert dict(view.facts)["Vivado"] == WORDS
    assert view.beside[0].source == f"simulated RTL at a target clock, Vivado: {WORDS}"
    assert "not placed and routed" not in html
    assert ROUTED in html and TARGETS not in html
    assert ROUTED in index_page([view])
    # None of it stands in the run's own report.
    assert not re.search(r'data-key="designs', html)


def test_estimates_are_not_routed(vivado: Kept, hls: Kept) -> None:
    """Synthesis and Vitis HLS have a panel, but the clock stays a target."""
    run = simulated()
    html = run_page(run_view(run, [without_synthesis(vivado, "accelerator, synthesized"), hls]))
    assert set(rows_of(html, "vendor-clocks")) == {"accelerator, synthesized", "C++ models, HLS estimate"}
    assert "200 MHz, not placed and routed" in html
    assert TARGETS in html


def test_pages_that_have_the_panel(vivado: Kept) -> None:
    """Runs of the circuit and its resources; not evaluations, which are about the network."""
    resources = kept(estimate_of(shares_of(CONFIG), counts_of(CONFIG), CONFIG, "ultrascale+"), "r")
    for kind, expected in {"sim": 3, "batch": 3, "hls": 3, "eval": 0, "search": 0}.items():
        run = kept({**stamp(kind, config=CONFIG)}, kind)
        assert len(vendor.reported_of(run, [run, vivado])) == expected
    view = run_view(resources, [resources, vivado])
    assert len(view.vendor) == 3
    assert dict(view.facts)["Vivado"] == WORDS


def test_pages_of_the_records(vivado: Kept, hls: Kept) -> None:
    """Own figures name their place in the report, those of the other record do not."""
    view = run_view(vivado, [vivado, hls])
    html = run_page(view)
    assert view.title == "tiny on zcu102, Vivado and Vitis"
    assert {item.label: item.text for item in view.headline} == {
        "Reachable clock": "205.0 MHz", "Worst slack": "0.123 ns", "Timing": "met", "Board fill": "43.7 %"}
    assert check_keys(view, html) == 3 + 2 * (4 + 4 + 5) + 3 + 3 + 2 + 2
    assert dict(view.facts)["Vivado"] == WORDS
    assert view.fill is None
    estimate = run_view(hls, [vivado, hls])
    html = run_page(estimate)
    assert estimate.title == "vit_accel on xczu9eg-ffvb1156-2-e, Vitis HLS 2023.1"
    assert check_keys(estimate, html) == 2 + 2 * 4 + 3
    assert next(iter(rows_of(html, "vendor-clocks"))) == "C++ models, HLS estimate"
    assert "Vivado" not in dict(estimate.facts)


def test_which_routed_design_counts(vivado: Kept) -> None:
    """The run's board before others; then a bitstream before the accelerator alone, even where only that one is met."""
    other = dataclasses.replace(vivado, name="a", content={**vivado.content, "board": "kv260"})
    designs = json.loads(json.dumps(vivado.content["designs"]))
    designs["accelerator, routed"] = json.loads(json.dumps(designs["bitstream"]))
    designs["bitstream"]["timing"] |= {"met": False, "wns": -0.5, "fmax_mhz": 181.8}
    missed = dataclasses.replace(vivado, name="m", content={**vivado.content, "designs": designs})

    def words(board: str | None, *records: Kept) -> str:
        run = simulated(board)
        return dict(run_view(run, [run, *records]).facts)["Vivado"]

    assert words("kv260", vivado, other) == WORDS.replace("zcu102", "kv260")
    assert words("zcu102", vivado, other) == WORDS
    assert words("zcu102", missed) == "routed at 181.8 MHz reachable, WNS -0.50 ns, timing NOT met (bitstream, zcu102)"
    assert words("zcu102", missed, vivado) == WORDS
    assert words("zcu102", missed, other).startswith("routed at 181.8 MHz")


def test_kernel_of_vitis(vivado: Kept) -> None:
    """The kernel's clock is that of the .xclbin; a design without a timing report says so."""
    run = simulated()
    kernel = run_view(run, [without_synthesis(vivado, "kernel, linked")])
    assert dict(kernel.facts)["Vitis"] == "routed at 241.0 MHz reachable, timing NOT met (kernel, linked, zcu102)"
    bitstream = without_synthesis(vivado, "bitstream")
    del bitstream.content["designs"]["bitstream"]["timing"]
    view = run_view(run, [bitstream])
    assert dict(view.facts)["Vivado"] == "routed, timing not reported (bitstream, zcu102)"
    assert rows_of(run_page(view), "vendor-clocks") == {"bitstream": ["Vivado", "zcu102", NONE, NONE, NONE, NONE]}


def test_damaged_record(vivado: Kept) -> None:
    """It is missing on pages of runs, and its own page is left out."""
    designs = {"bitstream": {"utilization": {"lut": {}}}}
    damaged = dataclasses.replace(vivado, content={**vivado.content, "designs": designs})
    assert run_view(simulated(), [damaged]).vendor == ()
    with pytest.raises(KeyError):
        run_view(damaged, [damaged])


def test_dashboard(vivado: Kept, hls: Kept, tmp_path: Path) -> None:
    """Records of a store, also those about no configuration, are pages and rows of the index."""
    lone = vivado_record(tmp_path / "folder")
    names = [keep(content, "x", number, root=tmp_path / "runs").name
             for number, content in enumerate((simulated().content, vivado.content, hls.content, lone))]
    built = build_dashboard(tmp_path / "out", tmp_path / "runs", figures=False)
    assert built.left_out == {}
    assert set(built.pages) == set(names)
    index = built.index.read_text()
    assert "Vivado and Vitis" in index and "Vitis HLS" in index
    assert ">205.0 MHz</td>" in index and ">274.0 MHz</td>" in index
    assert "xczu9eg-ffvb1156-2-e, Vivado and Vitis" in built.pages[names[3]].read_text()


def test_in_the_browser(browser: Any, vivado: Kept, hls: Kept, tmp_path: Path) -> None:
    """Nothing fails, and the tables fit a phone by scrolling on their own."""
    names = [keep(content, "x", number, root=tmp_path / "runs").name
             for number, content in enumerate((simulated().content, vivado.content, hls.content))]
    built = build_dashboard(tmp_path / "out", tmp_path / "runs", figures=False)
    for name in names:
        with opened(browser, built.pages[name], "phone") as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS["phone"]
            assert page.evaluate("document.querySelectorAll('#vendor tbody tr').length") == 8
