"""XRT: Alveo cards, and embedded platforms with XRT. Never run on a card so far.

The Python package ``pyxrt`` cannot read a kernel's registers (Xilinx/XRT issue 7863), so XRT's C interface
(``libxrt_coreutil``) is called instead. It has no call for a kernel's interrupt either: the driver polls.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any

import numpy as np

from .errors import TransportError
from .transport import ArrayBuffer, TransportBase

_HANDLE = ctypes.c_void_p
_TO_DEVICE, _FROM_DEVICE = 0, 1
_UUID_BYTES = 16

_PROTOTYPES: dict = {
    "xrtDeviceOpen": (_HANDLE, ctypes.c_uint),
    "xrtDeviceClose": (ctypes.c_int, _HANDLE),
    "xrtDeviceLoadXclbinFile": (ctypes.c_int, _HANDLE, ctypes.c_char_p),
    "xrtDeviceGetXclbinUUID": (ctypes.c_int, _HANDLE, ctypes.c_char_p),
    "xrtPLKernelOpenExclusive": (_HANDLE, _HANDLE, ctypes.c_char_p, ctypes.c_char_p),
    "xrtKernelClose": (ctypes.c_int, _HANDLE),
    "xrtKernelArgGroupId": (ctypes.c_int, _HANDLE, ctypes.c_int),
    "xrtKernelReadRegister": (ctypes.c_int, _HANDLE, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)),
    "xrtKernelWriteRegister": (ctypes.c_int, _HANDLE, ctypes.c_uint32, ctypes.c_uint32),
    "xrtBOAlloc": (_HANDLE, _HANDLE, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_uint32),
    "xrtBOFree": (ctypes.c_int, _HANDLE),
    "xrtBOMap": (ctypes.c_void_p, _HANDLE),
    "xrtBOAddress": (ctypes.c_uint64, _HANDLE),
    "xrtBOSync": (ctypes.c_int, _HANDLE, ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t),
}
"""Result and arguments of the functions of xrt_device.h, xrt_kernel.h and xrt_bo.h that are used."""


class XrtBuffer(ArrayBuffer):
    """A buffer object of XRT with its copy in the host's memory."""

    def __init__(self, xrt: Any, handle: Any, nbytes: int) -> None:
        memory = ctypes.cast(xrt.xrtBOMap(handle), ctypes.POINTER(ctypes.c_uint8))
        super().__init__(np.ctypeslib.as_array(memory, (nbytes,)), xrt.xrtBOAddress(handle))
        self._xrt, self._handle = xrt, handle

    def sync_to_device(self) -> None:
        """Copy to the card."""
        _check(self._xrt.xrtBOSync(self._handle, _TO_DEVICE, self.nbytes, 0), "copying a buffer to the device")

    def sync_from_device(self) -> None:
        """Copy from the card."""
        _check(self._xrt.xrtBOSync(self._handle, _FROM_DEVICE, self.nbytes, 0), "copying a buffer from the device")

    def free(self) -> None:
        """Give the buffer object back."""
        if self._handle is not None:
            self.array = np.zeros(0, np.uint8)
            self._xrt.xrtBOFree(self._handle)
            self._handle = None


class XrtTransport(TransportBase):
    """A kernel in an .xclbin.

    Parameters
    ----------
    xclbin : path of the file
    kernel : name of the compute unit, as ``kernel:{instance}``
    device : number of the card
    library : XRT's C library; found by name when None

    Raises
    ------
    TransportError
        When XRT, the card, the file or the kernel is missing.
    """

    def __init__(self, xclbin: Any, kernel: str = "vit_accel:{vit_accel_1}", *, device: int = 0,
                 library: str | None = None) -> None:
        self._xrt: Any = _library(library)
        self._kernel = None
        self._device = self._xrt.xrtDeviceOpen(device)
        if not self._device:
            raise TransportError(f"no XRT device {device}; see 'xbutil examine'")
        self._file, self._name = str(xclbin), kernel
        self._connect()

    def _connect(self) -> None:
        uuid = ctypes.create_string_buffer(_UUID_BYTES)
        _check(self._xrt.xrtDeviceLoadXclbinFile(self._device, self._file.encode()), f"loading {self._file}")
        _check(self._xrt.xrtDeviceGetXclbinUUID(self._device, uuid), "reading the identity of the xclbin")
        self._kernel = self._xrt.xrtPLKernelOpenExclusive(self._device, uuid, self._name.encode())
        if not self._kernel:
            raise TransportError(f"{self._file} has no kernel {self._name!r}, or another process uses it")
        # All buffer arguments of the kernel share m_axi_gmem, and so the memory of the first.
        self._group = self._xrt.xrtKernelArgGroupId(self._kernel, 0)
        if self._group < 0:
            raise TransportError(f"{self._name} is connected to no memory")

    def read32(self, offset: int) -> int:
        """See :class:`Transport`."""
        value = ctypes.c_uint32()
        _check(self._xrt.xrtKernelReadRegister(self._kernel, offset, ctypes.byref(value)), "reading a register")
        return value.value

    def write32(self, offset: int, value: int) -> None:
        """See :class:`Transport`."""
        _check(self._xrt.xrtKernelWriteRegister(self._kernel, offset, value), "writing a register")

    def allocate(self, nbytes: int) -> XrtBuffer:
        """A buffer object in the memory that the kernel is connected to; see :class:`Transport`."""
        handle = self._xrt.xrtBOAlloc(self._device, nbytes, 0, self._group)
        if not handle:
            raise TransportError(f"no {nbytes} bytes of device memory; free other buffers")
        return XrtBuffer(self._xrt, handle, nbytes)

    def close(self) -> None:
        """Close kernel and device."""
        if self._kernel:
            self._xrt.xrtKernelClose(self._kernel)
            self._kernel = None
        if self._device:
            self._xrt.xrtDeviceClose(self._device)
            self._device = None


def _library(name: str | None) -> Any:
    """XRT's C library with the types of its functions."""
    name = name or ctypes.util.find_library("xrt_coreutil") or "libxrt_coreutil.so.2"
    try:
        library = ctypes.CDLL(name)
        for function, (result, *arguments) in _PROTOTYPES.items():
            handle = getattr(library, function)
            handle.restype, handle.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise TransportError(f"XRT cannot be used ({error}); install it and source its setup.sh") from None
    return library


def _check(status: int, what: str) -> None:
    if status:
        raise TransportError(f"{what} failed (XRT error {status}); see the system log")
