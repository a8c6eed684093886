"""Reports of Vivado and Vitis as records of the store: what they are about, and what is shown of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.contracts.artifact import SparseVit
from flows.contracts.hardware import HardwareConfig
from flows.runs import find
from flows.vendor import designs_of, furthest, vivado_record
from tests.deliver.conftest import MakeFolder
from tests.deliver.test_reports import reported
from tests.flows.pictures import invoke


@pytest.fixture(name="store", autouse=True)
def fixture_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own."""
    monkeypatch.setenv("SIEVIT_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_record_of_a_deliverable(folder: MakeFolder, network: SparseVit, tiny: HardwareConfig, store: Path) -> None:
    """Network, configuration and board are the folder's; what is printed is what is kept, once."""
    out = reported(folder("zcu102"))
    first = invoke("vivado-report", out, "--json")
    assert (first.exit_code, first.stderr) == (0, "")
    shown = invoke("vivado-report", out)
    assert f"{network.model} on zcu102, configuration {tiny.config_hash():08x}" in " ".join(shown.stdout.split())
    (run,) = find(store)
    assert run.content == json.loads(first.stdout)
    assert run.name.startswith(f"vivado-{network.model}-zcu102-")
    assert run.content["kind"] == "vivado"
    assert run.content["config_hash"] == f"{tiny.config_hash():08x}"
    assert run.content["artifact_hash"] == network.content_hash()[:16]
    assert (run.content["model"], run.content["board"], run.content["clock_mhz"]) == (network.model, "zcu102", 200.0)
    assert HardwareConfig.from_dict(run.content["hardware"]).config_hash() == tiny.config_hash()
    assert run.content["designs"]["bitstream"]["timing"]["wns"] == 0.123


@pytest.mark.parametrize("params", [None, "{", "[]", '{"board": null}'])
def test_record_of_any_folder(tmp_path: Path, store: Path, params: str | None) -> None:
    """Without facts of sievit's the reports are read all the same, and the command says what is missing."""
    out = reported(tmp_path / "theirs")
    if params is not None:
        (out / "params.json").write_text(params)
    result = invoke("vivado-report", out, "--json")
    assert result.exit_code == 0, result.output
    assert "the record is about no configuration" in result.stderr
    (run,) = find(store)
    assert run.content == json.loads(result.stdout)
    assert run.name.startswith("vivado-theirs-")
    assert [run.content[key] for key in ("config_hash", "artifact_hash", "board", "model", "hardware")] == [None] * 5
    assert run.content["designs"]["bitstream"]["device"] == "xczu9eg-ffvb1156-2-e"


def test_nothing_is_kept_without_reports(tmp_path: Path, store: Path) -> None:
    """An error leaves no record."""
    assert invoke("vivado-report", tmp_path).exit_code == 2
    assert find(store) == []


def test_designs(tmp_path: Path) -> None:
    """Every figure stands in the record at its key; the bitstream is nearest to hardware."""
    content = vivado_record(reported(tmp_path))
    designs = {design.name: design for design in designs_of(content)}
    assert {name: design.routed for name, design in designs.items()} == {
        "accelerator, synthesized": False, "bitstream": True, "kernel, linked": True}
    assert furthest(list(designs.values())).name == "bitstream"
    seen = 0
    for design in designs.values():
        amounts = [figure for amount in design.amounts.values() for figure in (amount.used, amount.share)]
        for figure in (*amounts, design.target_mhz, design.reachable_mhz, design.wns, design.whs):
            if figure is not None:
                value: Any = content
                for part in (figure.key or "").split("/"):
                    value = value[int(part)] if isinstance(value, list) else value[part]
                assert value == figure.value
                seen += 1
    assert seen == 4 * 2 * 2 + 5 * 2 + 3 + 4 + 2
    kernel = designs["kernel, linked"]
    assert (kernel.tool, kernel.verdict, kernel.amounts["uram"].used.value) == ("Vitis", "NOT met", 64)
    assert (designs["accelerator, synthesized"].verdict, designs["bitstream"].verdict) == ("NOT met", "met")


def test_kernel_that_is_not_linked_yet(tmp_path: Path) -> None:
    """Estimates of v++ are called so; nothing is routed, and nothing says whether timing is met."""
    reported(tmp_path)
    (tmp_path / "reports" / "xclbin_info.txt").unlink()
    (tmp_path / "reports" / "link" / "link" / "imp" / "kernel_util_routed.rpt").unlink()
    design = designs_of(vivado_record(tmp_path))[-1]
    assert (design.name, design.routed, design.met, design.verdict) == ("kernel, estimated", False, None, "")
    assert design.amounts["bram36"].used.value == 598
    assert design.amounts["bram36"].share is None
    assert design.reachable_mhz is not None and design.reachable_mhz.value == 310.559021


def test_kernel_at_its_clock(tmp_path: Path) -> None:
    """An .xclbin that runs at the clock asked for has met timing; without an estimate the folder says which that is."""
    content = vivado_record(reported(tmp_path))
    kernel = content["designs"]["kernel, linked"]
    kernel["clocks"][1]["mhz"] = 250.0
    assert designs_of(content)[-1].met is True
    del kernel["estimate"]
    assert designs_of(content)[-1].met is None
    content["clock_mhz"] = 300.0
    assert designs_of(content)[-1].met is False
