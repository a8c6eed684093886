"""The way to the hardware: registers, memory and the interrupt. One class for each kind of system implements it."""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np


class Buffer(Protocol):
    """Memory that both the processor and the accelerator reach.

    Attributes
    ----------
    address : byte address as the accelerator's bus sees it, a multiple of 4096
    nbytes : size
    """

    address: int
    nbytes: int

    def write(self, data: np.ndarray, offset: int = 0) -> None:
        """Copy uint8 ``data`` into the processor's view."""

    def read(self, nbytes: int, offset: int = 0) -> np.ndarray:
        """A copy of the processor's view, uint8."""
        ...

    def sync_to_device(self) -> None:
        """Make what was written visible to the accelerator."""

    def sync_from_device(self) -> None:
        """Make what the accelerator wrote visible to :meth:`read`."""

    def free(self) -> None:
        """Give the memory back."""


class Transport(Protocol):
    """What the driver needs of a system.

    Attributes
    ----------
    has_interrupt : whether :meth:`wait_interrupt` can be used
    """

    has_interrupt: bool

    def read32(self, offset: int) -> int:
        """Read the register at byte ``offset``."""
        ...

    def write32(self, offset: int, value: int) -> None:
        """Write the register at byte ``offset``."""

    def allocate(self, nbytes: int) -> Buffer:
        """Memory for the accelerator, starting at a multiple of 4096; TransportError when there is none."""
        ...

    def wait_interrupt(self, timeout: float) -> bool:
        """Wait until the interrupt is active, at most ``timeout`` seconds. Returns whether it is."""
        ...

    def reset(self) -> bool:
        """Reset the accelerator (all buffers are lost), when there is a way to. Returns whether there is."""
        ...

    def now(self) -> float:
        """Seconds on a clock that only goes forward; a simulation's own."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def close(self) -> None:
        """Give everything back."""


class TransportBase:
    """What most systems have in common: the processor's clock, no interrupt, no reset."""

    has_interrupt = False

    def wait_interrupt(self, timeout: float) -> bool:
        """There is none: see :class:`Transport`."""
        raise NotImplementedError("this transport has no interrupt")

    def reset(self) -> bool:
        """There is no way."""
        return False

    def now(self) -> float:
        """The processor's monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let others run."""
        time.sleep(seconds)

    def close(self) -> None:
        """Nothing to give back."""


class ArrayBuffer:
    """A buffer whose processor view is a NumPy array.

    Parameters
    ----------
    array : uint8, one dimension
    address : as the accelerator sees it
    """

    def __init__(self, array: np.ndarray, address: int) -> None:
        self.array = array
        self.address = address
        self.nbytes = array.nbytes

    def write(self, data: np.ndarray, offset: int = 0) -> None:
        """See :class:`Buffer`."""
        self.array[offset:offset + data.size] = data

    def read(self, nbytes: int, offset: int = 0) -> np.ndarray:
        """See :class:`Buffer`."""
        return np.array(self.array[offset:offset + nbytes], dtype=np.uint8)

    def sync_to_device(self) -> None:
        """Nothing to do: memory is coherent."""

    def sync_from_device(self) -> None:
        """Nothing to do: memory is coherent."""

    def free(self) -> None:
        """Nothing to give back."""
