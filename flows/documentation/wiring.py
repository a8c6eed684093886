"""Which unit's data reach which other, read from the netlist that Amaranth elaborates."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Value, _nir
from amaranth.hdl._ir import Fragment, build_netlist
from amaranth.lib import wiring

from rtl.shared import shared_modules

nir: Any = _nir
"""Its cells declare their attributes as slots, which a type checker does not see."""
OUTSIDE = "outside"
"""Stands for the component's own ports."""
TOP = 0


def paths(component: wiring.Component) -> Counter[tuple[str, str]]:
    """Bits that lead from one submodule of a component to another.

    A bit counts when it gets from an output of the one to an input of the other through nothing but wires, registers
    and the data inputs of multiplexers: data that move, not conditions.

    Returns
    -------
    Counter
        Bits by source and destination; :data:`OUTSIDE` is the component's surroundings.
    """
    netlist, _ = elaborated(component)
    sources, sinks = _ports(netlist)
    behind = _Behind(netlist, sources)
    found: Counter[tuple[str, str]] = Counter()
    for net, units in sinks.items():
        for unit in units:
            for source in behind.units(net):
                if source != unit:
                    found[source, unit] += 1
    return found


@dataclass(frozen=True)
class Unit:
    """A module within another.

    Attributes
    ----------
    name : of the instance; that of several alike without their number
    count : how many of them
    children : modules within one of them
    """

    name: str
    count: int
    children: tuple[Unit, ...]


def units(component: wiring.Component) -> tuple[Unit, ...]:
    """What a component consists of; instances that differ by a number only are one entry. Memories are left out."""
    netlist, shared = elaborated(component)
    below: dict[int, list[tuple[str, tuple[Unit, ...]]]] = defaultdict(list)
    for cell in netlist.cells:
        if isinstance(cell, nir.Instance) and cell.type in shared:
            below[cell.module_idx].append((cell.name, units(shared[cell.type])))
    for index in range(len(netlist.modules) - 1, TOP, -1):  # children come after their parents
        module = netlist.modules[index]
        below[module.parent].insert(0, (module.name[-1], _alike(below[index])))
    return _alike(below[TOP])


def _alike(items: list[tuple[str, tuple[Unit, ...]]]) -> tuple[Unit, ...]:
    """Join entries that differ by the number at the end of their name."""
    groups: dict[str, list[tuple[Unit, ...]]] = {}
    for name, children in items:
        groups.setdefault(stem(name), []).append(children)
    return tuple(Unit(name, len(found), found[0]) for name, found in groups.items())


def stem(name: str) -> str:
    """The name of an instance without its number."""
    return re.sub(r"_?\d+(\$\d*)?$|\$\d*$", "", name)


@functools.cache
def elaborated(component: wiring.Component) -> tuple[Any, dict[str, wiring.Component]]:
    """The netlist of a component, and the shared modules that are instances in it, by the name of their type.

    Elaborated once per component.
    """
    ports = [("__".join(map(str, path)), Value.cast(signal), None)
             for path, _, signal in component.signature.flatten(component)]
    netlists = []
    shared = shared_modules(lambda: netlists.append(build_netlist(Fragment.get(component, None), ports=ports)))
    return netlists[0], shared


def _ports(netlist: Any) -> tuple[dict[Any, str], dict[Any, set[str]]]:
    """Unit that drives a net, and units that read it."""
    sources: dict[Any, str] = {}
    sinks: dict[Any, set[str]] = defaultdict(set)
    for name, nets, drives in _connections(netlist):
        for net in nets:
            if net.is_const:
                continue
            if drives:
                sources.setdefault(net, name)
            else:
                sinks[net].add(name)
    return sources, sinks


def _connections(netlist: Any) -> Iterator[tuple[str, Any, bool]]:
    """Unit, nets, and whether it drives them, for the ports of all submodules and of the component itself."""
    for module in netlist.modules:
        if module.parent == TOP:
            for nets, flow in module.ports.values():
                yield module.name[-1], nets, flow == nir.ModuleNetFlow.Output
    for index, cell in enumerate(netlist.cells):
        if isinstance(cell, nir.Instance) and cell.module_idx == TOP:
            yield cell.name, cell.output_nets(index), True
            for port, nets in cell.ports_i.items():
                if port not in ("clk", "rst"):
                    yield cell.name, nets, False
    for nets, flow in netlist.modules[TOP].ports.values():
        yield OUTSIDE, nets, flow == nir.ModuleNetFlow.Input


class _Behind:
    """Finds the units whose outputs are behind a net."""

    def __init__(self, netlist: Any, sources: dict[Any, str]) -> None:
        self._cells, self._sources = netlist.cells, sources
        self._known: dict[Any, frozenset[str]] = {}

    def units(self, start: Any) -> frozenset[str]:
        if start in self._known:
            return self._known[start]
        found, pending, seen = set(), [start], set()
        while pending:
            net = pending.pop()
            if net in seen or net.is_const or net.is_late:
                continue
            seen.add(net)
            if net in self._sources:
                found.add(self._sources[net])
            else:
                pending += self._data_inputs(net)
        self._known[start] = frozenset(found)
        return self._known[start]

    def _data_inputs(self, net: Any) -> list[Any]:
        cell, bit = self._cells[net.cell], net.bit
        if cell.module_idx != TOP:
            return []
        if isinstance(cell, nir.FlipFlop):
            return [cell.data[bit]]
        if isinstance(cell, nir.Operator) and cell.operator == "m":
            return [cell.inputs[1][bit], cell.inputs[2][bit]]
        if isinstance(cell, nir.AssignmentList):
            nets = [cell.default[bit]]
            nets += [part.value[bit - part.start] for part in cell.assignments
                     if part.start <= bit < part.start + len(part.value)]
            return nets
        return []
