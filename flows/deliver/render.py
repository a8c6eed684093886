"""Text of the generated scripts: Jinja templates, in which an undefined name is an error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from boards.board import Board
from flows.contracts import registers
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BURST_BYTES, HardwareConfig
from flows.deliver.floorplan import Floorplan
from flows.deliver.shells import CLOCK, INSTANCE, RESET, ZYNQMP_PORTS, Shell
from rtl.verilog import TOP_MODULE

TEMPLATES = Path(__file__).resolve().parent / "templates"
SOURCES = (f"{TOP_MODULE}.v",)
MAX_OUTSTANDING = 32

_IPXACT_ACCESS = {registers.Access.RO: "read-only", registers.Access.COR: "read-only"}
_POINTERS = ("program", "image", "output")
_ARGUMENTS = ("PROGRAM_WORDS", "WATCHDOG", "IMAGES", "IMAGE_STRIDE", "OUTPUT_STRIDE")


@dataclass(frozen=True)
class Argument:
    """An argument of the RTL kernel: a pointer takes 64 bits, a number 32."""

    name: str
    offset: int
    pointer: bool


def kernel_arguments() -> tuple[Argument, ...]:
    """Registers that a host writes before it starts a run, in the order of the kernel's arguments."""
    return (*(Argument(name, registers.offset(f"{name.upper()}_LO"), pointer=True) for name in _POINTERS),
            *(Argument(name.lower(), registers.offset(name), pointer=False) for name in _ARGUMENTS))


def ip_registers(*, kernel: bool) -> list[dict[str, Any]]:
    """Registers for the IP's description; for a kernel, addresses are one register of 64 bits named as the argument."""
    pointers = {argument.offset: argument.name for argument in kernel_arguments() if argument.pointer} if kernel else {}
    entries: list[dict[str, Any]] = []
    for entry in registers.REGISTERS:
        if kernel and entry.offset - 4 in pointers:
            continue
        for index in range(entry.count):
            name = entry.name if entry.count == 1 else f"{entry.name}_{index}"
            pointer = entry.offset in pointers
            entries.append({
                "name": pointers.get(entry.offset, name), "offset": entry.offset + 4 * index, "doc": entry.doc,
                "size": 64 if pointer else 32, "pointer": pointer,
                "access": _IPXACT_ACCESS.get(entry.access, "read-write"),
                "fields": [{"name": field.name, "low": field.low, "width": field.width, "doc": field.doc,
                            "access": _IPXACT_ACCESS.get(field.access or entry.access, "read-write")}
                           for field in entry.fields]})
    return entries


def tcl_word(text: str) -> str:
    """``text`` as one word of Tcl."""
    if any(letter in text for letter in "{}\\\n"):
        raise ConfigError(f"text cannot be written into a Tcl script: {text!r}")
    return "{" + text + "}"


def context(artifact: SparseVit, config: HardwareConfig, board: Board, shell: Shell,
            plan: Floorplan | None, params: dict[str, Any]) -> dict[str, Any]:
    """What the templates know."""
    tcl_word(board.title)
    return {
        "title": f"{artifact.model} on {board.title}", "artifact": artifact, "config": config, "board": board,
        "shell": shell, "floorplan": plan, "params": params, "top": TOP_MODULE, "sources": SOURCES,
        "clock_port": CLOCK, "reset_port": RESET, "instance": INSTANCE, "clock_mhz": f"{config.clock_mhz:g}",
        "config_hash": f"{config.config_hash():08x}",
        "control_bytes": 1 << registers.ADDRESS_BITS, "control_range": f"{(1 << registers.ADDRESS_BITS) // 1024}K",
        "control_base": None if board.control_base is None else f"{board.control_base:#010x}",
        "ip_registers": ip_registers(kernel=shell.kernel), "kernel_args": kernel_arguments(),
        "read_outstanding": min(MAX_OUTSTANDING, max(2, config.fifo_words * config.stream_bytes // BURST_BYTES)),
        "write_outstanding": 1, "burst_length": BURST_BYTES * 8 // config.bus_bits,
        "ps": _ps_port(board, config), "noc_read": _noc_bandwidth(board, config),
        "slr": plan.shared if plan is not None and len(plan.regions) == 1 else None,
        "clock_source": "the shell's kernel clock" if shell.kernel else "the block design" if shell.block_design else
        "the design that the IP is built into",
    }


def _ps_port(board: Board, config: HardwareConfig) -> dict[str, Any]:
    """The processing system's memory port: number in the IP's properties, short name, width."""
    port = board.ps_port or ""
    limit = 64 if board.shell == "zynq7" else 128
    bits = min(limit, board.memory.port_bits, config.bus_bits)
    return {"number": ZYNQMP_PORTS.get(port), "short": port.removeprefix("S_AXI_").removesuffix("_FPD"), "bits": bits}


def _noc_bandwidth(board: Board, config: HardwareConfig) -> int:
    """MB/s that the network on chip has to reserve for reads: what the bus takes, or the memory gives."""
    return int(min(config.bus_bits / 8 * config.clock_mhz, board.memory.usable_gbs * 1000))


def render(template: str, values: dict[str, Any]) -> str:
    """Text of ``templates/<template>.j2``."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined,
                                     trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
                                     autoescape=False)
    environment.filters["tcl"] = tcl_word
    return environment.get_template(f"{template}.j2").render(values)
