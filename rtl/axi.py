"""AXI4 and AXI4-Lite interfaces, with flat member names so that ports are called ``<prefix>_awvalid`` and so on."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Resp(IntEnum):
    """Response codes of R and B."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


BURST_INCR = 1
"""``arburst``/``awburst`` of an incrementing burst."""

PAGE_BITS = 12
"""Bursts may not cross a multiple of 4 KiB, and transfers start at one."""


def burst_size(data_width: int) -> int:
    """``arsize``/``awsize`` of full-width beats: log2 of the bytes of a beat."""
    return (data_width // 8).bit_length() - 1


def _read_members(data_width: int, addr_width: int, id_width: int) -> dict[str, Any]:
    return {
        "arid": Out(id_width), "araddr": Out(addr_width), "arlen": Out(8), "arsize": Out(3), "arburst": Out(2),
        "arvalid": Out(1), "arready": In(1),
        "rid": In(id_width), "rdata": In(data_width), "rresp": In(2), "rlast": In(1),
        "rvalid": In(1), "rready": Out(1),
    }


def _write_members(data_width: int, addr_width: int, id_width: int) -> dict[str, Any]:
    return {
        "awid": Out(id_width), "awaddr": Out(addr_width), "awlen": Out(8), "awsize": Out(3), "awburst": Out(2),
        "awvalid": Out(1), "awready": In(1),
        "wdata": Out(data_width), "wstrb": Out(data_width // 8), "wlast": Out(1), "wvalid": Out(1), "wready": In(1),
        "bid": In(id_width), "bresp": In(2), "bvalid": In(1), "bready": Out(1),
    }


def _check(data_width: int, addr_width: int, id_width: int) -> None:
    if data_width not in (32, 64, 128, 256, 512, 1024):
        raise ValueError(f"AXI4 data width must be a power of two from 32 to 1024, not {data_width!r}")
    if not 1 <= addr_width <= 64:
        raise ValueError(f"AXI4 address width must be 1 to 64, not {addr_width!r}")
    if not 1 <= id_width <= 32:
        raise ValueError(f"AXI4 ID width must be 1 to 32, not {id_width!r}")


class AXI4Read(wiring.Signature):
    """The AR and R channels of AXI4, seen from the master. Only the signals that this project's masters drive.

    Parameters
    ----------
    data_width : int
        Bits of a beat, 32 to 1024.
    addr_width : int
    id_width : int

    Members
    -------
    arid, araddr, arlen, arsize, arburst, arvalid : :py:`Out`
    arready : :py:`In(1)`
    rid, rdata, rresp, rlast, rvalid : :py:`In`
    rready : :py:`Out(1)`
    """

    def __init__(self, data_width: int, *, addr_width: int = 64, id_width: int = 1) -> None:
        _check(data_width, addr_width, id_width)
        super().__init__(_read_members(data_width, addr_width, id_width))


class AXI4Write(wiring.Signature):
    """The AW, W and B channels of AXI4, seen from the master.

    Parameters
    ----------
    data_width : int
        Bits of a beat, 32 to 1024.
    addr_width : int
    id_width : int

    Members
    -------
    awid, awaddr, awlen, awsize, awburst, awvalid : :py:`Out`
    awready : :py:`In(1)`
    wdata, wstrb, wlast, wvalid : :py:`Out`
    wready : :py:`In(1)`
    bid, bresp, bvalid : :py:`In`
    bready : :py:`Out(1)`
    """

    def __init__(self, data_width: int, *, addr_width: int = 64, id_width: int = 1) -> None:
        _check(data_width, addr_width, id_width)
        super().__init__(_write_members(data_width, addr_width, id_width))


class AXI4(wiring.Signature):
    """All five channels of AXI4, seen from the master: the members of :class:`AXI4Read` and :class:`AXI4Write`.

    Parameters
    ----------
    data_width : int
        Bits of a beat, 32 to 1024.
    addr_width : int
    id_width : int
    """

    def __init__(self, data_width: int, *, addr_width: int = 64, id_width: int = 1) -> None:
        _check(data_width, addr_width, id_width)
        super().__init__(_read_members(data_width, addr_width, id_width)
                         | _write_members(data_width, addr_width, id_width))


class AXI4Lite(wiring.Signature):
    """AXI4-Lite, seen from the master; a slave has it as :py:`In`.

    Parameters
    ----------
    data_width : int
        32 or 64.
    addr_width : int
        Bits of a byte address.

    Members
    -------
    awaddr, awvalid, wdata, wstrb, wvalid, bready, araddr, arvalid, rready : :py:`Out`
    awready, wready, bresp, bvalid, arready, rdata, rresp, rvalid : :py:`In`
    """

    def __init__(self, *, data_width: int = 32, addr_width: int = 12) -> None:
        if data_width not in (32, 64):
            raise ValueError(f"AXI4-Lite data width must be 32 or 64, not {data_width!r}")
        super().__init__({
            "awaddr": Out(addr_width), "awvalid": Out(1), "awready": In(1),
            "wdata": Out(data_width), "wstrb": Out(data_width // 8), "wvalid": Out(1), "wready": In(1),
            "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            "araddr": Out(addr_width), "arvalid": Out(1), "arready": In(1),
            "rdata": In(data_width), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
        })


def join_channels(m: Module, full: Any, read: Any, write: Any) -> None:
    """Connect the master port ``full`` (:class:`AXI4`) to the two masters that share it.

    Parameters
    ----------
    m : Module
        Gets the combinational assignments.
    full : interface of :class:`AXI4`
        A port of the component being elaborated.
    read : interface of :class:`AXI4Read`
        The port of a submodule.
    write : interface of :class:`AXI4Write`
        The port of a submodule.
    """
    for part in (read, write):
        for name, member in part.signature.members.items():
            outer, inner = getattr(full, name), getattr(part, name)
            m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)
