"""Open synthesis of small circuits: counts, memories, depth, the cache; and the report that comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flows.cache
from boards.board import Board, Memory
from flows.cli import app
from flows.contracts.artifact import save_artifact
from flows.contracts.errors import ConfigError, SynthesisError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import Resources
from flows.resources import synth, yosys
from flows.resources.cells import resources_of_cells
from flows.resources.depth import Path as LogicPath
from flows.resources.depth import closed, timing_of
from flows.resources.hierarchy import Hierarchy
from flows.resources.report import deep_units, longest, report_of, table_of
from flows.resources.synth import SynthesisResult, UnitResult, synthesize, synthesize_component
from rtl.shared import to_rtlil, to_verilog
from tests.factory import random_artifact
from tests.flows.small_designs import Pair, Parity, Ram, Zoo
from tests.yosys import need_yosys


@pytest.fixture(name="zoo", scope="module")
def fixture_zoo() -> dict[str, UnitResult]:
    """Units of the zoo on UltraScale+ by name."""
    need_yosys()
    return {unit.name.removeprefix("top."): unit for unit in synthesize_component(Zoo(), "ultrascale+").units}


def test_parity_is_counted(zoo: dict[str, UnitResult]) -> None:
    """16 bits need four LUTs and one that joins them; 17 flip-flops; two levels."""
    unit = zoo["first"]
    assert unit.resources == Resources(lut=5, ff=17)
    assert unit.path is not None
    assert (unit.path.luts, unit.path.carries) == (2, 0)
    assert unit.path.start.startswith("held[")
    assert unit.path.end == "o"


def test_equal_modules_are_one_unit(zoo: dict[str, UnitResult]) -> None:
    """Two modules of the same text, and three instances of a shared one."""
    assert "second" not in zoo
    assert zoo["first"].instances == 2
    assert zoo["first"].total == Resources(lut=10, ff=34)
    assert zoo["zoo_table"].instances == 3


def test_path_through_a_module(zoo: dict[str, UnitResult]) -> None:
    """A path belongs to the module that contains all of it: register, two levels in another module, register."""
    assert zoo["reduce"].path is None
    assert zoo["reduce"].resources == Resources(lut=5)
    top = zoo["top"].path
    assert top is not None
    assert top.luts >= 2


@pytest.mark.parametrize(("unit", "kind", "amount"), [
    ("product", "dsp", 1), ("block", "bram36", 1), ("half_block", "bram36", .5), ("ultra", "uram", 1),
    # two banks of 128 bits by 1024 words
    ("banks", "bram36", 8), ("ultra_banks", "uram", 4),
])
def test_inference(zoo: dict[str, UnitResult], unit: str, kind: str, amount: float) -> None:
    """Multipliers are DSP slices, deep memories block RAM or UltraRAM, and nothing of them is flip-flops."""
    found = zoo[unit].resources
    hard = {name: getattr(found, name) for name in ("dsp", "bram36", "uram") if getattr(found, name)}
    assert hard == {kind: amount}
    if unit in ("block", "half_block", "ultra"):
        assert found.lut + found.ff == 0


def test_shallow_memories_are_luts(zoo: dict[str, UnitResult]) -> None:
    """32 words of 14 bits are one RAM32M16 and an output register; a table of bytes wastes no block RAM."""
    assert zoo["shallow"].resources == Resources(lut=8, ff=14)
    table = zoo["table"].resources
    assert (table.bram36, table.ff) == (0, 128)
    assert table.lut > 256


def test_ultra_ram_has_no_initial_contents() -> None:
    """In Verilog, vendor tools would refuse it."""
    plain, marked = (to_verilog(Ram(8, 512, **style), "top") for style in ({}, {"ram_style": "ultra"}))
    assert "initial begin" in plain
    assert '(* ram_style = "ultra" *)' in marked
    assert "initial" not in marked
    assert plain.count("endmodule") == marked.count("endmodule")


def test_seven_series_has_its_own_cells() -> None:
    need_yosys()
    unit = synthesize_component(Ram(72, 512), "7series").units[0]
    assert unit.cells == {"RAMB36E1": 1}


def test_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module is synthesized once, whatever it is called; another one again."""
    need_yosys()
    monkeypatch.setattr(flows.cache, "CACHE", tmp_path)
    first = synthesize_component(Parity())
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1
    calls: list[tuple[str, ...]] = []

    def refuse(*commands: str, directory: Path) -> str:
        calls.append(commands)
        raise SynthesisError("called")

    monkeypatch.setattr(synth, "run_yosys", refuse)
    assert synthesize_component(Parity()) == first
    other = synthesize(to_rtlil(Parity(), "other")[0], "other")
    assert [unit.resources for unit in other.units] == [unit.resources for unit in first.units]
    assert not calls
    with pytest.raises(SynthesisError, match="called"):
        synthesize_component(Parity(), "7series")
    assert sorted(tmp_path.iterdir()) == files


def test_workers_and_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Several runs of Yosys at the same time give the same as one."""
    need_yosys()
    rtlil, _ = to_rtlil(Pair(), "top")
    one = synthesize(rtlil, "top")
    monkeypatch.setattr(flows.cache, "CACHE", tmp_path)
    monkeypatch.setattr(synth, "BATCH_CHARACTERS", 1)
    shown: list[float] = []
    assert synthesize(rtlil, "top", workers=2, progress=lambda _, share: shown.append(share)) == one
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (0.0, 1.0)
    assert len(shown) > 2


def test_unknown_cells_are_not_ignored() -> None:
    with pytest.raises(SynthesisError, match="a cell that is not known here: DSP58"):
        resources_of_cells({"LUT6": 3, "DSP58": 1})


@pytest.mark.parametrize(("cells", "amount"), [
    ({"RAM32M": 1, "RAM64X1D": 2, "SRL16E": 3, "SRLC32E": 1, "LUT2": 5, "MUXF7": 9, "CARRY8": 2}, Resources(lut=17)),
    ({"RAM32M16": 1, "RAM64M8": 1, "RAM256X1D": 1}, Resources(lut=24)),
    ({"FDRE": 2, "FDSE": 1, "FDCE": 1, "FDPE_1": 1, "LDCE": 1}, Resources(ff=6)),
    ({"RAMB36E2": 3, "RAMB18E1": 3, "URAM288": 2, "DSP48E1": 4, "DSP48E2": 1}, Resources(dsp=5, bram36=4.5, uram=2)),
])
def test_cells(cells: dict[str, int], amount: Resources) -> None:
    """LUTs used as memory or shift registers count as what they take; parts of a slice that come with LUTs do not."""
    assert resources_of_cells(cells) == amount


def _netlist(cells: dict[str, dict[str, object]], ports: dict[str, tuple[str, list[int]]]) -> dict[str, object]:
    return {"cells": cells, "netnames": {},
            "ports": {name: {"direction": direction, "bits": bits} for name, (direction, bits) in ports.items()}}


def _lut(inputs: list[int], output: int) -> dict[str, object]:
    connections = {f"I{index}": [net] for index, net in enumerate(inputs)} | {"O": [output]}
    return {"type": f"LUT{len(inputs)}", "connections": connections,
            "port_directions": {port: "output" if port == "O" else "input" for port in connections}}


def _flip_flop(d: int, q: int) -> dict[str, object]:
    return {"type": "FDRE", "connections": {"C": [1], "D": [d], "Q": [q]},
            "port_directions": {"C": "input", "D": "input", "Q": "output"}}


def test_depth_of_a_netlist() -> None:
    """Three LUTs between registers, one more behind an input, and a LUT from input to output."""
    module = _netlist({"a": _flip_flop(2, 3), "l1": _lut([3], 4), "l2": _lut([4], 5), "l3": _lut([5, 9], 6),
                       "b": _flip_flop(6, 7), "l4": _lut([10], 9), "l5": _lut([10], 11)},
                      {"i": ("input", [10]), "o": ("output", [11]), "q": ("output", [7])})
    timing = timing_of(module, {})
    assert timing.inside == LogicPath(3, 0, 0, "a", "b")
    assert timing.to_register["i", 0][0] >> 20 == 2
    assert timing.from_register["q", 0][0] == 0
    assert {terminal: delay >> 20 for terminal, delay in timing.through["i", 0].items()} == {("o", 0): 1}
    assert closed(timing) == LogicPath(3, 0, 0, "a", "b")


def test_depth_across_modules() -> None:
    """A parent adds its own levels to those in front of and behind its child's registers, and to those through it."""
    child = timing_of(_netlist({"l1": _lut([2], 3), "r": _flip_flop(3, 4), "l2": _lut([4], 5), "l3": _lut([6], 7)},
                               {"i": ("input", [2]), "o": ("output", [5]), "a": ("input", [6]), "b": ("output", [7])}),
                      {})
    assert child.inside is None
    use = {"type": "child0", "connections": {"i": [3], "o": [2], "a": [4], "b": [5]}, "port_directions": {}}
    parent = timing_of(_netlist({"u": use, "l1": _lut([2], 4), "l2": _lut([5], 3)}, {}), {"child0": child})
    # r, LUT, out, LUT, in, LUT, out, LUT, in, LUT, r
    assert parent.inside == LogicPath(5, 0, 0, "u.r", "u.r")


def test_loop_is_refused() -> None:
    module = _netlist({"l1": _lut([2], 3), "l2": _lut([3], 2)}, {})
    with pytest.raises(SynthesisError, match="loop without a register"):
        timing_of(module, {})


def test_missing_module_is_named() -> None:
    rtlil, _ = to_rtlil(Pair(), "top")
    with pytest.raises(SynthesisError, match="module top uses top.ram, which is not in the design"):
        Hierarchy.parse(rtlil.replace("module \\top.ram\n", "module \\top.rom\n"), "top")
    with pytest.raises(SynthesisError, match="there is no module core"):
        Hierarchy.parse(rtlil, "core")


def test_yosys_errors_are_one_line(tmp_path: Path) -> None:
    need_yosys()
    with pytest.raises(SynthesisError, match="^Yosys: ERROR: .*missing.v[^\n]*$"):
        yosys.run_yosys("read_verilog missing.v", directory=tmp_path)
    with pytest.raises(ConfigError, match="family must be 7series, ultrascale\\+, versal, not 'spartan'"):
        synthesize("", "top", "spartan")


def test_without_yosys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(yosys, "available", lambda: False)
    with pytest.raises(SynthesisError, match="open synthesis needs Yosys; install it with: pip install pyosys==0.70"):
        yosys.run_yosys("help", directory=tmp_path)


BOARD = Board(
    name="small", title="Small", part="xc", family="ultrascale+", speed_grade="-1", shell="fabric", board_part=None,
    platform=None, slrs=(Resources(100, 200, 4, 2, 0),), memories=(Memory("m", "ddr4", 1, 128, 1, 1, 1),),
    clock_mhz=100, processor_mhz=None, ps_port=None, control_base=None, clock_pin=None, clock_input_mhz=None,
    sources={})


def test_report() -> None:
    """Amounts of a unit are one instance's, the table shows all; what the board lacks is said."""
    units = (UnitResult("vit_accel.top", 1, {}, Resources(10, 20), LogicPath(3, 1, 0, "a", "b")),
             UnitResult("sievit_group.operands.exp0", 2, {}, Resources(5, 5, 1, 0.5, 1), LogicPath(7, 0, 0, "c", "d")))
    report = report_of(SynthesisResult("ultrascale+", units), HardwareConfig(), BOARD)
    assert report["total"] == {"lut": 20, "ff": 30, "dsp": 2, "bram36": 1.0, "uram": 2}
    assert report["board"]["share"] == {"lut": .2, "ff": .15, "dsp": .5, "bram36": .5, "uram": None}
    assert [unit["name"] for unit in report["units"]] == ["top", "group.operands.exp"]
    assert longest(report) == {"luts": 7, "carries": 0, "multiplexers": 0, "start": "c", "end": "d"}
    assert deep_units(report) == ["group.operands.exp: 7 levels from c to d"]
    assert json.loads(json.dumps(report)) == report
    assert table_of(report).row_count == 5


@pytest.mark.parametrize(("arguments", "message"), [
    (["--family", "spartan"], "family must be 7series, ultrascale+, versal, not 'spartan'"),
    (["--artifact", "x.safetensors", "--model", "deit_t"], "--artifact and --model exclude each other"),
    (["--artifact", "missing.safetensors"], "missing.safetensors"),
    (["--workers", "0"], "--workers must be at least 1"),
    (["--clusters", "17"], "hardware.clusters must be 1 to 16"),
    (["--set", "uram_words=100"], "hardware.uram_words must be 0 or at least 512"),
])
def test_command_errors(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["resources", "--estimate", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_command_takes_what_is_not_given_from_the_board(tmp_path: Path) -> None:
    """The search fills in the configuration, and the table has the board's shares."""
    file = tmp_path / "network.safetensors"
    save_artifact(random_artifact(width=32, heads=2, depth=1, tokens=10, hidden=32), file)
    arguments = ["resources", "--estimate", "--json", "--artifact", str(file), "--board", "kv260", "--groups", "1"]
    result = CliRunner().invoke(app, [*arguments, "--clusters", "2"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["hardware"]["clusters"], report["hardware"]["groups"]) == (2, 1)
    assert report["hardware"]["multiplier"] == "dsp48e2"
    assert 0 < report["board"]["share"]["lut"] < 1
