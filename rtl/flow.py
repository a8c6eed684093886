"""Pipelines without back-pressure: a payload and a valid bit."""

from __future__ import annotations

from amaranth.hdl import ShapeLike, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from flows.contracts.hardware import BLOCK


class Flow(wiring.Signature):
    """A payload that is valid for one cycle and must be taken in it.

    The units of the datapath run in lock-step with the token stream and never stall, so they have no ready signal;
    where data can wait, :class:`amaranth.lib.stream.Signature` is used instead.

    Parameters
    ----------
    payload_shape : shape-castable

    Members
    -------
    payload : :py:`Out(payload_shape)`
    valid : :py:`Out(1)`
    """

    def __init__(self, payload_shape: ShapeLike) -> None:
        super().__init__({"payload": Out(payload_shape), "valid": Out(1)})


def lanes(width: int, *, is_signed: bool = True) -> data.ArrayLayout:
    """Layout of one value per lane (16 of them)."""
    return data.ArrayLayout(signed(width) if is_signed else unsigned(width), BLOCK)


class TableWrite(wiring.Signature):
    """Write port of a 256-entry table of bytes.

    Members
    -------
    enable : :py:`Out(1)`
    address : :py:`Out(8)`
    data : :py:`Out(8)`
    """

    def __init__(self) -> None:
        super().__init__({"enable": Out(1), "address": Out(8), "data": Out(8)})
