"""A design as RTLIL text, taken apart into modules that can be synthesized one by one."""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from flows.contracts.errors import SynthesisError

TOP = "top"
"""Name of the module at work in the text that goes to synthesis."""

_MODULE = re.compile(r"^module \\(\S+)$(.*?)^end$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"^  wire (?:width (\d+) )?(input|output|inout) (\d+) +(?:signed )?\\(\S+)$", re.MULTILINE)
_CELL = re.compile(r"^  cell \\(\S+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Port:
    """A port of a module: ``direction`` is ``"input"`` or ``"output"``, ``number`` its place in the port list."""

    name: str
    direction: str
    width: int
    number: int


@dataclass(frozen=True)
class UnitModule:
    """A module of RTLIL, without the modules below it.

    Attributes
    ----------
    name : as in the design
    text : its RTLIL, from ``module`` to ``end``
    ports : by name
    children : module name by instance name
    """

    name: str
    text: str = field(repr=False)
    ports: dict[str, Port] = field(repr=False)
    children: dict[str, str]

    def stub(self, name: str) -> str:
        """The ports alone, as a black box."""
        wires = "".join(f"  wire width {port.width} {port.direction} {port.number} \\{port.name}\n"
                        for port in self.ports.values())
        return f"attribute \\blackbox 1\nmodule \\{name}\n{wires}end\n"


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """All modules of a design.

    Attributes
    ----------
    modules : by name
    top : name of the top
    """

    modules: dict[str, UnitModule]
    top: str

    @classmethod
    def parse(cls, text: str, top: str) -> Hierarchy:
        """Take RTLIL text apart.

        Raises
        ------
        SynthesisError
            When a module is used that the text does not contain.
        """
        modules = {}
        for found in _MODULE.finditer(text):
            body = found.group(0)
            ports = {name: Port(name, direction, int(width or 1), int(number))
                     for width, direction, number, name in _PORT.findall(body)}
            modules[found.group(1)] = UnitModule(found.group(1), body, ports,
                                                 {inst: kind for kind, inst in _CELL.findall(body)})
        for module in modules.values():
            for child in module.children.values():
                if child not in modules:
                    raise SynthesisError(f"module {module.name} uses {child}, which is not in the design")
        if top not in modules:
            raise SynthesisError(f"there is no module {top} in the design")
        return cls(modules, top)

    @functools.cache  # noqa: B019 - a hierarchy lives as long as the command
    def isolated(self, name: str) -> str:
        """Text for the synthesis of one module: itself as ``top``, and the ports of what it uses.

        Names are replaced, so modules that are equal but for their names give equal text.
        """
        module = self.modules[name]
        kinds = list(dict.fromkeys(module.children.values()))
        names = {kind: f"child{index}" for index, kind in enumerate(kinds)}
        text = module.text.replace(f"module \\{name}\n", f"module \\{TOP}\n", 1)
        text = _CELL.sub(lambda cell: f"  cell \\{names[cell.group(1)]} {cell.group(2)}", text)
        return "".join(self.modules[kind].stub(names[kind]) for kind in kinds) + text + "\n"

    @functools.cache  # noqa: B019
    def identity(self, name: str) -> str:
        """Hash of a module with everything below it; names do not count."""
        digest = hashlib.sha256(self.isolated(name).encode())
        for child in self.modules[name].children.values():
            digest.update(self.identity(child).encode())
        return digest.hexdigest()

    def instances(self) -> Counter[str]:
        """How often each module is used in the design, the top once."""
        counts: Counter[str] = Counter()
        self._count(self.top, 1, counts)
        return counts

    def _count(self, name: str, times: int, counts: Counter[str]) -> None:
        counts[name] += times
        for child, uses in Counter(self.modules[name].children.values()).items():
            self._count(child, times * uses, counts)

    def bottom_up(self) -> list[str]:
        """Names of the modules in use, children before parents."""
        order: dict[str, None] = {}

        def visit(names: Iterable[str]) -> None:
            for name in names:
                if name not in order:
                    visit(self.modules[name].children.values())
                    order[name] = None

        visit([self.top])
        return list(order)
