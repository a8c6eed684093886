"""What can go wrong, one class for each kind; every message is one line that says what to do."""

from __future__ import annotations


class DriverError(Exception):
    """Base of all errors of the driver."""


class ParametersError(DriverError):
    """The description of the hardware (params.json) is missing, damaged or of another version."""


class ProgramError(DriverError):
    """A program file is missing, damaged, of another version, or not the one that was described."""


class ConfigMismatchError(DriverError):
    """Bitstream, description and program do not belong together.

    Attributes
    ----------
    expected, found : the two values that should be equal
    """

    def __init__(self, message: str, expected: int, found: int) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class PictureError(DriverError):
    """A picture or an array of patch codes is not what the network takes."""


class TransportError(DriverError):
    """The way to the hardware failed: library, device, memory or interrupt."""


class BusyError(DriverError):
    """A run is under way that was given up earlier; ``Accelerator.recover`` ends it."""


class HardwareError(DriverError):
    """The hardware ended a run with an error.

    Attributes
    ----------
    code : value of the ERROR register
    name : its name, for example ``"WATCHDOG"``
    text : what happened and what to do, as the hardware's documentation says
    registers : registers after the run by name
    """

    def __init__(self, code: int, name: str, text: str, registers: dict) -> None:
        super().__init__(f"the hardware stopped with error {code}, {name}: {text} (step {registers.get('STEP')}, "
                         f"cycle {registers.get('CYCLES')})")
        self.code = code
        self.name = name
        self.text = text
        self.registers = registers


class RunTimeoutError(DriverError):
    """A run did not end in time.

    Attributes
    ----------
    seconds : how long the driver waited
    registers : registers at that time by name
    """

    def __init__(self, seconds: float, registers: dict) -> None:
        super().__init__(f"no result within {seconds:g} s (step {registers.get('STEP')}, cycle "
                         f"{registers.get('CYCLES')}); call recover(), or allow more time")
        self.seconds = seconds
        self.registers = registers
