"""The scripts under stand-ins of the vendor's tools: every board's pass, and every kind of mistake is caught."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from boards.catalog import board_names, load_board
from flows.contracts.errors import ConfigError
from flows.deliver.check import FAULTS, check_folder, tcl_interpreter
from tests.deliver.conftest import MakeFolder

pytestmark = pytest.mark.usefixtures("tcl")

PRODUCTS = {"zynq7": ("vit_accel.bit", "vit_accel.hwh", "vit_accel.xsa"),
            "zynqmp": ("vit_accel.bit", "vit_accel.hwh", "vit_accel.xsa"),
            "versal": ("vit_accel.hwh", "vit_accel.pdi", "vit_accel.xsa"), "alveo": ("vit_accel.xclbin",), "fabric": ()}


@pytest.mark.parametrize("name", board_names())
def test_scripts_pass(name: str, pristine: MakeFolder) -> None:
    """Packaging, synthesis, block design or kernel, bitstream and timing check of every board."""
    found = check_folder(pristine(name))
    assert [(item.target, item.errors) for item in found if not item.good] == []
    shell = load_board(name).shell
    assert [item.target for item in found] == (
        ["ip", "ooc", "check_timing"] if shell == "fabric" else ["ip", "ooc", "bd", "bitstream", "check_timing"])
    assert found[-1].products == PRODUCTS[shell]


def test_groups_in_regions_pass(pristine: MakeFolder) -> None:
    """Two token groups on a device of four dies: regions for Vivado, assignments for v++."""
    found = check_folder(pristine("u250", 2), targets=["ooc", "bitstream"])
    assert [item.errors for item in found] == ["", ""]


PACKAGE = "tcl/package_ip.tcl"
DESIGN = "tcl/block_design.tcl"
BUILD = "tcl/build_bitstream.tcl"
TIMING = "xdc/timing.xdc"
COMMON = "tcl/common.tcl"
FLOORPLAN = "xdc/floorplan.xdc"
SYNTH = "tcl/synth_ooc.tcl"

# Script, text and its replacement, target that has to fail, and what it says.
MISTAKES = {
    "missing source": (
        PACKAGE, "need_file rtl vit_accel.v", "need_file rtl vit_accel2.v", "ip", "missing file rtl/vit_accel2.v"),
    "unknown bus": (PACKAGE, "-busif m_axi_gmem -clock", "-busif m_axi_hbm -clock", "ip", "m_axi_hbm"),
    "bus without clock": (
        PACKAGE, "ipx::associate_bus_interfaces -busif m_axi_gmem -clock aclk $core\n", "", "ip",
        "interface m_axi_gmem has no clock"),
    "reset as clock": (PACKAGE, "m_axi_gmem -clock aclk", "m_axi_gmem -clock aresetn", "ip", "aresetn is no clock"),
    "register left out": (
        PACKAGE, "set register [add_register $block WATCHDOG", "set other [list $block WATCHDOG", "ip",
        "register WATCHDOG is not described"),
    "register moved": (PACKAGE, "IMAGES 0x080", "IMAGES 0x090", "ip", "register IMAGES is at another address"),
    "unknown command": (
        PACKAGE, "ipx::save_core $core", "ipx::save_cores $core", "ip", "unknown command ipx::save_cores"),
    "unknown option": (PACKAGE, "-taxonomy /UserIP", "-taxonomi /UserIP", "ip", "has no option -taxonomi"),
    "another part": (COMMON, "xczu9eg-ffvb1156-2-e", "xczu7ev-ffvc1156-2-e", "ip", "is not the board's"),
    "another board": (COMMON, "xilinx.com:zcu102", "xilinx.com:zcu104", "bd", "is not installed"),
    "clock period": (TIMING, "-period 5.000", "-period 4.000", "ooc", "period 4.0 is not the target's 5.0"),
    "clock port": (TIMING, "get_ports aclk", "get_ports ap_clk", "ooc", "no port ap_clk"),
    "program in constraints": (TIMING, "create_clock", "foreach i {1} {}\ncreate_clock", "ooc", "foreach"),
    "top of synthesis": (COMMON, "set top vit_accel", "set top vit_accelerator", "ooc", "no module vit_accelerator"),
    "report option": (SYNTH, "-delay_type min_max", "-delay min_max", "ooc", "has no option -delay"),
    "memory port": (DESIGN, "ps/S_AXI_HP0_FPD", "ps/S_AXI_HP1_FPD", "bd", "no interface ps/S_AXI_HP1_FPD"),
    "directions": (
        DESIGN, "[get_bd_intf_pins control/M00_AXI] [get_bd_intf_pins vit_accel_0/s_axi_control]",
        "[get_bd_intf_pins control/M00_AXI] [get_bd_intf_pins vit_accel_0/m_axi_gmem]", "bd", "both master"),
    "connected twice": (
        DESIGN, "[get_bd_intf_pins memory/M00_AXI]", "[get_bd_intf_pins control/M00_AXI]", "bd", "connected already"),
    "not connected": (
        DESIGN, "connect_bd_intf_net [get_bd_intf_pins memory/M00_AXI] [get_bd_intf_pins ps/S_AXI_HP0_FPD]\n", "", "bd",
        "interface memory/M00_AXI is not connected"),
    "clock not connected": (DESIGN, "ps/saxihp0_fpd_aclk ", "", "bd", "ps/saxihp0_fpd_aclk is not driven"),
    "reset not connected": (
        DESIGN, "connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins vit_accel_0/aresetn]\n", "", "bd",
        "vit_accel_0/aresetn is not driven"),
    "active-high reset": (
        DESIGN, "reset/peripheral_aresetn]", "reset/peripheral_reset]", "bd",
        "vit_accel_0/aresetn is a reset, reset/peripheral_reset a resethigh"),
    "interrupt": (
        DESIGN, "connect_bd_net [get_bd_pins vit_accel_0/interrupt] [get_bd_pins ps/pl_ps_irq0]\n", "", "bd",
        "ps/pl_ps_irq0 is not driven"),
    "setting": (DESIGN, "CONFIG.PSU__USE__IRQ0", "CONFIG.PSU__USE_IRQ0", "bd", "has no setting PSU__USE_IRQ0"),
    "frequency": (DESIGN, "FREQMHZ {200}", "FREQMHZ {250}", "bd", "not the target of 200.0 MHz"),
    "no memory": (
        DESIGN, "assign_bd_address -target_address_space [get_bd_addr_spaces vit_accel_0/m_axi_gmem]", "list", "bd",
        "no memory is mapped for the accelerator"),
    "register address": (DESIGN, "-offset 0xa0000000", "-offset 0xb0000000", "bd", "the board says 2684354560"),
    "IP version": (
        DESIGN, "[newest_ip xilinx.com:ip:smartconnect] control", "xilinx.com:ip:smartconnect:2020.1 control", "bd",
        "no IP xilinx.com:ip:smartconnect:2020.1"),
    "wrong step": (
        BUILD, "-to_step write_bitstream", "-to_step write_device_image", "bitstream",
        "step write_device_image makes no .bit"),
    "wrong project": (
        BUILD, "build bd vit_accel.xpr", "build bd system.xpr", "bitstream", "missing file build/bd/system.xpr"),
    "script of the Makefile": (
        "Makefile", "$(call run,block_design)", "$(call run,blockdesign)", "bd", "blockdesign.tcl"),
}


def mistaken(folder: Path, file: str, old: str, new: str) -> None:
    """Put a mistake into a script."""
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_caught(mistake: str, folder: MakeFolder) -> None:
    """A mistake in any script makes its target fail with the reason, and there is no bitstream."""
    file, old, new, target, message = MISTAKES[mistake]
    out = folder("zcu102")
    mistaken(out, file, old, new)
    (found,) = check_folder(out, targets=[target])
    assert not found.good
    assert message in found.errors
    assert found.products == ()


KERNEL_MISTAKES = {
    "no kernel": (PACKAGE, "set_property sdx_kernel true $core\n", "", "ip", "property sdx_kernel is not set"),
    "kernel name": (PACKAGE, "-kernel_name vit_accel", "-kernel_name vit", "ip", "no module vit"),
    "pointer's bus": (
        PACKAGE, "set_property value m_axi_gmem [ipx", "set_property value m_axi_hbm [ipx", "ip",
        "no interface m_axi_hbm"),
    "unknown cell": (FLOORPLAN, "top/core/group1", "top/core/group9", "ooc", "no cell top/core/group9"),
    "unknown region": (FLOORPLAN, "-add {SLR", "-add {SLR4", "ooc", "no region SLR4"),
    "cell in two regions": (FLOORPLAN, "top/core/group1", "top/core/group0", "ooc", "in two regions"),
    "group not found": ("tcl/place_slr.tcl", "top/core/group1", "top/core/group9", "bitstream", "expected one cell"),
    "memory bank": ("link.cfg", "DDR[0]", "DDR0", "bitstream", "sp=vit_accel_1.m_axi_gmem:DDR0"),
    "instance": ("link.cfg", "nk=vit_accel:1:vit_accel_1", "nk=vit_accel:1:vit_1", "bitstream", "nk=vit_accel:1:vit_1"),
    "bus width": (
        "kernel.xml", 'dataWidth="128"', 'dataWidth="512"', "bitstream", "m_axi_gmem is not as in the Verilog"),
    "arguments overlap": ("kernel.xml", 'offset="0x01c"', 'offset="0x014"', "bitstream", "argument image"),
    "option of v++": ("Makefile", "--kernel_frequency", "--frequency", "bitstream", "no option --frequency"),
}


@pytest.mark.parametrize("mistake", KERNEL_MISTAKES)
def test_mistake_of_a_kernel_is_caught(mistake: str, folder: MakeFolder) -> None:
    """The same for Alveo."""
    file, old, new, target, message = KERNEL_MISTAKES[mistake]
    out = folder("u250", 2)
    mistaken(out, file, old, new)
    (found,) = check_folder(out, targets=[target])
    assert not found.good
    assert message in found.errors
    assert found.products == ()


OUTCOMES = {
    "timing": ("zcu102", "timing is not met at 200 MHz"), "unconstrained": ("zcu102", "nothing was constrained"),
    "synth_1": ("zcu102", "run synth_1 ended with status 'synth_1 ERROR' at 37%"),
    "impl_1": ("zcu102", "run impl_1 ended with status"), "bitstream": ("zcu102", "expected one .bit file, found 0"),
    "handoff": ("zcu102", "has no system.hwh"), "ip": ("zcu102", "this Vivado has no IP xilinx.com:ip:zynq_ultra_ps_e"),
    "board": ("zcu102", "board definition xilinx.com:zcu102:part0:3.4 is not installed"),
    "xo": ("u250", "xclbinutil"), "clock": ("u250", "the kernel clock is 233 MHz, the target 250 MHz"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_failure_of_the_tools(fault: str, pristine: MakeFolder) -> None:
    """Timing missed, a run that fails, a file that does not appear: status other than 0, one reason, no bitstream."""
    board, message = OUTCOMES[fault]
    (found,) = check_folder(pristine(board), faults=[fault], targets=["bitstream"])
    assert not found.good
    assert message in found.errors
    assert found.products == ()


def test_part_only(pristine: MakeFolder) -> None:
    """Without the board definition on request."""
    for name in ("zcu102", "pynq-z2"):
        (found,) = check_folder(pristine(name), faults=["board"], targets=["bitstream"], variables=["PART_ONLY=1"])
        assert found.good, found.errors
        assert found.products == PRODUCTS["zynqmp"]


def test_board_without_a_system(pristine: MakeFolder) -> None:
    """Where there is no block design, its targets say why and fail."""
    for target in ("bd", "bitstream"):
        (found,) = check_folder(pristine("kc705"), targets=[target])
        assert not found.good
        assert "has no processing system; add the IP in ip/ to a design with a memory controller" in found.errors


def test_tcl_of_python(pristine: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own interpreter serves where there is no tclsh, with the same outcomes."""
    pytest.importorskip("tkinter")
    original = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "tclsh" else original(name))
    assert tcl_interpreter()[-1].endswith("tcl_of_python.py")
    (found,) = check_folder(pristine("zcu102"), targets=["bitstream"])
    assert found.good, found.errors
    (found,) = check_folder(pristine("zcu102"), targets=["bitstream"], faults=["timing"])
    assert not found.good
    assert "timing is not met" in found.errors


def test_no_tcl(pristine: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither interpreter: one line, no silent success."""
    original = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "tclsh" else original(name))
    monkeypatch.setitem(__import__("sys").modules, "tkinter", None)
    with pytest.raises(ConfigError, match="no Tcl interpreter; install with"):
        check_folder(pristine("zcu102"), targets=["ip"])


def test_no_deliverable(tmp_path: Path) -> None:
    """Some other folder."""
    with pytest.raises(ConfigError, match="no folder of 'sievit verilog --board'"):
        check_folder(tmp_path)
