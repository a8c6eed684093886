"""Ports of generated Verilog, and the bus interfaces that Vivado's IP packager infers from their names.

The rules are those of UG1118 (Creating and Packaging Custom IP), chapter "Inferring signals": the ports of a bus are
called ``<interface>_<signal>`` with the signal names of the AXI specification, clocks end in ``clk``, active-low resets
in ``resetn`` or ``rst_n``, and an interrupt is called so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flows.contracts.errors import ConfigError

_CLOCK = re.compile(r"(?:.*_)?(?:a?clk|clock)$")
_RESET = re.compile(r"(?:.*_)?(?:a?reset|rst)(_?n)?$")
_INTERRUPT = re.compile(r"(?:.*_)?(?:interrupt|intr|irq)$")

MASTER_DRIVES = {
    "ar": ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos", "region", "user", "valid"),
    "aw": ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos", "region", "user", "valid"),
    "w": ("data", "strb", "last", "user", "valid"),
    "r": ("ready",),
    "b": ("ready",),
}
"""Signals of AXI4 by channel that the master drives."""
SLAVE_DRIVES = {
    "ar": ("ready",),
    "aw": ("ready",),
    "w": ("ready",),
    "r": ("id", "data", "resp", "last", "user", "valid"),
    "b": ("id", "resp", "user", "valid"),
}
"""And those that the slave drives."""
NEEDED = frozenset(f"{channel}{signal}" for channel, signals in (
    ("ar", ("addr", "valid", "ready")), ("aw", ("addr", "valid", "ready")), ("w", ("data", "strb", "valid", "ready")),
    ("r", ("data", "resp", "valid", "ready")), ("b", ("resp", "valid", "ready"))) for signal in signals)
"""Without these there is no AXI interface, not even AXI4-Lite."""
FULL_ONLY = frozenset({"arlen", "awlen", "rlast", "wlast", "arsize", "awsize", "arburst", "awburst"})
"""With these it is AXI4; without any of them AXI4-Lite."""
WIDTHS = {"valid": (1,), "ready": (1,), "last": (1,), "resp": (2,), "burst": (2,), "size": (3,), "len": (8,),
          "prot": (3,), "cache": (4,), "qos": (4,), "lock": (1,), "data": (32, 64, 128, 256, 512, 1024)}
"""Widths that AXI4 allows for a signal."""

_MASTER = {channel + signal for channel, signals in MASTER_DRIVES.items() for signal in signals}
_SLAVE = {channel + signal for channel, signals in SLAVE_DRIVES.items() for signal in signals}


@dataclass(frozen=True)
class Port:
    """A port of a Verilog module: ``direction`` is ``"input"`` or ``"output"``, ``width`` in bits."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class Bus:
    """An inferred interface.

    Attributes
    ----------
    name : prefix of its ports, or the port itself
    kind : ``"axi4"``, ``"axi4lite"``, ``"clock"``, ``"reset"`` or ``"interrupt"``
    mode : ``"master"`` or ``"slave"``, as the packager calls it
    ports : port by signal of the bus
    active_low : of a reset
    """

    name: str
    kind: str
    mode: str
    ports: dict[str, Port]
    active_low: bool = False

    @property
    def data_width(self) -> int:
        """Bits of the data of an AXI interface."""
        return self.ports["wdata"].width


def module_ports(text: str, module: str) -> list[Port]:
    """Ports of ``module`` in Verilog whose port directions are declared in the body, as Yosys writes it.

    Raises
    ------
    ConfigError
        When there is no such module, or a port in its list has no direction.
    """
    found = re.search(rf"^module\s+{re.escape(module)}\s*\(([^;]*)\);(.*?)^endmodule", text,
                      re.MULTILINE | re.DOTALL)
    if found is None:
        raise ConfigError(f"the Verilog has no module {module}; generate it again")
    names = [name.strip() for name in found[1].split(",")]
    declaration = r"^\s*(input|output)\s+(?:wire\s+|reg\s+)?(?:\[(\d+):0\]\s*)?(\w+)\s*;"
    declared = {match[3]: Port(match[3], match[1], 1 if match[2] is None else int(match[2]) + 1)
                for match in re.finditer(declaration, found[2], re.MULTILINE)}
    if missing := [name for name in names if name not in declared]:
        raise ConfigError(f"port {missing[0]} of module {module} has no direction; generate the Verilog again")
    return [declared[name] for name in names]


def infer_buses(ports: list[Port]) -> dict[str, Bus]:
    """Interfaces by name, as the packager infers them.

    Raises
    ------
    ConfigError
        For a port that belongs to no interface, a direction or width that AXI does not allow, or a missing signal.
    """
    buses: dict[str, Bus] = {}
    grouped: dict[str, dict[str, Port]] = {}
    for port in ports:
        prefix, _, signal = port.name.rpartition("_")
        if prefix and signal in _MASTER | _SLAVE:
            grouped.setdefault(prefix, {})[signal] = port
        else:
            buses[port.name] = _single(port)
    for name, signals in grouped.items():
        buses[name] = _axi(name, signals)
    return buses


def _single(port: Port) -> Bus:
    """A clock, reset or interrupt."""
    if port.width == 1:
        if port.direction == "input" and _CLOCK.match(port.name):
            return Bus(port.name, "clock", "slave", {"CLK": port})
        if port.direction == "input" and (reset := _RESET.match(port.name)):
            return Bus(port.name, "reset", "slave", {"RST": port}, active_low=reset[1] is not None)
        if port.direction == "output" and _INTERRUPT.match(port.name):
            return Bus(port.name, "interrupt", "master", {"INTERRUPT": port})
    raise ConfigError(f"port {port.name} belongs to no bus interface; the IP packager could not connect it")


def _axi(name: str, signals: dict[str, Port]) -> Bus:
    if missing := NEEDED - set(signals):
        raise ConfigError(f"interface {name} has no {min(missing)}; the IP packager would not infer AXI")
    master = signals["arvalid"].direction == "output"
    for signal, port in signals.items():
        drives = signal in (_MASTER if master else _SLAVE)
        if (port.direction == "output") != drives:
            raise ConfigError(f"{port.name} is an {port.direction}, against the direction of interface {name}")
        kind = next((kind for kind in WIDTHS if signal.endswith(kind)), None)
        if kind is not None and port.width not in WIDTHS[kind]:
            raise ConfigError(f"{port.name} has {port.width} bits; AXI allows {', '.join(map(str, WIDTHS[kind]))}")
    _check_widths(name, signals)
    present = FULL_ONLY & set(signals)
    if present and present != FULL_ONLY:
        raise ConfigError(f"interface {name} has {min(present)} but no {min(FULL_ONLY - present)}: neither AXI4 nor "
                          "AXI4-Lite")
    return Bus(name, "axi4" if present else "axi4lite", "master" if master else "slave", signals)


def _check_widths(name: str, signals: dict[str, Port]) -> None:
    """Widths that belong together."""
    for first, second, factor in (("rdata", "wdata", 1), ("wdata", "wstrb", 8), ("araddr", "awaddr", 1),
                                  ("arid", "rid", 1), ("awid", "bid", 1)):
        if first in signals and second in signals and signals[first].width != factor * signals[second].width:
            raise ConfigError(f"interface {name}: {first} has {signals[first].width} bits, {second} "
                              f"{signals[second].width}")
        if (first in signals) != (second in signals):
            raise ConfigError(f"interface {name} has only one of {first} and {second}")
