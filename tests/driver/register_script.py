"""One sequence of register accesses, for the mock and for the hardware: both must answer the same."""

from __future__ import annotations

from typing import Any

from boards.driver import Accelerator, Parameters

RUN_SECONDS = 1e-3
TIMING = ("CYCLES_LO", "SLOTS", "STALL_MEMORY", "STALL_LOAD", "STALL_BARRIER", "STALL_COLUMN", "STALL_SELECT", "STEP",
          "TOKENS")
"""Registers whose values depend on how the hardware works inside."""


def observe(transport: Any, params: Parameters, codes: Any) -> list[tuple[str, Any]]:
    """Every value read, with what it is.

    Parameters
    ----------
    transport : to an accelerator fresh from reset; has the property ``interrupt`` besides
    params : with a program
    codes : of an image
    """
    registers, seen = params.registers, []

    def read(name: str, index: int = 0) -> int:
        value = transport.read32(registers.offset(name, index))
        seen.append((f"{name}[{index}]", value if name not in TIMING else "any"))
        return value

    def write(name: str, value: int) -> None:
        transport.write32(registers.offset(name), value)

    def read_all() -> None:
        for name in registers.names:
            for index in range(registers.count(name)):
                read(name, index)
        seen.append(("interrupt", transport.interrupt))

    read_all()
    for name in registers.names:
        if name != "CTRL":
            write(name, 0xFFFF_FFFF)
    read_all()  # ISR was toggled, GIER and IER are on: the interrupt is active
    for name in registers.names:
        write(name, 0 if name != "ISR" else 3)
    read_all()
    seen.append(("unknown", transport.read32(0x7F0)))

    driver = Accelerator(params, transport, poll=1e-6)
    driver.load_program()
    driver.infer(codes)
    read_all()
    for images in (0, 1, 3):  # of the same buffers
        write("IMAGES", images)
        write("IMAGE_STRIDE", 0)
        write("GIER", 1)
        write("IER", 2)
        write("CTRL", 1)
        read("CTRL")  # running
        transport.sleep(RUN_SECONDS)
        read_all()  # done; the interrupt is not active, as there is no error
        read("CTRL")  # done was cleared by reading
        write("ISR", 1)
        read("ISR")
    write("PROGRAM_HI", 0x7)  # no memory there
    write("CTRL", 1)
    transport.sleep(RUN_SECONDS)
    read_all()  # done with an error: the interrupt is active
    write("ISR", 2)
    read_all()  # one cause is cleared, the other not enabled
    write("ISR", 2)
    read("ISR")  # toggled back
    return seen
