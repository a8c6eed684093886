"""Probe points: where the simulation taps the accelerator, what a record holds, and the testbench that does it.

This is the only place that knows hierarchical names of the RTL.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from flows.contracts.errors import SimulationError
from flows.contracts.program import STEP as STEP_FIELDS
from sim.verilog_source import Source

HERE = Path(__file__).resolve().parent

RECORD = np.dtype([("unit", "<u4"), ("step", "<u4"), ("column", "<u4"), ("token", "<u4"), ("cycle", "<u8"),
                   ("reserved", "V8"), ("data", "u1", 32)])
"""A probe record; ``data`` holds 16 lanes of 8 or 16 bits, lane 0 first."""


@dataclass(frozen=True)
class Probe:
    """A probe point of the accelerator.

    Attributes
    ----------
    unit : short name: X layer norm output, A activation memory, KV key/value memory, S score memory, R residual
        memory, L logit memory
    title : the unit's name in messages
    valid, column, token, data : Verilog expressions of one group, ``{group}`` standing for its number, relative to the
        accelerator instance ``dut``; ``token`` is a row of the group; ``data`` is at most 256 bits wide
    step : Verilog expression of the step a value belongs to
    """

    unit: str
    title: str
    valid: str
    column: str
    token: str
    data: str
    step: str


GROUP = "dut.top.core.group{group}"
"""A token group; ``{group}`` is its number."""

STEP = "dut.top.control.step"
"""Verilog expression: index of the step whose slots run."""


def _draining_step() -> str:
    """Verilog expression: index of the step whose columns drain, a field of its header."""
    names = [name for name, _ in STEP_FIELDS]
    first = sum(width for _, width in STEP_FIELDS[:names.index("index")])
    return f"dut.top.core.sequencer.draining[{first} +: {dict(STEP_FIELDS)['index']}]"


def _write(unit: str, title: str, port: str, step: str) -> Probe:
    name = f"{GROUP}.{port}__"
    return Probe(unit, title, f"{name}enable", f"{name}column", f"{name}token", f"{name}data", step)


def _residual() -> Probe:
    # The payload is a structure: column in 7 bits, token in 9, data in 256.
    name = f"{GROUP}.residual.written__"
    return Probe("R", "residual memory", f"{name}valid", f"{name}payload[6:0]", f"{name}payload[15:7]",
                 f"{name}payload[271:16]", _draining_step())


PROBES: tuple[Probe, ...] = (
    _write("X", "layer norm output", "operands.x_write", STEP),
    _write("A", "activation memory", "drain.a", _draining_step()),
    _write("KV", "key/value memory", "drain.kv", _draining_step()),
    _write("S", "score memory", "drain.s", _draining_step()),
    _residual(),
    _write("L", "logit memory", "drain.logit", _draining_step()),
)
"""Probe points in the order in which a step's data pass them; a record's ``unit`` is the index here."""

STEP_START = Probe("T", "step start", "dut.top.core.sequencer.started", "32'd0", "32'd0", "256'd0", STEP)
"""Marks the cycle in which a step starts; not an output, so it is no part of :data:`PROBES`."""

STALLS = ("memory", "load", "barrier", "column", "select")
"""Causes of the stall counters, in the order of the registers."""

SLOT_START = Probe("G", "slot start", "dut.top.core.take", "32'd0", "32'd0",
                   "{{" + ", ".join(f"dut.top.control.stall_{name}" for name in reversed(STALLS)) + "}}", STEP)
"""Marks the cycle before the first row of a slot; ``data`` holds the stall counters, 32 bits each."""

MARKERS = (STEP_START, SLOT_START)
"""Events of the schedule; they follow :data:`PROBES` in the numbering of units."""

START_UNIT = len(PROBES)
"""``unit`` of :data:`STEP_START` records."""

SLOT_UNIT = START_UNIT + 1
"""``unit`` of :data:`SLOT_START` records."""

UNITS = {probe.unit: index for index, probe in enumerate(PROBES)}


def render_testbench(bus_bits: int, groups: int = 1) -> Source:
    """Verilog of the top module ``tb``: accelerator, memory and probes.

    Parameters
    ----------
    bus_bits : data width of ``m_axi_gmem``
    groups : token groups; each is probed, and a row of a group becomes a token
    """
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                                  keep_trailing_newline=True, autoescape=False)
    text = template.from_string((HERE / "testbench.sv.j2").read_text())
    points = [{"unit": unit, "name": f"{probe.unit.lower()}{group}", "title": probe.title,
               "valid": probe.valid.format(group=group), "column": probe.column.format(group=group),
               "token": f"{groups} * 32'({probe.token.format(group=group)}) + {group}",
               "data": probe.data.format(group=group), "step": probe.step}
              for unit, probe in enumerate((*PROBES, *MARKERS))
              # Steps and slots start in all groups at once.
              for group in range(1 if probe in MARKERS else groups)]
    return Source("tb.sv", text.render(bus_bits=bus_bits, points=points))


def support_sources() -> list[Source]:
    """Memory model and probe: Verilog and C++."""
    return [Source.read(HERE / name) for name in ("memory.sv", "memory.cpp", "probe.sv", "probe.cpp")]


def read_records(path: Path | str) -> np.ndarray:
    """Read a probe file: a structured array of :data:`RECORD`.

    Raises
    ------
    SimulationError
        When the file is missing or ends within a record.
    """
    path = Path(path)
    if not path.is_file():
        raise SimulationError(f"the simulation left no probe records at {path}")
    if path.stat().st_size % RECORD.itemsize:
        raise SimulationError(f"{path} ends within a record; the simulation was cut short")
    return np.fromfile(path, RECORD)


def stalls_of(records: np.ndarray) -> np.ndarray:
    """Stall counters of :data:`SLOT_START` records by cause: int64 ``(records, 5)``."""
    return np.ascontiguousarray(records["data"]).view("<u4")[:, :len(STALLS)].astype(np.int64)


def lanes_of(records: np.ndarray, lane: str) -> np.ndarray:
    """The 16 lanes of each record as integers: int64 ``(records, 16)``."""
    kind = np.dtype(lane)
    raw = np.ascontiguousarray(records["data"][:, :16 * kind.itemsize])
    return raw.view(kind).astype(np.int64)
