"""Logic depth: the longest chain of LUTs between registers, module by module.

A path is counted in the smallest unit that contains all of it. Of the units below only what a path needs is kept: how
far each input is from a register, each output from one, and which inputs pass straight on to outputs.

Definition. The depth of a path is the number of LUTs (LUT1 to LUT6, and reads of LUTs used as memory) between two
clocked elements: flip-flops, block RAMs, UltraRAMs, shift registers, and DSP slices with a register in use. Carry
cells (CARRY4, CARRY8) and the multiplexers of a slice (MUXF7, MUXF8) are counted apart: among paths with equally many
LUTs the one with more of them is shown. DSP slices that open synthesis leaves without registers add no level of their
own, and the path through them goes on. Clocks are left out; ports of the top count as registers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.contracts.errors import SynthesisError
from flows.resources.netlist import Bit, Graph, add_cell, levels, net_names

Terminal = tuple[str, int]
"""A bit of a port."""

Reach = dict[Terminal, tuple[int, str]]
"""Per bit of a port: delay from or to the register that is furthest away, and the register's name."""


@dataclass(frozen=True)
class Path:
    """The longest path of a unit.

    Attributes
    ----------
    luts, carries, multiplexers : what it passes
    start, end : registers it leads from and to
    """

    luts: int
    carries: int
    multiplexers: int
    start: str
    end: str

    @classmethod
    def of(cls, delay: int, start: str, end: str) -> Path:
        """Take a delay apart."""
        return cls(*levels(delay), start, end)


@dataclass
class Timing:
    """What is known of a module's paths.

    Attributes
    ----------
    inside : longest path from register to register, None without any
    to_register : per input bit, to the furthest register behind it
    from_register : per output bit, from the furthest register before it
    through : per input bit, delay to the output bits it reaches without a register
    """

    inside: Path | None
    to_register: Reach = field(default_factory=dict)
    from_register: Reach = field(default_factory=dict)
    through: dict[Terminal, dict[Terminal, int]] = field(default_factory=dict)


def timing_of(module: Mapping[str, Any], children: Mapping[str, Timing]) -> Timing:
    """Paths of a mapped module.

    Parameters
    ----------
    module : as Yosys writes it in JSON
    children : timing of what it instantiates, by the type of the cell

    Raises
    ------
    SynthesisError
        When signals form a loop without a register.
    """
    graph, names = Graph(), net_names(module)
    for name, cell in module["cells"].items():
        if cell["type"] in children:
            _add_child(graph, name, cell["connections"], children[cell["type"]])
        elif not cell["type"].startswith("$"):
            add_cell(graph, name, cell, names)
    order = _order(graph, names)
    arrival, required = _arrival(graph, order), _required(graph, order)
    inputs, outputs = _terminals(module, "input"), _terminals(module, "output")
    rank = {net: index for index, net in enumerate(order)}
    ends: dict[Bit, list[Terminal]] = defaultdict(list)
    for terminal, net in outputs.items():
        ends[net].append(terminal)
    through = {terminal: _reached(graph, net, rank, ends) for terminal, net in inputs.items()}
    return Timing(
        _worst(graph, arrival),
        to_register={terminal: required[net] for terminal, net in inputs.items() if net in required},
        from_register={terminal: arrival[net] for terminal, net in outputs.items() if net in arrival},
        through={terminal: reached for terminal, reached in through.items() if reached})


def _terminals(module: Mapping[str, Any], direction: str) -> dict[Terminal, Bit]:
    """Nets at the ports of one direction; constants are left out."""
    return {(port, index): net for port, entry in module["ports"].items() if entry["direction"] == direction
            for index, net in enumerate(entry["bits"]) if isinstance(net, int)}


def closed(timing: Timing) -> Path | None:
    """Longest path of a top, whose ports count as registers."""
    paths = [(delay, f"port {port}", end) for (port, _), (delay, end) in timing.to_register.items()]
    paths += [(delay, start, f"port {port}") for (port, _), (delay, start) in timing.from_register.items()]
    paths += [(delay, f"port {port}", f"port {out}") for (port, _), reached in timing.through.items()
              for (out, _), delay in reached.items()]
    candidates = [Path.of(*path) for path in paths] + ([timing.inside] if timing.inside else [])
    return max(candidates, key=order_of, default=None)


def order_of(path: Path) -> tuple[int, int, int]:
    """Longer paths are greater."""
    return path.luts, path.carries, path.multiplexers


def _add_child(graph: Graph, name: str, connections: Mapping[str, list[Any]], timing: Timing) -> None:
    def net(terminal: Terminal) -> Bit | None:
        bits = connections.get(terminal[0], [])
        bit = bits[terminal[1]] if terminal[1] < len(bits) else None
        return bit if isinstance(bit, int) else None

    for terminal, (delay, register) in timing.to_register.items():
        if (bit := net(terminal)) is not None:
            graph.sink(bit, delay, f"{name}.{register}")
    for terminal, (delay, register) in timing.from_register.items():
        if (bit := net(terminal)) is not None:
            graph.source(bit, delay, f"{name}.{register}")
    for terminal, reached in timing.through.items():
        if (bit := net(terminal)) is not None:
            graph.arcs[bit] += [(target, delay) for output, delay in reached.items()
                                if (target := net(output)) is not None]


def _order(graph: Graph, names: Mapping[Bit, str]) -> list[Bit]:
    """Nets with arcs, sources before targets."""
    waiting: dict[Bit, int] = defaultdict(int)
    for targets in graph.arcs.values():
        for target, _ in targets:
            waiting[target] += 1
    ready = [net for net in graph.arcs if net not in waiting]
    order = []
    while ready:
        net = ready.pop()
        order.append(net)
        for target, _ in graph.arcs.get(net, ()):
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if loop := [net for net, count in waiting.items() if count]:
        raise SynthesisError(f"signals form a loop without a register, through {names.get(loop[0], loop[0])}")
    return order


def _arrival(graph: Graph, order: list[Bit]) -> dict[Bit, tuple[int, str]]:
    arrival = dict(graph.sources)
    for net in order:
        if net not in arrival:
            continue
        delay, name = arrival[net]
        for target, cost in graph.arcs.get(net, ()):
            if target not in arrival or arrival[target][0] < delay + cost:
                arrival[target] = (delay + cost, name)
    return arrival


def _required(graph: Graph, order: list[Bit]) -> dict[Bit, tuple[int, str]]:
    required = dict(graph.sinks)
    for net in reversed(order):
        for target, cost in graph.arcs.get(net, ()):
            if target in required and (net not in required or required[net][0] < required[target][0] + cost):
                required[net] = (required[target][0] + cost, required[target][1])
    return required


def _worst(graph: Graph, arrival: Mapping[Bit, tuple[int, str]]) -> Path | None:
    ends = [(arrival[net][0] + delay, arrival[net][1], name) for net, (delay, name) in graph.sinks.items()
            if net in arrival]
    return Path.of(*max(ends)) if ends else None


def _reached(graph: Graph, net: Bit, rank: Mapping[Bit, int],
             outputs: Mapping[Bit, list[Terminal]]) -> dict[Terminal, int]:
    """Output bits that an input bit reaches without a register."""
    cone, stack = {net}, [net]
    while stack:
        for target, _ in graph.arcs.get(stack.pop(), ()):
            if target not in cone:
                cone.add(target)
                stack.append(target)
    delays = {net: 0}
    for bit in sorted(cone, key=lambda bit: rank.get(bit, -1)):
        for target, cost in graph.arcs.get(bit, ()):
            delays[target] = max(delays.get(target, -1), delays[bit] + cost)
    return {terminal: delays[bit] for bit in cone for terminal in outputs.get(bit, ())}
