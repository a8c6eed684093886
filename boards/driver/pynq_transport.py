"""PYNQ: Zynq and Zynq UltraScale+ boards, and Alveo cards with the ``pynq`` package. Never run on a board so far."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from .errors import TransportError
from .transport import ArrayBuffer, TransportBase


class PynqBuffer(ArrayBuffer):
    """A buffer of ``pynq.allocate``; caches are flushed and invalidated by hand."""

    def __init__(self, memory: Any) -> None:
        super().__init__(memory, memory.device_address)
        self._memory = memory

    def sync_to_device(self) -> None:
        """Flush the caches."""
        self._memory.sync_to_device()

    def sync_from_device(self) -> None:
        """Invalidate the caches."""
        self._memory.sync_from_device()

    def free(self) -> None:
        """Give the contiguous memory back."""
        self._memory.freebuffer()


class PynqTransport(TransportBase):
    """An overlay that holds the accelerator.

    Parameters
    ----------
    bitstream : path of the .bit (its .hwh beside it) or .xclbin file, or a ``pynq.Overlay`` that is already loaded
    ip : name of the accelerator in the block design
    interrupt : use its interrupt, which has to be connected to the processing system; polling otherwise
    target : memory to allocate from, for cards with several

    Raises
    ------
    TransportError
        When pynq is missing, or the overlay has no such IP.
    """

    def __init__(self, bitstream: Any, ip: str = "vit_accel_0", *, interrupt: bool = False, target: Any = None) -> None:
        try:
            import pynq  # type: ignore[import-not-found]
        except ImportError:
            raise TransportError("the package pynq is not installed; this transport runs on a PYNQ image") from None
        self._pynq = pynq
        self._target = target
        self._name = ip
        self.has_interrupt = interrupt
        self._overlay = pynq.Overlay(str(bitstream)) if not hasattr(bitstream, "ip_dict") else bitstream
        self._connect()

    def _connect(self) -> None:
        if self._name not in self._overlay.ip_dict:
            raise TransportError(f"the overlay has no IP {self._name!r}; it has: "
                                 f"{', '.join(sorted(self._overlay.ip_dict)) or 'none'}")
        self._ip = getattr(self._overlay, self._name)
        if self.has_interrupt and not hasattr(self._ip, "interrupt"):
            raise TransportError(f"the interrupt of {self._name} is not connected in the overlay; use interrupt=False")

    def read32(self, offset: int) -> int:
        """See :class:`Transport`."""
        return int(self._ip.read(offset))

    def write32(self, offset: int, value: int) -> None:
        """See :class:`Transport`."""
        self._ip.write(offset, value)

    def allocate(self, nbytes: int) -> PynqBuffer:
        """Contiguous memory; see :class:`Transport`."""
        try:
            return PynqBuffer(self._pynq.allocate(shape=(nbytes,), dtype=np.uint8, target=self._target))
        except (RuntimeError, MemoryError) as error:
            raise TransportError(f"no {nbytes} bytes of contiguous memory ({error}); free other buffers") from None

    def wait_interrupt(self, timeout: float) -> bool:
        """See :class:`Transport`."""
        async def wait() -> None:
            await self._ip.interrupt.wait()

        loop = asyncio.get_event_loop()
        try:
            loop.run_until_complete(asyncio.wait_for(wait(), timeout))
        except asyncio.TimeoutError:
            return False
        return True

    def reset(self) -> bool:
        """Load the bitstream again."""
        self._overlay.download()
        self._connect()
        return True

    def close(self) -> None:
        """The overlay stays loaded."""
