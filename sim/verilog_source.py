"""Verilog text: Amaranth conversion, and the list of a module's ports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import Elaboratable

from flows.contracts.errors import SimulationError
from rtl.shared import to_verilog


@dataclass(frozen=True)
class Source:
    """A file of the simulated design: its name (the suffix says what it is) and its text."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path | str) -> Source:
        """Read ``path``.

        Raises
        ------
        SimulationError
            When there is no such file.
        """
        path = Path(path)
        if not path.is_file():
            raise SimulationError(f"no such source file: {path}")
        return cls(path.name, path.read_text())


def convert(component: Elaboratable, *, toplevel: str = "top", ports: Mapping[str, Any] | None = None) -> Source:
    """Verilog of an Amaranth component, the same bytes on every run.

    Parameters
    ----------
    component : the design; a :class:`wiring.Component` brings its ports along
    toplevel : module name
    ports : ``{port name: (value, direction)}`` to choose flat port names, as :func:`amaranth.back.verilog.convert`
    """
    return Source(f"{toplevel}.v", to_verilog(component, toplevel, None if ports is None else dict(ports)))


def ports_of(text: str, module: str) -> list[str]:
    """Port names of ``module`` in Verilog source ``text`` (ANSI or plain port lists), in order.

    Raises
    ------
    SimulationError
        When the module is not in the text.
    """
    text = re.sub(r"//[^\n]*|/\*.*?\*/|\(\*.*?\*\)", " ", text, flags=re.DOTALL)
    found = re.search(rf"\bmodule\s+\\?{re.escape(module)}(?![\w$])\s*", text)
    if found is None:
        raise SimulationError(f"module {module} is not in the given sources")
    at = found.end()
    if text.startswith("#", at):
        at = _closing(text, text.index("(", at)) + 1
    start = at + len(text[at:]) - len(text[at:].lstrip())
    if not text.startswith("(", start):
        return []
    body = text[start + 1:_closing(text, start)]
    names = [re.search(r"([A-Za-z_$][\w$]*)\s*$", re.sub(r"\[[^\]]*\]", " ", part)) for part in body.split(",")]
    return [name.group(1) for name in names if name is not None]


def _closing(text: str, opening: int) -> int:
    depth = 0
    for index in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    raise SimulationError("unbalanced parentheses in a port list")
