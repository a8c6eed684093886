"""Register map of ``s_axi_control``: the one source for RTL, driver, simulation and documentation.

Control, interrupt and address registers lie where the ap_ctrl_hs protocol of Vitis puts them, so its drivers fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from flows.contracts.program import MAGIC
from flows.contracts.program import VERSION as PROGRAM_VERSION

ADDRESS_BITS = 12
"""Bits of a byte address on ``s_axi_control``."""

ID_VALUE = MAGIC
"""Value of the ID register: the bytes "SIVT"."""

MAP_VERSION = 2
"""Version of this register map."""

VERSION_VALUE = MAP_VERSION << 16 | PROGRAM_VERSION
"""Value of the VERSION register."""

DEFAULT_WATCHDOG = 1 << 20
"""Cycles without progress before the WATCHDOG error when the register is 0."""

TOKENS_KEPT_ENTRIES = 32
"""Token drops whose outcome can be read."""

ADDRESS_ALIGNMENT = 4096
"""Buffers start at a multiple of this many bytes; lower address bits are not stored."""


class Error(IntEnum):
    """Codes of the ERROR register."""

    NONE = 0
    BAD_MAGIC = 1
    BAD_VERSION = 2
    CONFIG_MISMATCH = 3
    BAD_PACKET = 4
    AXI_READ = 5
    AXI_WRITE = 6
    WATCHDOG = 7
    TOO_MANY_TOKENS = 8


_ERROR_TEXT = {
    Error.NONE: "no error",
    Error.BAD_MAGIC: "the program does not start with a sievit header; check the program address",
    Error.BAD_VERSION: "the program has another format version than the hardware; compile it again",
    Error.CONFIG_MISMATCH: "the program was compiled for another hardware configuration; compile it for this one",
    Error.BAD_PACKET: "the program holds a packet the hardware does not know; it is damaged, compile it again",
    Error.AXI_READ: "memory answered a read with an error; check the program and image addresses",
    Error.AXI_WRITE: "memory answered a write with an error; check the output address",
    Error.WATCHDOG: "no progress within the watchdog time; memory does not answer, or a buffer is too short",
    Error.TOO_MANY_TOKENS: "the program needs more tokens than the hardware holds; raise max_tokens",
}


def error_text(code: int) -> str:
    """One line for a value of the ERROR register: its name, what happened, and what to do."""
    try:
        error = Error(code)
    except ValueError:
        return f"unknown hardware error code {code}"
    return f"{error.name}: {_ERROR_TEXT[error]}"


class Access(Enum):
    """What reading and writing do."""

    RW = "read/write"
    RO = "read only"
    W1S = "write 1 to set, cleared by hardware"
    COR = "cleared by reading"
    W1T = "write 1 to toggle"


@dataclass(frozen=True)
class Field:
    """Bits of a register.

    Attributes
    ----------
    name : str
    low : lowest bit
    width : bits
    doc : one line
    access : None when the register's own applies
    """

    name: str
    low: int
    width: int
    doc: str
    access: Access | None = None

    @property
    def mask(self) -> int:
        """The field's bits within the register."""
        return (1 << self.width) - 1 << self.low


@dataclass(frozen=True)
class Register:
    """A 32-bit register, or ``count`` of them in a row.

    Attributes
    ----------
    name : str
    offset : byte address of the first
    access : Access
    doc : one line
    fields : empty when the register is one number
    count : registers at ``offset``, ``offset + 4`` ...
    """

    name: str
    offset: int
    access: Access
    doc: str
    fields: tuple[Field, ...] = ()
    count: int = 1

    def field(self, name: str) -> Field:
        """The field called ``name``; KeyError when there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"register {self.name} has no field {name!r}")


REGISTERS: tuple[Register, ...] = (
    Register("CTRL", 0x00, Access.RW, "Start and state", (
        Field("ap_start", 0, 1, "Starts a run; clears itself when the run starts", Access.W1S),
        Field("ap_done", 1, 1, "A run has ended since the last read", Access.COR),
        Field("ap_idle", 2, 1, "Neither running nor about to", Access.RO),
        Field("ap_ready", 3, 1, "Ready for the next start since the last read (together with ap_done)", Access.COR),
    )),
    Register("GIER", 0x04, Access.RW, "Interrupt output", (Field("enable", 0, 1, "Enables the output"),)),
    Register("IER", 0x08, Access.RW, "Interrupt sources", (
        Field("done", 0, 1, "A run has ended"),
        Field("error", 1, 1, "A run has ended with an error"),
    )),
    Register("ISR", 0x0C, Access.W1T, "Interrupt causes, recorded whether enabled or not", (
        Field("done", 0, 1, "A run has ended"),
        Field("error", 1, 1, "A run has ended with an error"),
    )),
    Register("PROGRAM_LO", 0x10, Access.RW, "Address of the program, bits 31:12"),
    Register("PROGRAM_HI", 0x14, Access.RW, "Address of the program, bits 63:32"),
    Register("IMAGE_LO", 0x1C, Access.RW, "Address of the image buffer, bits 31:12"),
    Register("IMAGE_HI", 0x20, Access.RW, "Address of the image buffer, bits 63:32"),
    Register("OUTPUT_LO", 0x28, Access.RW, "Address of the output buffer, bits 31:12"),
    Register("OUTPUT_HI", 0x2C, Access.RW, "Address of the output buffer, bits 63:32"),
    Register("PROGRAM_WORDS", 0x34, Access.RW, "Length of the program in stream words"),
    Register("WATCHDOG", 0x38, Access.RW, f"Cycles without progress before an error; 0 means {DEFAULT_WATCHDOG}"),
    Register("ID", 0x40, Access.RO, f'{ID_VALUE:#010x}, the bytes "SIVT"'),
    Register("VERSION", 0x44, Access.RO, "Versions", (
        Field("program", 0, 16, "Program format"),
        Field("map", 16, 16, "Register map"),
    )),
    Register("CONFIG_HASH", 0x48, Access.RO, "Hash of the hardware configuration"),
    Register("STATUS", 0x4C, Access.RO, "State", (
        Field("running", 0, 1, "A run is under way"),
        Field("busy", 1, 1, "The core is not at rest"),
        Field("error", 2, 1, "The last run ended with an error"),
    )),
    Register("ERROR", 0x50, Access.RO, "Error code of the last run, 0 when it went well"),
    Register("STEP", 0x54, Access.RO, "Index of the step being executed"),
    Register("CYCLES_LO", 0x58, Access.RO, "Clock cycles of the run; reading it holds bits 63:32 for CYCLES_HI"),
    Register("CYCLES_HI", 0x5C, Access.RO, "Bits 63:32 of the cycles, as of the last read of CYCLES_LO"),
    Register("SLOTS", 0x60, Access.RO, "Slots executed"),
    Register("STALL_MEMORY", 0x64, Access.RO, "Cycles waiting for the program stream"),
    Register("STALL_LOAD", 0x68, Access.RO, "Cycles waiting for blocks to load"),
    Register("STALL_BARRIER", 0x6C, Access.RO, "Cycles waiting for the pipeline to drain between steps"),
    Register("STALL_COLUMN", 0x70, Access.RO, "Cycles waiting for layer-norm or image columns"),
    Register("STALL_SELECT", 0x74, Access.RO, "Cycles waiting for token selection"),
    Register("TOKENS", 0x78, Access.RO, "Tokens alive"),
    Register("IMAGES", 0x80, Access.RW, "Images that a run executes one after the other; 0 and 1 both mean one"),
    Register("IMAGE_STRIDE", 0x84, Access.RW, "Bytes from an image to the next, bits 31:12"),
    Register("OUTPUT_STRIDE", 0x88, Access.RW, "Bytes from an image's output to the next one's, bits 31:12"),
    Register("IMAGES_DONE", 0x8C, Access.RO, "Images of the run whose output has been written"),
    Register("TOKENS_KEPT", 0x100, Access.RO, "Tokens alive after the n-th token drop of the image, 0 if not reached",
             count=TOKENS_KEPT_ENTRIES),
)

_BY_NAME = {register.name: register for register in REGISTERS}


def register(name: str) -> Register:
    """The register called ``name``; KeyError when there is none."""
    if name not in _BY_NAME:
        raise KeyError(f"no register {name!r}; registers: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def offset(name: str, index: int = 0) -> int:
    """Byte address of register ``name`` (of its ``index``-th entry); KeyError or IndexError when there is none."""
    found = register(name)
    if not 0 <= index < found.count:
        raise IndexError(f"register {name} has entries 0 to {found.count - 1}, not {index}")
    return found.offset + 4 * index


def markdown(registers: Sequence[Register] = REGISTERS) -> str:
    """A register map as a table for the documentation."""
    lines = ["| offset | register | bits | access | meaning |", "|---|---|---|---|---|"]
    for entry in registers:
        name = entry.name if entry.count == 1 else f"{entry.name}[0..{entry.count - 1}]"
        lines.append(f"| `{entry.offset:#05x}` | {name} | 31:0 | {entry.access.value} | {entry.doc} |")
        for field in entry.fields:
            high = field.low + field.width - 1
            bits = f"{field.low}" if field.width == 1 else f"{high}:{field.low}"
            access = (field.access or entry.access).value
            lines.append(f"| | {field.name} | {bits} | {access} | {field.doc} |")
    return "\n".join(lines) + "\n"
