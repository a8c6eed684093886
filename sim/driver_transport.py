"""The driver's way to the simulated accelerator: registers and memory through cocotbext-axi, the pin as interrupt.

The driver is ordinary blocking code. It runs in a thread of :func:`cocotb.task.bridge`; every access hands control to
the simulator until it is done, and simulated time stands still while the driver itself works. Its seconds are those of
the simulation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from cocotb.task import resume
from cocotb.triggers import First, ReadOnly, RisingEdge, Timer
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave

from boards.driver import ArrayBuffer, TransportError

FIRST_ADDRESS = 0x8_0010_0000
"""Where the memory begins: above 4 GiB, so that the high halves of addresses matter."""
PAGE_BYTES = 4096
NS = 1e-9


class SimMemory:
    """Memory behind ``m_axi_gmem``, one burst at a time.

    Parameters
    ----------
    dut : the accelerator
    size : bytes

    Attributes
    ----------
    data : uint8, the contents
    bad : addresses ``(first, end)`` that answer with an error; addresses outside the memory always do
    """

    def __init__(self, dut: Any, size: int) -> None:
        self.data = np.zeros(size, np.uint8)
        self.bad: tuple[int, int] = (0, 0)
        bus = AxiBus.from_prefix(dut, "m_axi_gmem")
        slave: Any = AxiSlave(bus, dut.aclk, dut.aresetn, target=self, reset_active_level=False)
        write, read = slave.write_if, slave.read_if
        self._channels = [write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel]
        for part in (write, read):
            part.log.setLevel("WARNING")

    def stall(self, patterns: Iterable[Iterable[bool]]) -> None:
        """Let the channels AW, W, B, AR, R pause, each in the cycles of its own pattern."""
        for channel, pattern in zip(self._channels, patterns, strict=True):
            channel.set_pause_generator(pattern)

    def answer(self, yes: bool) -> None:
        """Whether reads are answered. They are taken in any case, and answered later."""
        self._channels[-1].pause = not yes

    async def read(self, address: int, length: int) -> bytes:
        """Called by the AXI model for every beat; IndexError makes it answer with an error."""
        return self._part(address, length).tobytes()

    async def write(self, address: int, data: bytes) -> None:
        """Called by the AXI model for every beat; IndexError makes it answer with an error."""
        self._part(address, len(data))[:] = np.frombuffer(data, np.uint8)

    def _part(self, address: int, length: int) -> np.ndarray:
        at = address - FIRST_ADDRESS
        if not 0 <= at <= self.data.size - length or self.bad[0] <= address < self.bad[1]:
            raise IndexError(f"no memory at {address:#x}")
        return self.data[at:at + length]


class SimTransport:
    """A :class:`boards.driver.Transport` to the simulated accelerator. Only for the thread of a bridge.

    Parameters
    ----------
    dut : ports as :func:`rtl.verilog.accelerator_verilog` names them; clock and reset are someone else's task
    size : bytes of memory

    Attributes
    ----------
    memory : SimMemory
    has_interrupt : set it to ``False`` to make a driver poll
    """

    def __init__(self, dut: Any, size: int = 1 << 20) -> None:
        self._dut = dut
        self.memory = SimMemory(dut, size)
        bus = AxiLiteBus.from_prefix(dut, "s_axi_control")
        self._control: Any = AxiLiteMaster(bus, dut.aclk, dut.aresetn, reset_active_level=False)
        for part in (self._control.write_if, self._control.read_if):
            part.log.setLevel("WARNING")
        self.has_interrupt = True
        self._next = 0

    def read32(self, offset: int) -> int:
        """An AXI4-Lite read."""
        return resume(self._control.read_dword)(offset)

    def write32(self, offset: int, value: int) -> None:
        """An AXI4-Lite write."""
        resume(self._control.write_dword)(offset, value)

    def allocate(self, nbytes: int) -> ArrayBuffer:
        """Pages that were never allocated before; nothing is given back."""
        at, end = self._next, self._next + -(-nbytes // PAGE_BYTES) * PAGE_BYTES
        if end > self.memory.data.size:
            raise TransportError(f"the simulated memory of {self.memory.data.size} bytes is full")
        self._next = end
        return ArrayBuffer(self.memory.data[at:at + nbytes], FIRST_ADDRESS + at)

    def wait_interrupt(self, timeout: float) -> bool:
        """Wait for the pin."""
        return resume(self._wait_interrupt)(timeout)

    async def _wait_interrupt(self, timeout: float) -> bool:
        if not self._dut.interrupt.value:
            await First(RisingEdge(self._dut.interrupt), Timer(max(round(timeout / NS), 1), "ns"))
        return bool(self._dut.interrupt.value)

    @property
    def interrupt(self) -> bool:
        """The pin."""
        return resume(self._settled_interrupt)()

    async def _settled_interrupt(self) -> bool:
        await ReadOnly()
        value = bool(self._dut.interrupt.value)
        await Timer(1, "ns")
        return value

    def reset(self) -> bool:
        """Pulse the reset pin; memory stays."""
        resume(self._pulse_reset)()
        return True

    async def _pulse_reset(self) -> None:
        self._dut.aresetn.value = 0
        for _ in range(4):
            await RisingEdge(self._dut.aclk)
        self._dut.aresetn.value = 1
        await RisingEdge(self._dut.aclk)

    def now(self) -> float:
        """Simulated seconds."""
        return get_sim_time("ns") * NS

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass."""
        resume(self._wait)(seconds)

    async def _wait(self, seconds: float) -> None:
        await Timer(max(round(seconds / NS), 1), "ns")

    def close(self) -> None:
        """The simulation goes on."""
