"""Cells of the Xilinx families after open synthesis: what each takes, and how it lets signals pass."""

from __future__ import annotations

from collections.abc import Mapping

from flows.contracts.errors import SynthesisError
from flows.contracts.resources import Resources

LUTS = {
    **{f"LUT{inputs}": 1 for inputs in range(1, 7)}, "LUT6_2": 1,
    # Shift registers: one LUT each (UG474, UG574).
    "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
    # Distributed memory: a LUT holds 64 bits, and every further port holds them again.
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8,
    "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8,
    "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8,
}
"""Six-input LUTs that a cell takes."""

FLIP_FLOPS = frozenset(f"FD{kind}E{edge}" for kind in "RSCP" for edge in ("", "_1")) | {"LDCE", "LDPE"}
DSPS = frozenset({"DSP48E1", "DSP48E2"})
BLOCK_RAMS = {"RAMB36E1": 1.0, "RAMB36E2": 1.0, "RAMB18E1": 0.5, "RAMB18E2": 0.5}
ULTRA_RAMS = frozenset({"URAM288", "URAM288_BASE"})
CARRIES = frozenset({"CARRY4", "CARRY8"})
MULTIPLEXERS = frozenset({"MUXF7", "MUXF8", "MUXF9"})
FREE = CARRIES | MULTIPLEXERS | {"INV", "BUFG", "GND", "VCC"}
"""Parts of a slice that come with its LUTs, constants, and inverters, which vanish in LUTs and control inputs."""


def resources_of_cells(counts: Mapping[str, int]) -> Resources:
    """Resources of a netlist, by the number of its cells of each type.

    Raises
    ------
    SynthesisError
        For a cell that is not known here, which could otherwise go uncounted.
    """
    total = Resources()
    for kind, count in counts.items():
        total += _resources_of_cell(kind) * count
    return total


def _resources_of_cell(kind: str) -> Resources:
    if kind in LUTS:
        return Resources(lut=LUTS[kind])
    if kind in FLIP_FLOPS:
        return Resources(ff=1)
    if kind in DSPS:
        return Resources(dsp=1)
    if kind in BLOCK_RAMS:
        return Resources(bram36=BLOCK_RAMS[kind])
    if kind in ULTRA_RAMS:
        return Resources(uram=1)
    if kind in FREE:
        return Resources()
    raise SynthesisError(f"open synthesis made a cell that is not known here: {kind}")
