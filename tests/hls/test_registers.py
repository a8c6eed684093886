"""The HLS kernel's register map: what it shares with the RTL's, and that the C++ says the same."""

from __future__ import annotations

import itertools
import re

from boards.catalog import load_board
from flows.contracts import registers as rtl
from flows.hls_folder import Target, project_script
from hls_models.build import HERE
from hls_models.registers import ARGUMENTS, REGISTERS, STATUS, STATUS_WORDS, register_table
from tests.accelerator.hardware import TWO

SHARED = {"CTRL", "GIER", "IER", "ISR", "PROGRAM_LO", "PROGRAM_HI", "IMAGE_LO", "IMAGE_HI", "OUTPUT_LO", "OUTPUT_HI",
          "PROGRAM_WORDS", "IMAGES", "TOKENS_KEPT"}
"""Registers at the RTL's addresses."""
TOP = (HERE / "vit_accel.cpp").read_text()


def test_addresses_in_the_source() -> None:
    """Pragmas of the IP flow give the map's addresses to every argument; those of the kernel flow give none."""
    with_offsets, without = re.search(r"#ifdef SIEVIT_OFFSETS(.*?)#else\n(.*?)#endif", TOP, re.DOTALL).groups()  # type: ignore[union-attr]
    found = re.findall(r"#pragma HLS INTERFACE s_axilite port=(\w+) offset=(0x[0-9a-f]+)\n", with_offsets)
    assert [(name, int(text, 16)) for name, text in found] == [(each.name, each.offset) for each in ARGUMENTS]
    assert re.findall(r"s_axilite port=(\w+)(.*)\n", without) == [(each.name, "") for each in ARGUMENTS]
    parameters = re.search(r"void vit_accel\((.*?)\) \{", TOP, re.DOTALL)
    assert parameters is not None
    assert re.findall(r"(\w+)(?:\[[^\]]*\])?(?:,|$)", parameters[1]) == [each.name for each in ARGUMENTS]


def test_arguments_have_room() -> None:
    """As the tool demands: a word behind each scalar, and a memory begins at a multiple of its size."""
    for before, after in itertools.pairwise(ARGUMENTS):
        assert before.end <= after.offset, f"{before.name} runs into {after.name}"
    memory = ARGUMENTS[-1]
    size = 1 << (4 * memory.words - 1).bit_length()
    assert memory.offset % size == 0 and memory.offset + size <= 1 << rtl.ADDRESS_BITS
    assert ARGUMENTS[0].offset >= 0x10


def test_places_in_status() -> None:
    """The C++ names of the words of ``status`` are in the map's order."""
    body = re.search(r"enum StatusWord \{(.*?)\};", (HERE / "vit_accel.hpp").read_text(), re.DOTALL)
    assert body is not None
    names = re.findall(r"STATUS_(\w+)(?: = (\w+))?,", body[1])
    assert names[0] == ("TOKENS_KEPT", "0") and names[1] == ("ERROR", "TOKENS_KEPT_ENTRIES")
    assert [name for name, _ in names[1:-1]] == list(STATUS) and names[-1] == ("WORDS", "")
    assert rtl.TOKENS_KEPT_ENTRIES + len(STATUS) == STATUS_WORDS


def test_shared_with_the_rtl() -> None:
    """Same name, same address: for the registers that a driver needs to start a run; no other lies on an address that
    the RTL uses for something else that is written.
    """
    assert {each.name for each in REGISTERS if each.offset == rtl.offset(each.name)} == SHARED
    written = {each.offset: each.name for each in rtl.REGISTERS if each.access is rtl.Access.RW}
    for each in REGISTERS:
        assert written.get(each.offset, each.name) == each.name
    assert {each.name for each in REGISTERS} <= {each.name for each in rtl.REGISTERS}


def test_flows() -> None:
    """Addresses are for the IP flow: the kernel of an Alveo is compiled without them."""
    assert "-DSIEVIT_OFFSETS" in project_script(TWO, Target.of(load_board("zcu102")))
    assert "-DSIEVIT_OFFSETS" not in project_script(TWO, Target.of(load_board("u250")))


def test_table() -> None:
    """Every register is in the table of the folder."""
    table = register_table()
    assert all(f"`{each.offset:#05x}` | {each.name}" in table for each in REGISTERS)
