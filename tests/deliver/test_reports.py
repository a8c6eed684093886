"""Parsers of the vendor's reports, on reports written after the documented formats (see reports/README.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import cli
from flows.contracts.resources import Resources
from flows.vendor import (
    Clock,
    collect,
    parse_estimate,
    parse_hierarchy,
    parse_kernel_utilization,
    parse_timing,
    parse_utilization,
    parse_xclbin_info,
)
from flows.vendor.table import ReportError

HERE = Path(__file__).resolve().parent / "reports"


def report(name: str) -> str:
    """Text of a report."""
    return (HERE / name).read_text()


@pytest.mark.parametrize(("name", "used", "available", "device", "state"), [
    ("utilization_ultrascale.rpt", Resources(71234, 102345, 1100, 121.5, 0), Resources(274080, 548160, 2520, 912, 0),
     "xczu9eg-ffvb1156-2-e", "Routed"),
    ("utilization_7series.rpt", Resources(31000, 40100, 150, 96, 0), Resources(53200, 106400, 220, 140, 0),
     "7z020clg400-1", "Synthesized"),
    ("utilization_versal.rpt", Resources(140002, 202001, 1024, 202.5, 64), Resources(899840, 1799680, 1968, 967, 463),
     "xcvc1902-vsva2197-2MP-e-S", "Physopt postRoute"),
])
def test_utilization(name: str, used: Resources, available: Resources, device: str, state: str) -> None:
    """Rows by name in every family, with and without "Prohibited"."""
    found = parse_utilization(report(name))
    assert (found.used, found.available, found.device, found.state) == (used, available, device, state)


def test_columns_may_come_in_any_order() -> None:
    """Columns are found by their heading."""
    row = "| Slice LUTs*                | {} |     0 |     {} | 58.27 |"
    text = report("utilization_7series.rpt").replace(row.format(31000, 53200), row.format(53200, 31000))
    head = "|          Site Type         |  Used | Fixed | Available | Util% |"
    assert head in text
    swapped = text.replace(head, "|          Site Type         | Available | Fixed | Used | Util% |")
    assert parse_utilization(swapped).used.lut == 31000


@pytest.mark.parametrize(("old", "new", "message"), [
    ("CLB LUTs", "CLB Lookups", "r.rpt has no row for lut \\(CLB LUTs or Slice LUTs or LUTs\\)"),
    ("|  71234 |", "|  many  |", "r.rpt, CLB LUTs: 'many' is no number"),
    ("Site Type", "Kind", "r.rpt has no row for lut"),
])
def test_unknown_utilization(old: str, new: str, message: str) -> None:
    """What is not understood is an error, not a zero."""
    with pytest.raises(ReportError, match=message):
        parse_utilization(report("utilization_ultrascale.rpt").replace(old, new), "r.rpt")


def test_hierarchy() -> None:
    """Instances with their depth; two halves of a block RAM are one."""
    units = parse_hierarchy(report("utilization_hierarchical.rpt"))
    assert [(unit.instance, unit.depth) for unit in units] == [
        ("vit_accel", 0), ("(vit_accel)", 1), ("top", 1), ("core", 2), ("group0", 3)]
    assert units[0].used == Resources(70000, 100000, 1100, 121.5, 0)
    assert units[4].module == "sievit_group"
    assert units[4].used == Resources(50000, 80000, 1088, 90.5, 0)
    with pytest.raises(ReportError, match="no table of instances"):
        parse_hierarchy(report("utilization_versal.rpt"))


def test_timing_met() -> None:
    """The clock with the least slack limits; clocks without paths do not count, long names are read whole."""
    found = parse_timing(report("timing_met.rpt"))
    assert found.met
    assert (found.wns, found.tns, found.whs, found.ths, found.wpws) == (0.123, 0, 0.01, 0, 1.234)
    assert (found.clock, found.period, found.clock_mhz) == ("clk_pl_0", 5.0, 200.0)
    assert found.fmax_mhz == pytest.approx(1000 / 4.877)
    other = parse_timing(report("timing_met.rpt"), clock="debug_clock_long")
    assert (other.period, other.fmax_mhz) == (50.0, pytest.approx(1000 / 28.5))
    assert parse_timing(report("timing_met.rpt"), clock="clk_unused").fmax_mhz is None


def test_timing_missed() -> None:
    """Negative slack, a wide number, and NA."""
    found = parse_timing(report("timing_missed.rpt"))
    assert not found.met
    assert (found.wns, found.tns, found.whs, found.ths) == (-1.25, -12345.678, None, None)
    assert found.fmax_mhz == pytest.approx(160.0)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("All user specified timing constraints are met.", "", "does not say whether timing is met"),
    ("All user specified timing constraints are met.", "There are no user specified timing constraints.",
     "nothing was constrained"),
    ("WNS(ns)", "Worst", "has no Design Timing Summary"),
    ("Period(ns)", "Time(ns)  ", "has no Clock Summary"),
    ("      0.123        0.000 ", "      0.1x3        0.000 ", "'0.1x3' is no number"),
])
def test_unknown_timing(old: str, new: str, message: str) -> None:
    """The same for timing."""
    text = report("timing_met.rpt")
    assert old in text
    with pytest.raises(ReportError, match=message):
        parse_timing(text.replace(old, new), "t.rpt")
    with pytest.raises(ReportError, match="has no clock 'other'"):
        parse_timing(text, clock="other")


def test_vitis() -> None:
    """Resources of the kernel, clocks of the .xclbin, estimates."""
    found = parse_kernel_utilization(report("kernel_util_routed.rpt"), "vit_accel_1")
    assert found.used == Resources(300000, 419000, 4400, 598, 64)
    assert found.available == Resources(1579880, 3185810, 12278, 2450, 1280)
    clocks = parse_xclbin_info(report("xclbin_info.txt"))
    assert clocks == [Clock("hbm_aclk", "SYSTEM", 450), Clock("DATA_CLK", "DATA", 241),
                      Clock("KERNEL_CLK", "KERNEL", 500)]
    assert parse_estimate(report("system_estimate_vit_accel.xtxt")) == {"vit_accel_1": {
        "target_mhz": 250.0, "estimated_mhz": 310.559021, "ff": 419000, "lut": 300000, "dsp": 4400, "bram36": 598,
        "uram": 64}}


def test_unknown_vitis() -> None:
    """Reports of something else."""
    with pytest.raises(ReportError, match="has no row 'other_1'; rows: Platform, User Budget"):
        parse_kernel_utilization(report("kernel_util_routed.rpt"), "other_1")
    with pytest.raises(ReportError, match="no table of kernels"):
        parse_kernel_utilization(report("utilization_versal.rpt"), "vit_accel_1")
    with pytest.raises(ReportError, match="names no clocks"):
        parse_xclbin_info("Frequency")
    with pytest.raises(ReportError, match="no timing of compute units"):
        parse_estimate(report("timing_met.rpt"))


def reported(folder: Path) -> Path:
    """A folder in which everything was built."""
    names = {"ooc_utilization_synth.rpt": "utilization_ultrascale.rpt", "ooc_timing_synth.rpt": "timing_missed.rpt",
             "utilization.rpt": "utilization_ultrascale.rpt", "timing.rpt": "timing_met.rpt",
             "utilization_hierarchical.rpt": "utilization_hierarchical.rpt", "xclbin_info.txt": "xclbin_info.txt",
             "link/link/imp/kernel_util_routed.rpt": "kernel_util_routed.rpt",
             "link/system_estimate_vit_accel.xtxt": "system_estimate_vit_accel.xtxt"}
    for target, source in names.items():
        (folder / "reports" / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / source, folder / "reports" / target)
    return folder


def test_collect(tmp_path: Path) -> None:
    """All reports of a folder by design."""
    designs = collect(reported(tmp_path))["designs"]
    assert set(designs) == {"accelerator, synthesized", "bitstream", "kernel, linked"}
    assert designs["bitstream"]["utilization"]["dsp"] == {"used": 1100, "available": 2520, "share": 1100 / 2520}
    assert "uram" not in designs["bitstream"]["utilization"]
    assert designs["bitstream"]["timing"]["met"] is True
    assert designs["bitstream"]["timing"]["clock_mhz"] == 200.0
    assert [unit["instance"] for unit in designs["bitstream"]["units"]][-1] == "group0"
    assert designs["accelerator, synthesized"]["timing"]["met"] is False
    assert designs["kernel, linked"]["clocks"][1] == {"name": "DATA_CLK", "kind": "DATA", "mhz": 241.0}
    assert designs["kernel, linked"]["estimate"]["vit_accel_1"]["estimated_mhz"] == 310.559021


def test_command(tmp_path: Path) -> None:
    """As tables, as JSON, and as one line when there is nothing."""
    shown = CliRunner().invoke(cli.app, ["vivado-report", str(reported(tmp_path))])
    assert shown.exit_code == 0, shown.output
    assert "1100 / 2520" in shown.output
    assert "205.0" in shown.output
    assert "NO" in shown.output
    as_json = CliRunner().invoke(cli.app, ["vivado-report", str(tmp_path), "--json"])
    assert json.loads(as_json.stdout)["designs"] == collect(tmp_path)["designs"]
    empty = CliRunner().invoke(cli.app, ["vivado-report", str(tmp_path / "none")])
    assert empty.exit_code == 2
    assert "holds no reports; run 'make ooc' or 'make bitstream'" in empty.stderr
