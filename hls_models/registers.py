"""Register map of the kernel that Vitis HLS makes of ``vit_accel.cpp``, as far as it can be that of the RTL.

In the IP flow (UG1399, "S_AXILITE Offset Option") an argument may be given an address. Its words are followed by a
control word of the tool's, so the RTL's three neighbours IMAGES, IMAGE_STRIDE and OUTPUT_STRIDE cannot keep theirs; an
array is a memory, which has none. What the function returns can be read when it has run, not before: ID, VERSION and
the like have no equal. In the kernel flow (Alveo) the tool chooses all addresses, and XRT knows arguments by their
place.
"""

from __future__ import annotations

from dataclasses import dataclass

from flows.contracts.registers import TOKENS_KEPT_ENTRIES, Access, Field, Register, markdown, offset

STATUS = {name: TOKENS_KEPT_ENTRIES + place for place, name in enumerate(
    ("ERROR", "STEP", "SLOTS", "TOKENS", "IMAGES_DONE", "CONFIG_HASH"))}
"""Places in the array ``status``, by the name of the RTL's register; the tokens after each drop come first."""
STATUS_WORDS = TOKENS_KEPT_ENTRIES + len(STATUS)


@dataclass(frozen=True)
class Argument:
    """An argument of the top function on ``s_axi_control``.

    Attributes
    ----------
    name : in C++
    offset : byte address
    words : of 32 bits
    control : a word of the tool's follows
    """

    name: str
    offset: int
    words: int = 1
    control: bool = True

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.offset + 4 * (self.words + self.control)


ARGUMENTS = (
    Argument("program", offset("PROGRAM_LO"), 2),
    Argument("image", offset("IMAGE_LO"), 2),
    Argument("output", offset("OUTPUT_LO"), 2),
    Argument("program_words", offset("PROGRAM_WORDS")),
    Argument("images", offset("IMAGES")),
    Argument("image_stride", 0x90),
    Argument("output_stride", 0x98),
    Argument("status", offset("TOKENS_KEPT"), STATUS_WORDS, control=False),
)
"""In the order of the function's parameters."""


def _at(name: str) -> int:
    return next(argument.offset for argument in ARGUMENTS if argument.name == name)


_INTERRUPT = (Field("done", 0, 1, "A run has ended"), Field("ready", 1, 1, "The next run may start"))

REGISTERS: tuple[Register, ...] = (
    Register("CTRL", 0x00, Access.RW, "Start and state", (
        Field("ap_start", 0, 1, "Starts a run; clears itself when the run starts", Access.W1S),
        Field("ap_done", 1, 1, "A run has ended since the last read", Access.COR),
        Field("ap_idle", 2, 1, "Not running", Access.RO),
        Field("ap_ready", 3, 1, "Ready for the next start since the last read", Access.COR),
    )),
    Register("GIER", 0x04, Access.RW, "Interrupt output", (Field("enable", 0, 1, "Enables the output"),)),
    Register("IER", 0x08, Access.RW, "Interrupt sources", _INTERRUPT),
    Register("ISR", 0x0C, Access.W1T, "Interrupt causes", _INTERRUPT),
    Register("PROGRAM_LO", _at("program"), Access.RW, "Address of the program, bits 31:0"),
    Register("PROGRAM_HI", _at("program") + 4, Access.RW, "Address of the program, bits 63:32"),
    Register("IMAGE_LO", _at("image"), Access.RW, "Address of the image buffer, bits 31:0"),
    Register("IMAGE_HI", _at("image") + 4, Access.RW, "Address of the image buffer, bits 63:32"),
    Register("OUTPUT_LO", _at("output"), Access.RW, "Address of the output buffer, bits 31:0"),
    Register("OUTPUT_HI", _at("output") + 4, Access.RW, "Address of the output buffer, bits 63:32"),
    Register("PROGRAM_WORDS", _at("program_words"), Access.RW, "Length of the program in stream words"),
    Register("IMAGES", _at("images"), Access.RW, "Images of a run; 0 and 1 both mean one"),
    Register("IMAGE_STRIDE", _at("image_stride"), Access.RW, "Bytes from an image to the next"),
    Register("OUTPUT_STRIDE", _at("output_stride"), Access.RW, "Bytes from an image's output to the next one's"),
    Register("TOKENS_KEPT", _at("status"), Access.RO, "Tokens alive after the n-th token drop of the last image, 0 if "
             "not reached", count=TOKENS_KEPT_ENTRIES),
    Register("ERROR", _at("status") + 4 * STATUS["ERROR"], Access.RO, "Error code of the run, as of the RTL"),
    Register("STEP", _at("status") + 4 * STATUS["STEP"], Access.RO, "Index of the last step executed"),
    Register("SLOTS", _at("status") + 4 * STATUS["SLOTS"], Access.RO, "Slots executed, of the last image"),
    Register("TOKENS", _at("status") + 4 * STATUS["TOKENS"], Access.RO, "Tokens alive at the end"),
    Register("IMAGES_DONE", _at("status") + 4 * STATUS["IMAGES_DONE"], Access.RO,
             "Images of the run whose output has been written"),
    Register("CONFIG_HASH", _at("status") + 4 * STATUS["CONFIG_HASH"], Access.RO,
             "Hash of the hardware configuration"),
)
"""Valid when a run has ended, those of ``status`` that is."""


def register_table() -> str:
    """The map in Markdown."""
    return markdown(REGISTERS)
