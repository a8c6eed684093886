"""What the pages and diagrams take from the code is what the code says now."""

from __future__ import annotations

from collections import Counter

import pytest

from flows.documentation.blocks import ROOT
from flows.documentation.diagrams import hierarchy, movement
from flows.documentation.diagrams.example import CONFIG, core, group, top
from flows.documentation.diagrams.memories import sizes
from flows.documentation.generate import generated, outdated
from flows.documentation.tables import configuration_table, packet_tables
from flows.documentation.wiring import OUTSIDE, elaborated, nir, paths, units


def test_everything_generated_is_up_to_date() -> None:
    """Tables of the pages, and every diagram."""
    assert not outdated(), "run: python -m flows.documentation.generate"


def test_a_changed_table_is_noticed() -> None:
    page = (ROOT / "docs" / "registers.md").read_text()
    assert generated(page) == page
    assert generated(page.replace("| `0x058` | CYCLES_LO |", "| `0x05c` | CYCLES_LO |")) == page


def test_an_unknown_part_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing_like_it"):
        generated("<!-- generated: nothing_like_it -->\n<!-- end -->")


def test_tables_have_the_code_s_remarks() -> None:
    assert "| 17:12 | `shift` | requantizer shift of the step |" in packet_tables()
    assert "| `banks` | 8 | Banks of each activation memory" in configuration_table()


def test_every_unit_is_drawn() -> None:
    """No unit is missing in a diagram, and none is drawn that does not exist."""
    assert {unit.name for unit in units(group())} == set(movement.GROUP)
    assert {unit.name for unit in units(core())} == set(movement.CORE)
    drawn = (ROOT / "docs" / "assets" / "hierarchy.svg").read_text()
    for name in hierarchy.flat(units(top())):
        assert f">{name}<" in drawn or f">{name} x " in drawn or name in hierarchy.MEMORIES or "memory" in name, name


def test_paths_are_those_of_the_netlist() -> None:
    """Widths that follow from the configuration: words that a decoder gives out, sums of a cluster, residual words."""
    inner, outer = paths(group()), paths(core())
    assert inner["cluster0", "drain"] == 16 * 32 + 17
    assert inner["operands", "cluster0"] == 16 * 9 + 9  # codes of nine bits, and the flow's control
    assert inner["drain", "cluster0"] == 0
    assert outer["key_value", "decoder"] == CONFIG.stream_bits
    assert outer["group0", "part_sum"] == outer["group1", "part_sum"] > 0
    assert inner[OUTSIDE, "cluster3"] >= CONFIG.stream_bits


def test_memories_are_those_of_the_netlist() -> None:
    """Every memory of the diagram is there as often, as deep and as wide as it says, and no more of that size."""
    found: Counter[tuple[int, int]] = Counter()

    def count(component: object, times: int) -> None:
        netlist, shared = elaborated(component)  # type: ignore[arg-type]
        for cell in netlist.cells:
            if isinstance(cell, nir.Memory):
                found[cell.depth, cell.width] += times
            elif isinstance(cell, nir.Instance) and cell.type in shared:
                count(shared[cell.type], times)

    count(top(), 1)
    drawn: Counter[tuple[int, int]] = Counter()
    for _, number, words, bits, _ in sizes(CONFIG):
        drawn[words, bits] += number
    assert {size: found[size] for size in drawn} == drawn
