"""Pieces of a view that several of its makers share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Headline:
    """One of the figures at the top.

    Attributes
    ----------
    label, text, note : what it is, the value as shown, and a line below it
    value : in full precision, None where there is none
    key : where the run's report has it, None for figures of other reports
    """

    label: str
    text: str
    note: str = ""
    value: float | str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Step:
    """A step of the program.

    ``cycles`` is None where nothing counted them, ``macs`` and ``bytes`` where the report does not say.
    """

    index: int
    name: str
    tokens: int
    expected: int
    cycles: int | None
    slots: int
    bound: int
    macs: int | None
    bytes: int | None
