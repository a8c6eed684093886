"""A mapped module as a graph: which signals start and end at registers, and what lies between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.contracts.errors import SynthesisError
from flows.resources.cells import BLOCK_RAMS, CARRIES, DSPS, FLIP_FLOPS, LUTS, MULTIPLEXERS, ULTRA_RAMS

Bit = int
"""Number of a one-bit net in a netlist."""

_CARRY, _MUX, _FIELD = 10, 0, 10
LUT_LEVEL = 1 << 20
CARRY_LEVEL = 1 << _CARRY
MUX_LEVEL = 1 << _MUX
"""A delay is one integer: LUTs first, carry cells and multiplexers of a slice only break ties."""

_CLOCKS = frozenset({"C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"})
_DSP_DATA = frozenset({"A", "B", "C", "D", "PCIN", "ACIN", "BCIN", "CARRYIN"})
_DSP_RESULTS = frozenset({"P", "PCOUT", "CARRYOUT", "CARRYCASCOUT", "XOROUT", "OVERFLOW", "PATTERNDETECT"})


def levels(delay: int) -> tuple[int, int, int]:
    """LUTs, carry cells and slice multiplexers of a delay."""
    return delay >> 20, delay >> _CARRY & (1 << _FIELD) - 1, delay & (1 << _FIELD) - 1


@dataclass
class Graph:
    """Arcs between nets, and where paths begin and end.

    Attributes
    ----------
    arcs : per net, what it passes on to: net and delay
    sources : per net that leaves a register: delay behind the register, and its name
    sinks : per net that enters one: delay in front of it, and its name
    """

    arcs: dict[Bit, list[tuple[Bit, int]]] = field(default_factory=lambda: defaultdict(list))
    sources: dict[Bit, tuple[int, str]] = field(default_factory=dict)
    sinks: dict[Bit, tuple[int, str]] = field(default_factory=dict)

    def source(self, net: Bit, delay: int, name: str) -> None:
        """A register's output; of several the slowest counts."""
        self.sources[net] = max(self.sources.get(net, (-1, "")), (delay, name))

    def sink(self, net: Bit, delay: int, name: str) -> None:
        """A register's input; of several the slowest counts."""
        self.sinks[net] = max(self.sinks.get(net, (-1, "")), (delay, name))


def net_names(module: Mapping[str, Any]) -> dict[Bit, str]:
    """A readable name per net: the shortest of those the source gave it."""
    names: dict[Bit, str] = {}
    for name, entry in module["netnames"].items():
        if entry.get("hide_name"):
            continue
        bits = entry["bits"]
        for index, bit in enumerate(bits):
            label = name if len(bits) == 1 else f"{name}[{index}]"
            if isinstance(bit, int) and len(label) <= len(names.get(bit, label)):
                names[bit] = label
    return names


def add_cell(graph: Graph, name: str, cell: Mapping[str, Any], names: Mapping[Bit, str]) -> None:
    """Add a vendor cell.

    Raises
    ------
    SynthesisError
        For a cell that is not known here.
    """
    kind, ports = cell["type"], cell["connections"]
    if kind in FLIP_FLOPS:
        _register(graph, ports, {"Q"}, _label(ports.get("Q", []), names, name))
    elif kind in BLOCK_RAMS or kind in ULTRA_RAMS:
        _register(graph, ports, _outputs(cell), f"{name} ({kind})")
    elif kind in DSPS:
        _dsp(graph, cell, f"{name} ({kind})")
    elif kind.startswith("SRL"):
        _register(graph, {port: bits for port, bits in ports.items() if not port.startswith("A")},
                  {"Q", "Q15", "Q31"}, f"{name} ({kind})")
        _join(graph, (ports[port] for port in ports if port.startswith("A")), [ports["Q"]], LUT_LEVEL)
    elif kind.startswith("RAM"):
        _distributed(graph, name, cell)
    elif kind in LUTS:
        _join(graph, (bits for port, bits in ports.items() if port[0] == "I"),
              [bits for port, bits in ports.items() if port[0] == "O"], LUT_LEVEL)
    elif kind in CARRIES or kind in MULTIPLEXERS or kind in ("INV", "BUFG"):
        outputs = _outputs(cell)
        cost = CARRY_LEVEL if kind in CARRIES else MUX_LEVEL if kind in MULTIPLEXERS else 0
        _join(graph, (bits for port, bits in ports.items() if port not in outputs),
              [bits for port, bits in ports.items() if port in outputs], cost)
    elif kind not in ("GND", "VCC"):
        raise SynthesisError(f"open synthesis made a cell that is not known here: {kind}")


def _outputs(cell: Mapping[str, Any]) -> set[str]:
    return {port for port, direction in cell["port_directions"].items() if direction == "output"}


def _label(bits: list[Any], names: Mapping[Bit, str], otherwise: str) -> str:
    return names.get(bits[0], otherwise) if bits else otherwise


def _nets(bits: list[Any]) -> Iterator[Bit]:
    """Bits that are nets; the others are constants."""
    return (bit for bit in bits if isinstance(bit, int))


def _register(graph: Graph, ports: Mapping[str, list[Any]], outputs: set[str], name: str) -> None:
    for port, bits in ports.items():
        if port in _CLOCKS:
            continue
        for net in _nets(bits):
            if port in outputs:
                graph.source(net, 0, name)
            else:
                graph.sink(net, 0, name)


def _join(graph: Graph, inputs: Iterator[list[Any]], outputs: list[list[Any]], delay: int) -> None:
    targets = [net for bits in outputs for net in _nets(bits)]
    for bits in inputs:
        for net in _nets(bits):
            graph.arcs[net] += [(target, delay) for target in targets]


def _distributed(graph: Graph, name: str, cell: Mapping[str, Any]) -> None:
    """LUTs as memory: written at the clock, read in between. A read is a level like any LUT."""
    ports, outputs, kind = cell["connections"], _outputs(cell), cell["type"]
    label = f"{name} ({kind})"
    for port in outputs:
        for net in _nets(ports[port]):
            graph.source(net, LUT_LEVEL, label)
    for port, bits in ports.items():
        if port in outputs or port in _CLOCKS:
            continue
        for net in _nets(bits):
            graph.sink(net, 0, label)
        if reads := _read_by(port, outputs):
            _join(graph, iter([bits]), [ports[output] for output in reads], LUT_LEVEL)


def _read_by(port: str, outputs: set[str]) -> list[str]:
    """Outputs of a distributed memory that an address input selects."""
    if port.startswith("ADDR"):  # RAM32M, RAM64M8: a letter per port
        return [output for output in outputs if output == f"DO{port[4:]}"]
    if port.startswith("DPRA"):
        return [output for output in outputs if output == "DPO"]
    if port[0] == "A":
        return [output for output in outputs if output in ("SPO", "O")]
    return []


def _dsp(graph: Graph, cell: Mapping[str, Any], name: str) -> None:
    """A DSP slice. Without registers inside, paths pass through it; it has no LUT, so no level is added."""
    ports, outputs = cell["connections"], _outputs(cell)
    _register(graph, ports, outputs, name)
    used = {stage for stage in ("AREG", "BREG", "CREG", "MREG", "PREG") if _parameter(cell, stage)}
    if "PREG" in used:
        return
    through = {"PCIN", "CARRYIN"} | ({"C"} - ({"C"} if "CREG" in used else set()))
    if "MREG" not in used:
        through |= {port for port, stage in (("A", "AREG"), ("B", "BREG"), ("D", "AREG")) if stage not in used}
    _join(graph, (ports[port] for port in through & _DSP_DATA if port in ports),
          [ports[port] for port in _DSP_RESULTS & outputs if port in ports], 0)


def _parameter(cell: Mapping[str, Any], name: str) -> int:
    """Value of a cell's parameter; what is not given has the vendor's default, 1 for the registers of a DSP slice."""
    text = str(cell.get("parameters", {}).get(name, "1"))
    return int(text, 2)
