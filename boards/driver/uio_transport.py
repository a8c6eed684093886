"""Plain Linux: registers through a UIO device or ``/dev/mem``, memory from a u-dma-buf device. Never run on a board
so far.

u-dma-buf (https://github.com/ikwzm/udmabuf) is a small kernel module that hands out contiguous memory.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
from pathlib import Path
from typing import Any

import numpy as np

from .errors import TransportError
from .transport import ArrayBuffer, TransportBase

PAGE_BYTES = 4096


class _Part(ArrayBuffer):
    """Part of the pool."""

    def __init__(self, pool: Any, array: np.ndarray, address: int, offset: int) -> None:
        super().__init__(array, address)
        self._pool, self.offset = pool, offset

    def free(self) -> None:
        """See :class:`Buffer`."""
        self._pool.give_back(self)


class Pool:
    """Buffers out of one contiguous piece of memory, first fit.

    Parameters
    ----------
    memory : uint8 array over all of it
    address : of its first byte as the accelerator sees it
    """

    def __init__(self, memory: np.ndarray, address: int) -> None:
        self._memory, self._address = memory, address
        self._used: list = []

    def allocate(self, nbytes: int) -> _Part:
        """The first gap that is large enough; TransportError when there is none."""
        at = -self._address % PAGE_BYTES
        for part in self._used:
            if part.offset - at >= nbytes:
                break
            at = part.offset + -(-part.nbytes // PAGE_BYTES) * PAGE_BYTES
        if at + nbytes > self._memory.size:
            raise TransportError(f"no {nbytes} bytes left of {self._memory.size}; make the memory larger")
        part = _Part(self, self._memory[at:at + nbytes], self._address + at, at)
        self._used = sorted([*self._used, part], key=lambda item: item.offset)
        return part

    def give_back(self, part: _Part) -> None:
        """Free a buffer; once is enough."""
        self._used = [item for item in self._used if item is not part]


class UioTransport(TransportBase):
    """Registers and interrupt of a UIO device, or registers of ``/dev/mem``.

    Parameters
    ----------
    registers : ``/dev/uioN``, or ``/dev/mem`` together with ``base``
    memory : device of u-dma-buf, for example ``/dev/udmabuf0``; opened so that the processor's cache is not used
    base : address of ``s_axi_control`` in ``/dev/mem``
    span : bytes of registers
    address : of the memory as the accelerator sees it; what u-dma-buf says when None
    size : of the memory; what u-dma-buf says when None

    Raises
    ------
    TransportError
        When a device cannot be opened.
    """

    def __init__(self, registers: str = "/dev/uio0", memory: str = "/dev/udmabuf0", *, base: int = 0,
                 span: int = PAGE_BYTES, address: int | None = None, size: int | None = None) -> None:
        self.has_interrupt = "uio" in Path(registers).name
        facts = Path("/sys/class/u-dma-buf") / Path(memory).name
        try:
            address = int((facts / "phys_addr").read_text(), 0) if address is None else address
            size = int((facts / "size").read_text(), 0) if size is None else size
            self._device = os.open(registers, os.O_RDWR | os.O_SYNC)
            self._map = mmap.mmap(self._device, span, offset=base)
            # O_SYNC: u-dma-buf then maps the memory uncached, and nothing has to be flushed.
            handle = os.open(memory, os.O_RDWR | os.O_SYNC)
            self._memory = mmap.mmap(handle, size)
            os.close(handle)
        except (OSError, ValueError) as error:
            raise TransportError(f"{registers} or {memory} cannot be used ({error}); check the device tree and the "
                                 "kernel module u-dma-buf") from None
        # One 32-bit access each: a slice of bytes would be copied in pieces of any size.
        self._registers = memoryview(self._map).cast("I")
        self._pool = Pool(np.frombuffer(self._memory, np.uint8), address)

    def read32(self, offset: int) -> int:
        """See :class:`Transport`."""
        return self._registers[offset // 4]

    def write32(self, offset: int, value: int) -> None:
        """See :class:`Transport`."""
        self._registers[offset // 4] = value

    def allocate(self, nbytes: int) -> _Part:
        """See :class:`Transport`."""
        return self._pool.allocate(nbytes)

    def wait_interrupt(self, timeout: float) -> bool:
        """See :class:`Transport`."""
        os.write(self._device, struct.pack("I", 1))  # enables the interrupt, which the kernel disables when it comes
        ready, _, _ = select.select([self._device], [], [], timeout)
        if ready:
            os.read(self._device, 4)
        return bool(ready)

    def close(self) -> None:
        """Close the register device; the memory goes with the last buffer."""
        self._registers.release()
        self._map.close()
        os.close(self._device)
