"""The board files: every fact has a source, and none of the mix-ups that public tables show."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from boards.board import FAMILIES, SHELLS, Board
from boards.catalog import FOLDER, board_names, load_board
from flows import cli
from flows.contracts.errors import ConfigError
from flows.contracts.resources import KINDS, Resources

BOARDS = [load_board(name) for name in board_names()]
each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)

PREFIXES = {"7series": "xc7", "ultrascale+": ("xczu", "xcu", "xck26"), "versal": "xcv"}
LOGIC_CELLS = {"xc7z020": 85_000, "xc7a100t": 101_440, "xc7a200t": 215_360, "xc7k325t": 326_080, "xczu3eg": 154_350,
               "xczu7ev": 504_000, "xczu9eg": 599_550, "xck26": 256_200, "xcvc1902": 1_968_400, "xcu250": 3_780_000,
               "xcu280": 2_852_000, "xcu55c": 2_852_000}
"""System logic cells of the data sheets: marketing figures that are not LUTs."""
BLOCK_RAM_MB = {"xc7z020": 4.9, "xc7a100t": 4.75, "xc7a200t": 12.8, "xc7k325t": 15.6, "xczu3eg": 7.6, "xczu7ev": 11.0,
                "xczu9eg": 32.1, "xck26": 5.1, "xcvc1902": 34.0, "xcu250": 94.5, "xcu280": 70.9, "xcu55c": 70.9}
"""Block RAM of the data sheets in megabits."""
URAM = {"xczu7ev": 96, "xck26": 64, "xcvc1902": 463, "xcu250": 1280, "xcu280": 960, "xcu55c": 960}
"""Devices that have UltraRAM."""
SHELL_OF = {"7series": {"zynq7", "fabric"}, "ultrascale+": {"zynqmp", "alveo"}, "versal": {"versal"}}
USABLE = 0.8
NOC_LINK_GBS = 16.0


def device_of(board: Board) -> str:
    """The part's name without package and grade."""
    return next(name for name in LOGIC_CELLS if board.part.startswith(name))


def test_the_boards_asked_for() -> None:
    """Thirteen of them."""
    assert board_names() == ("arty-a7-100t", "genesys2", "kc705", "kv260", "nexys-video", "pynq-z2", "u250", "u280",
                             "u55c", "ultra96-v2", "vck190", "zcu102", "zcu104")


@each_board
def test_part(board: Board) -> None:
    """The part belongs to the family, is no engineering sample, and carries the speed grade."""
    assert board.part.startswith(PREFIXES[board.family]), board.part
    assert board.family in FAMILIES and board.shell in SHELLS and board.shell in SHELL_OF[board.family]
    assert "-es" not in board.part.lower()
    assert board.speed_grade in board.part
    assert board.board_part is None or board.board_part.count(":") == 3
    assert (board.platform is not None) == (board.shell == "alveo")


@each_board
def test_luts_are_not_logic_cells(board: Board) -> None:
    """A logic cell of the data sheet is 1 / 1.6 to 1 / 2.2 of a LUT."""
    assert 1.55 < LOGIC_CELLS[device_of(board)] / board.device.lut < 2.25


@each_board
def test_two_flip_flops_per_lut(board: Board) -> None:
    """In all three families."""
    assert board.device.ff == 2 * board.device.lut


@each_board
def test_block_rams_are_counted_in_36_kb(board: Board) -> None:
    """Held against the megabits of the data sheet: counting blocks of 18 Kb would double them."""
    assert board.device.bram36 * 36 / 1024 == pytest.approx(BLOCK_RAM_MB[device_of(board)], rel=0.012)
    assert all(float(amount).is_integer() for amount in dataclasses.astuple(board.device))


@each_board
def test_uram(board: Board) -> None:
    """Only some devices have any."""
    assert board.device.uram == URAM.get(device_of(board), 0)
    assert sum(slr.uram for slr in board.slrs) == board.device.uram


def test_a_device_has_the_same_resources_on_every_board() -> None:
    """Genesys 2 and KC705 have the same chip; so have, but for the memory beside it, U280 and U55C."""
    by_part: dict[str, set[Resources]] = {}
    for board in BOARDS:
        by_part.setdefault(board.part, set()).add(board.device)
    assert all(len(devices) == 1 for devices in by_part.values())
    assert len(by_part) == len(BOARDS) - 1
    assert load_board("u280").device == load_board("u55c").device


@each_board
def test_dies(board: Board) -> None:
    """Only the Alveo cards have several; a shell leaves most of each die, and never more than there is."""
    assert len(board.slrs) == {"u250": 4, "u280": 3, "u55c": 3}.get(board.name, 1)
    total = sum(board.slrs, Resources())
    assert total == board.resources
    if len(board.slrs) == 1:
        assert total == board.device
    for kind in KINDS:
        whole = getattr(board.device, kind)
        assert getattr(total, kind) <= whole
        for slr in board.slrs:
            assert getattr(slr, kind) * len(board.slrs) >= 0.65 * whole


@each_board
def test_memory(board: Board) -> None:
    """Peak is rate x width x ports; what may be counted on is 80 % of the lower of controller and port."""
    for memory in board.memories:
        peak = memory.rate_mts * 1e6 * memory.data_bits / 8 * memory.ports / 1e9
        assert memory.peak_gbs == pytest.approx(peak, rel=0.003)
        port = memory.port_bits / 8 * board.clock_mhz / 1000
        if board.shell == "versal":
            port = min(port, NOC_LINK_GBS)
        assert memory.usable_gbs == pytest.approx(USABLE * min(peak / memory.ports, port), rel=0.01)
    assert board.memory is board.memories[0]


@each_board
def test_clocks_and_processor(board: Board) -> None:
    """A processing system has a port and gives the clock; without one and without a shell there is an oscillator."""
    system = board.shell in ("zynq7", "zynqmp", "versal")
    assert (board.ps_port is not None) == system
    assert (board.clock_pin is not None) == (board.shell == "fabric")
    assert (board.clock_input_mhz is None) == (board.clock_pin is None) == (board.clock_standard is None)
    assert (board.clock_pin_n is not None) == (board.clock_standard == "LVDS")
    expected = {"zynq7": 100, "zynqmp": 200, "alveo": 250, "versal": 300}
    fabric = 150 if board.part.startswith("xc7k") else 100
    assert board.clock_mhz == expected.get(board.shell, fabric)
    bases = {"zynqmp": 0xA0000000, "zynq7": 0x43C00000}
    assert board.control_base == bases.get(board.shell)


@each_board
def test_every_group_of_facts_has_a_source(board: Board) -> None:
    """Also those of each memory; and the clock is called a target."""
    needed = {"part", "tools", "device", "clock"}
    needed |= {"slrs"} if len(board.slrs) > 1 else set()
    needed |= {"processor"} if board.ps_port else set()
    needed |= {"oscillator"} if board.clock_pin else set()
    for memory in board.memories:
        needed |= {f"memory {memory.name}", f"memory {memory.name}, usable"}
    assert set(board.sources) == needed
    assert all(len(text) > 3 for text in board.sources.values())
    assert "target" in board.sources["clock"] and "never placed and routed" in board.sources["clock"]


def test_versal_says_how_the_packing_fits() -> None:
    """Its slices are no DSP48."""
    assert "DSP58" in load_board("vck190").sources["device"]


def write(folder: Path, **changes: Any) -> Path:
    """A copy of zcu104.yaml with changes; dots in a key separate levels, None removes."""
    content = yaml.safe_load((FOLDER / "zcu104.yaml").read_text())
    for path, value in changes.items():
        *parents, last = path.split("__")
        place: Any = content
        for key in parents:
            place = place[int(key) if key.isdigit() else key]
        if value is None:
            del place[last]
        else:
            place[last] = value
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_a_file_of_the_user(tmp_path: Path) -> None:
    """Adding a board is one file, wherever it lies."""
    board = load_board(write(tmp_path, title="Mine", clock__mhz=240))
    assert (board.name, board.title, board.clock_mhz) == ("mine", "Mine", 240)
    assert board.device == load_board("zcu104").device


def test_one_more_file_is_one_more_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else lists the boards."""
    for path in FOLDER.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    write(tmp_path)
    monkeypatch.setattr("boards.catalog.FOLDER", tmp_path)
    assert "mine" in board_names() and load_board("Mine").title == load_board("zcu104").title


def test_names_are_found_however_they_are_written() -> None:
    """Upper case, and other separators."""
    assert load_board("PYNQ_Z2") == load_board("pynq-z2") == load_board("PynqZ2")


@pytest.mark.parametrize(("changes", "message"), [
    ({"device__source": None}, r"board file .*mine.yaml: device.source: field required"),
    ({"device__logic_cells": 504000}, "device.logic_cells: extra inputs are not permitted"),
    ({"part__family": "spartan"}, "part.family: input should be '7series', 'ultrascale\\+' or 'versal'"),
    ({"device__dsp": -1}, "device.dsp: input should be greater than 0"),
    ({"memories__0__peak_gbs": 19.2}, r"memories.0: peak_gbs 19.2 is not ports \* rate_mts \* data_bits / 8000 = 17"),
    ({"memories__0__usable_gbs": 18}, "memories.0: usable_gbs 18 of one port is more than the port's share"),
    ({"tools__shell": "fabric"}, "mine.yaml: a processor is given exactly when tools.shell is"),
    ({"slrs": {"source": "made up", "regions": [{"lut": 230400, "ff": 9, "dsp": 9, "bram36": 9, "uram": 0}] * 2}},
     "the dies together have more lut than the device"),
])
def test_bad_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """One line that names the file and the place."""
    file = write(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        load_board(file)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    """Missing, no YAML, and no mapping."""
    for text, message in ((None, "cannot read board file"), ("a: [", "is no YAML"), ("- a", "must hold keys")):
        file = tmp_path / "board.yaml"
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        with pytest.raises(ConfigError, match=message) as caught:
            load_board(file)
        assert "\n" not in str(caught.value)


def test_unknown_board() -> None:
    """All names, and the closest."""
    with pytest.raises(ConfigError, match=r"unknown board 'zcu-1O2' \(did you mean zcu102\?\); boards: arty-a7-100t, .*"
                                          r"zcu104, or a \.yaml file"):
        load_board("zcu-1O2")
    with pytest.raises(ConfigError, match=r"unknown board 'qqqq'; boards: arty"):
        load_board("qqqq")


def test_command() -> None:
    """The list, one board with its sources, JSON, and an error."""
    runner = CliRunner()
    listed = runner.invoke(cli.app, ["boards"])
    assert listed.exit_code == 0 and all(name in listed.stdout for name in board_names())
    one = runner.invoke(cli.app, ["boards", "u250"])
    assert one.exit_code == 0
    for words in ("SLR3", "345,171", "ThunderGP", "76.8 GB/s", "xilinx_u250_gen3x16_xdma_4_1_202210_1"):
        assert words in one.stdout, one.stdout
    content = json.loads(runner.invoke(cli.app, ["boards", "kc705", "--json"]).stdout)
    assert (content["clock_pin"], content["clock_pin_n"], content["slrs"][0]["dsp"]) == ("AD12", "AD11", 840)
    assert len(json.loads(runner.invoke(cli.app, ["boards", "--json"]).stdout)) == 13
    wrong = runner.invoke(cli.app, ["boards", "kc70"])
    assert wrong.exit_code == 2 and wrong.stderr.count("\n") == 1 and "did you mean kc705?" in wrong.stderr
