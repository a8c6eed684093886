"""Rows in parts: where rows come every few cycles, a unit works on some lanes of a row at a time.

With ``row_cycles`` (:class:`flows.contracts.hardware.HardwareConfig`) above 1, a row of 16 lanes is taken apart into as
many parts, which pass 16 / ``row_cycles`` lanes of multipliers, adders and shifters in successive cycles, and put
together behind them. That takes ``row_cycles`` cycles longer (``part_cycles``). With 1 nothing is added.
"""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from flows.contracts.hardware import BLOCK
from rtl.delay import delayed

__all__ = ["any_part", "join_row", "part_cycles", "part_lanes", "split_row"]


def part_lanes(row_cycles: int) -> int:
    """Lanes of a part."""
    return BLOCK // row_cycles


def part_cycles(row_cycles: int) -> int:
    """Cycles that :func:`split_row` and :func:`join_row` take together."""
    return row_cycles if row_cycles > 1 else 0


def split_row(m: Module, valid: Value, row: data.View, row_cycles: int) -> tuple[Value, data.View]:
    """Take a row apart: its first part a cycle later, one part a cycle.

    Parameters
    ----------
    m : gets the registers
    valid : the row is there; again after ``row_cycles`` cycles at the earliest
    row : fields that are arrays of 16 lanes are taken apart, others stay for all parts

    Returns
    -------
    A bit that goes with the first part, and the parts: of arrays the first ``part_lanes`` entries count.
    """
    if row_cycles == 1:
        return valid, row
    lanes = part_lanes(row_cycles)
    layout = row.shape()
    assert isinstance(layout, data.StructLayout)
    parts = Signal(layout, name="parts", reset_less=True)
    first = Signal(name="first_part")
    m.d.sync += first.eq(valid)
    for name, field in layout:
        if isinstance(field.shape, data.ArrayLayout) and field.shape.length == BLOCK:
            for lane in range(BLOCK):
                # Registers without a multiplexer where nothing moves up.
                following = parts[name][lane + lanes if lane + lanes < BLOCK else lane]
                m.d.sync += parts[name][lane].eq(Mux(valid, row[name][lane], following))
        else:
            m.d.sync += parts[name].eq(Mux(valid, row[name], parts[name]))
    return first, parts


def join_row(m: Module, valid: Value, lanes: list[Value], row_cycles: int, name: str) -> tuple[Value, list[Value]]:
    """Put a row together when its last part is there.

    Parameters
    ----------
    m : gets the registers
    valid : goes with the first part
    lanes : ``part_lanes`` results of a part
    name : of the registers

    Returns
    -------
    A bit that goes with the row, and its 16 lanes.
    """
    row = list(lanes)
    for later in range(1, row_cycles):
        lanes = [delayed(m, value, 1, f"{name}_{later}_{lane}") for lane, value in enumerate(lanes)]
        row = lanes + row
    return delayed(m, valid, row_cycles - 1, f"{name}_valid", reset_less=False), row


def any_part(m: Module, valid: Value, row_cycles: int) -> Value:
    """A bit that goes with every part, from that of the first one."""
    result = valid
    for _ in range(1, row_cycles):
        valid = delayed(m, valid, 1, "part_valid", reset_less=False)
        result = result | valid
    return result
