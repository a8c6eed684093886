"""Modules that are emitted once and instantiated many times.

Amaranth elaborates every submodule anew, so sixteen dot products per cluster become sixteen modules of identical text.
A shared module is converted to Verilog once; each use is an ``Instance``. That keeps the Verilog small, synthesis
hierarchical, and simulation builds several times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.back import rtlil, verilog
from amaranth.hdl import ClockSignal, Elaboratable, Instance, Module, ResetSignal, Value, ValueLike
from amaranth.lib import wiring

from rtl.ultra import without_contents

PortSpec = tuple[Value, Any]
_registry: dict[str, wiring.Component] = {}
_texts: dict[str, str] = {}


def shared_instance(name: str, factory: Callable[[], wiring.Component], **ports: ValueLike) -> Instance:
    """An ``Instance`` of the component that ``factory`` makes, emitted under ``name``.

    Parameters
    ----------
    name : module name; the same name must always mean the same circuit
    factory : makes the component when the name is met for the first time
    **ports : a value per member of the component's signature ; nested members as ``outer__inner``
    """
    if name not in _registry:
        _registry[name] = factory()
    connections: dict[str, ValueLike] = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
    component = _registry[name]
    for path, member, _ in component.signature.flatten(component):
        port = "__".join(str(part) for part in path)
        prefix = "i" if member.flow == wiring.In else "o"
        connections[f"{prefix}_{port}"] = ports.pop(port)
    if ports:
        raise TypeError(f"{name} has no member {min(ports)!r}")
    return Instance(name, **connections)


def shared_component(m: Module, instance: str, name: str, factory: Callable[[], wiring.Component]) -> Any:
    """Add a shared module to ``m`` under the name ``instance`` and return its interface, to connect like a component's.

    Parameters
    ----------
    m : gets the submodule
    instance : name of the submodule
    name, factory : see :func:`shared_instance`
    """
    if name not in _registry:
        _registry[name] = factory()
    interface = _registry[name].signature.create(path=(instance,))
    ports = {"__".join(str(part) for part in path): value
             for path, _, value in interface.signature.flatten(interface)}
    m.submodules[instance] = shared_instance(name, factory, **ports)
    return interface


def shared_modules(elaborate: Callable[[], object]) -> dict[str, wiring.Component]:
    """Components of the shared modules that ``elaborate()`` meets, by module name."""
    _registry.clear()
    elaborate()
    return dict(_registry)


def use_verilog(name: str, text: str) -> None:
    """Let the design that is being elaborated contain module ``name``, written in Verilog."""
    _texts[name] = text


def to_verilog(component: Elaboratable, name: str, ports: dict[str, PortSpec] | None = None) -> str:
    """Verilog of ``component`` and of every shared or hand-written module it uses, directly or not, each once.

    Parameters
    ----------
    component : the top
    name : its module name
    ports : flat port names as :func:`amaranth.back.verilog.convert` takes them; by default those Amaranth derives
        from the signature
    """
    texts = _convert_all(component, name, ports, verilog.convert, strip_internal_attrs=True)
    return "\n".join([*map(without_contents, texts), *(_texts[each] for each in sorted(_texts))])


def to_rtlil(component: Elaboratable, name: str, ports: dict[str, PortSpec] | None = None) -> tuple[str, str]:
    """The same design for synthesis: RTLIL of what is written in Amaranth, and Verilog of the rest.

    A memory stays one object in RTLIL, where Verilog spells out the initial value of every word.

    Parameters
    ----------
    component, name, ports : as in :func:`to_verilog`
    """
    texts = _convert_all(component, name, ports, rtlil.convert)
    return "\n".join(texts), "\n".join(_texts[each] for each in sorted(_texts))


def _convert_all(component: Elaboratable, name: str, ports: dict[str, PortSpec] | None,
                 convert: Callable[..., str], **options: Any) -> list[str]:
    """Texts of the component and of the shared modules it uses."""
    _registry.clear()
    _texts.clear()
    texts = [convert(component, name=name, emit_src=False, **options, **({} if ports is None else {"ports": ports}))]
    done: set[str] = set()
    while pending := sorted(set(_registry) - done):
        for shared in pending:
            texts.append(convert(_registry[shared], name=shared, emit_src=False, **options))
            done.add(shared)
    return texts
