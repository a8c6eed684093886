"""Control registers: see ``bench_control``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from flows.contracts.registers import ADDRESS_BITS, REGISTERS, Error, error_text, markdown, offset, register
from rtl.control import Control
from sim.runner import simulate


def test_control() -> None:
    simulate(Control(HardwareConfig()), test_module="tests.rtl.bench_control", name="control")


def test_registers_do_not_overlap() -> None:
    used = [entry.offset + 4 * index for entry in REGISTERS for index in range(entry.count)]
    assert used == sorted(set(used))
    assert all(at % 4 == 0 and at < 1 << ADDRESS_BITS for at in used)
    for entry in REGISTERS:
        bits = [bit for field in entry.fields for bit in range(field.low, field.low + field.width)]
        assert len(bits) == len(set(bits)) and all(bit < 32 for bit in bits), entry.name


def test_offsets_of_the_protocol() -> None:
    """The ones that drivers for ap_ctrl_hs kernels rely on."""
    expected = {"CTRL": 0x00, "GIER": 0x04, "IER": 0x08, "ISR": 0x0C, "PROGRAM_LO": 0x10, "IMAGE_LO": 0x1C,
                "OUTPUT_LO": 0x28, "PROGRAM_WORDS": 0x34, "WATCHDOG": 0x38, "ID": 0x40}
    assert {name: offset(name) for name in expected} == expected
    assert offset("TOKENS_KEPT", 31) == 0x17C
    flags = ("ap_start", "ap_done", "ap_idle", "ap_ready")
    assert [register("CTRL").field(name).mask for name in flags] == [1, 2, 4, 8]


def test_unknown_names() -> None:
    with pytest.raises(KeyError, match="no register 'CTRLS'; registers: CTRL, GIER"):
        register("CTRLS")
    with pytest.raises(KeyError, match="register CTRL has no field 'go'"):
        register("CTRL").field("go")
    with pytest.raises(IndexError, match="register TOKENS_KEPT has entries 0 to 31, not 32"):
        offset("TOKENS_KEPT", 32)


def test_every_error_has_a_text() -> None:
    assert len({error_text(code) for code in Error}) == len(Error)
    assert error_text(7).startswith("WATCHDOG: no progress")
    assert error_text(15) == "unknown hardware error code 15"


def test_documentation_table_lists_everything() -> None:
    table = markdown()
    rows = table.splitlines()
    assert len(rows) == 2 + sum(1 + len(entry.fields) for entry in REGISTERS)
    assert all(entry.name in table and entry.doc in table for entry in REGISTERS)
