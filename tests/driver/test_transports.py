"""Transports of real systems, against stand-ins of their libraries: nothing here was ever run on a board."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.driver import Accelerator, RunTimeoutError, TransportError
from boards.driver.mock import MockTransport
from boards.driver.pynq_transport import PynqTransport
from boards.driver.uio_transport import Pool, UioTransport
from boards.driver.xrt_transport import XrtTransport
from tests.driver.tiny import Case


class FakeMemory(np.ndarray):
    """As ``pynq.allocate`` returns it: the processor's view, which differs from the memory until it is synchronized."""

    memory: np.ndarray
    device_address: int
    release: Any

    def sync_to_device(self) -> None:
        self.memory[:] = self

    def sync_from_device(self) -> None:
        self[:] = self.memory

    def freebuffer(self) -> None:
        self.release()


class FakePynq:
    """The parts of the package that are used, in front of a mock of the hardware."""

    def __init__(self, hardware: MockTransport) -> None:
        self.hardware = hardware
        self.downloads = 0
        self.ip = types.SimpleNamespace(read=hardware.read32, write=hardware.write32,
                                        interrupt=types.SimpleNamespace(wait=self._wait))
        self.module = types.ModuleType("pynq")
        self.module.Overlay = self._overlay  # type: ignore[attr-defined]
        self.module.allocate = self._allocate  # type: ignore[attr-defined]

    async def _wait(self) -> None:
        while not self.hardware.interrupt:
            self.hardware.sleep(1e-6)
            await asyncio.sleep(0)

    def _overlay(self, path: str) -> Any:
        assert path == "vit.bit"
        return types.SimpleNamespace(ip_dict={"vit_accel_0": {}}, vit_accel_0=self.ip, download=self._download)

    def _download(self) -> None:
        self.downloads += 1
        self.hardware.can_reset = True
        self.hardware.reset()

    def _allocate(self, shape: tuple[int], dtype: type, target: object) -> FakeMemory:
        assert target is None
        buffer = self.hardware.allocate(shape[0])
        view = np.full(shape, 0xEE, dtype).view(FakeMemory)
        view.memory, view.device_address, view.release = buffer.array, buffer.address, buffer.free
        return view


@pytest.fixture(name="pynq")
def fixture_pynq(case: Case, monkeypatch: pytest.MonkeyPatch) -> FakePynq:
    fake = FakePynq(MockTransport(case.folder / "params.json", case.golden))
    monkeypatch.setitem(sys.modules, "pynq", fake.module)
    return fake


@pytest.mark.parametrize("interrupt", [True, False])
@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")
def test_pynq(case: Case, pynq: FakePynq, interrupt: bool) -> None:
    with Accelerator(case.folder / "params.json", PynqTransport("vit.bit", interrupt=interrupt)) as driver:
        driver.load_program()
        codes = [case.codes(image) for image in range(3)]
        batch = driver.infer_batch(codes)
        np.testing.assert_array_equal(batch.logits, [case.golden(image)[0] for image in codes])
        pynq.hardware.stuck = True
        if not interrupt:  # the time of an interrupt's wait is the processor's, not the mock's
            driver.timeout = 0.01
            with pytest.raises(RunTimeoutError):
                driver.infer(codes[0])
            driver.recover(timeout=0.01)
            assert pynq.downloads == 1
            driver.timeout = 10
            np.testing.assert_array_equal(driver.infer(codes[0]).logits, case.golden(codes[0])[0])
    assert pynq.hardware.buffers == 0


def test_pynq_interrupt_that_does_not_come(pynq: FakePynq) -> None:
    transport = PynqTransport("vit.bit", interrupt=True)

    async def never() -> None:
        await asyncio.sleep(100)

    pynq.ip.interrupt.wait = never
    assert transport.wait_interrupt(0.01) is False


def test_pynq_that_does_not_fit(pynq: FakePynq) -> None:
    with pytest.raises(TransportError, match="no IP 'other'; it has: vit_accel_0"):
        PynqTransport("vit.bit", "other")
    del pynq.ip.interrupt
    with pytest.raises(TransportError, match="interrupt of vit_accel_0 is not connected"):
        PynqTransport("vit.bit", interrupt=True)


XRT_STAND_IN = r"""
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Signatures as in xrt_device.h, xrt_kernel.h and xrt_bo.h; registers are an array, buffers have two copies. */
typedef void *handle;
struct bo { size_t size; uint8_t *host, *card; uint64_t address; };
static uint32_t registers[1024];
static uint64_t next = 0x400000000;
int device, kernel, open_objects;

handle xrtDeviceOpen(unsigned int index) { return index == 0 ? open_objects++, &device : NULL; }
int xrtDeviceClose(handle d) { open_objects--; return d != &device; }
int xrtDeviceLoadXclbinFile(handle d, const char *name) { return d == &device && !strcmp(name, "vit.xclbin") ? 0 : -2; }
int xrtDeviceGetXclbinUUID(handle d, unsigned char out[16]) { memset(out, 7, 16); return d != &device; }
handle xrtPLKernelOpenExclusive(handle d, const unsigned char uuid[16], const char *name)
{
    if (d != &device || uuid[0] != 7 || uuid[15] != 7 || strcmp(name, "vit_accel:{vit_accel_1}"))
        return NULL;
    open_objects++;
    return &kernel;
}
int xrtKernelClose(handle k) { open_objects--; return k != &kernel; }
int xrtKernelArgGroupId(handle k, int argument) { return k == &kernel && argument == 0 ? 3 : -1; }
int xrtKernelReadRegister(handle k, uint32_t offset, uint32_t *data)
{
    *data = registers[offset / 4 % 1024];
    return k != &kernel || offset >= 4096;
}
int xrtKernelWriteRegister(handle k, uint32_t offset, uint32_t data)
{
    registers[offset / 4 % 1024] = data;
    return k != &kernel || offset >= 4096;
}
handle xrtBOAlloc(handle d, size_t size, uint64_t flags, uint32_t group)
{
    struct bo *bo;
    if (d != &device || flags != 0 || group != 3 || size > 1 << 20)
        return NULL;
    bo = malloc(sizeof *bo);
    bo->size = size;
    bo->host = calloc(size, 1);
    bo->card = calloc(size, 1);
    bo->address = next;
    next += (size + 4095) / 4096 * 4096;
    open_objects++;
    return bo;
}
int xrtBOFree(handle b) { struct bo *bo = b; free(bo->host); free(bo->card); free(bo); open_objects--; return 0; }
void *xrtBOMap(handle b) { return ((struct bo *)b)->host; }
uint64_t xrtBOAddress(handle b) { return ((struct bo *)b)->address; }
int xrtBOSync(handle b, int direction, size_t size, size_t offset)
{
    struct bo *bo = b;
    if (direction == 0)
        memcpy(bo->card + offset, bo->host + offset, size);
    else
        memcpy(bo->host + offset, bo->card + offset, size);
    return direction > 1 || size + offset > bo->size;
}
int stand_in_open(void) { return open_objects; }
"""


@pytest.fixture(name="xrt", scope="module")
def fixture_xrt(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("xrt")
    (folder / "xrt.c").write_text(XRT_STAND_IN)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(folder / "libxrt_coreutil.so"), str(folder / "xrt.c")],
                   check=True, timeout=60)
    return str(folder / "libxrt_coreutil.so")


def test_xrt(xrt: str) -> None:
    import ctypes

    library = ctypes.CDLL(xrt)
    transport = XrtTransport("vit.xclbin", library=xrt)
    transport.write32(0x10, 0xFFFF_F000)
    assert transport.read32(0x10) == 0xFFFF_F000 and transport.read32(0x14) == 0
    first, second = transport.allocate(5000), transport.allocate(4096)
    assert second.address == first.address + 8192 and first.address % 4096 == 0
    data = np.arange(100, dtype=np.uint8)
    first.write(data, 4900)
    first.sync_to_device()
    first.write(np.zeros(100, np.uint8), 4900)
    first.sync_from_device()
    np.testing.assert_array_equal(first.read(100, 4900), data)
    with pytest.raises(TransportError, match="no 2097152 bytes of device memory"):
        transport.allocate(1 << 21)
    with pytest.raises(TransportError, match=r"reading a register failed \(XRT error 1\)"):
        transport.read32(0x1000)
    assert not transport.has_interrupt and transport.reset() is False
    first.free()
    first.free()
    second.free()
    transport.close()
    transport.close()
    assert library.stand_in_open() == 0


def test_xrt_that_does_not_fit(xrt: str) -> None:
    with pytest.raises(TransportError, match="no XRT device 5"):
        XrtTransport("vit.xclbin", device=5, library=xrt)
    with pytest.raises(TransportError, match=r"loading other.xclbin failed \(XRT error -2\)"):
        XrtTransport("other.xclbin", library=xrt)
    with pytest.raises(TransportError, match="has no kernel 'x', or another process uses it"):
        XrtTransport("vit.xclbin", "x", library=xrt)


def test_linux(tmp_path: Path) -> None:
    """Files stand for the devices."""
    registers, memory = tmp_path / "uio0", tmp_path / "udmabuf0"
    registers.write_bytes(bytes(4096))
    memory.write_bytes(bytes(1 << 16))
    transport = UioTransport(str(registers), str(memory), address=0x7000_0000, size=1 << 16)
    transport.write32(0x84, 0x1234_5678)
    assert transport.read32(0x84) == 0x1234_5678
    assert registers.read_bytes()[0x84:0x88] == bytes([0x78, 0x56, 0x34, 0x12])
    buffer = transport.allocate(5000)
    other = transport.allocate(100)
    assert (buffer.address, other.address) == (0x7000_0000, 0x7000_2000)
    other.write(np.array([1, 2, 3], np.uint8), 7)
    other.sync_to_device()
    assert memory.read_bytes()[0x2007:0x200A] == bytes([1, 2, 3])
    assert transport.has_interrupt and transport.wait_interrupt(0.1)
    transport.close()


def test_linux_devices_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="check the device tree and the kernel module u-dma-buf"):
        UioTransport(str(tmp_path / "uio0"), str(tmp_path / "udmabuf0"))


def test_pool_reuses_gaps() -> None:
    pool = Pool(np.zeros(20480, np.uint8), 0x1800)  # 18432 bytes from the first page on
    first, second, third = pool.allocate(5000), pool.allocate(1), pool.allocate(4096)
    assert [part.address for part in (first, second, third)] == [0x2000, 0x4000, 0x5000]
    with pytest.raises(TransportError, match="no 4096 bytes left of 20480"):
        pool.allocate(4096)
    second.free()
    second.free()
    assert pool.allocate(4096).address == 0x4000
    first.free()
    assert [pool.allocate(4096).address for _ in range(2)] == [0x2000, 0x3000]
