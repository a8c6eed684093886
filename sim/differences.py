"""All differences of a run, checkpoint by checkpoint, where :mod:`sim.compare` names the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flows.contracts.hardware import BLOCK, HardwareConfig
from sim.compare import NOTHING, Part, Unused, parts_of
from sim.probes import UNITS, lanes_of

NEAR_TOKENS = 2
NEAR_CHANNELS = 4
"""So many neighbours to each side are shown."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A checkpoint as the golden model and the hardware have it; all arrays are ``(heads or 1, tokens, channels)``.

    Attributes
    ----------
    name : checkpoint
    unit, step : where its first words come from
    golden, hardware : int64; hardware's are 0 where nothing was written
    expected : what the hardware has to write
    written : what it wrote
    cycle : when, int64
    """

    name: str
    unit: str
    step: str
    golden: np.ndarray
    hardware: np.ndarray
    expected: np.ndarray
    written: np.ndarray
    cycle: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """Written, and not what the golden model has."""
        return self.expected & self.written & (self.golden != self.hardware)

    @property
    def missing(self) -> np.ndarray:
        """Never written."""
        return self.expected & ~self.written

    def summary(self) -> dict[str, object]:
        """Counts, and when it first went wrong; ``first_cycle`` is None where every written integer is right."""
        wrong = self.wrong
        apart = np.abs(self.golden - self.hardware)[wrong]
        return {"checkpoint": self.name, "unit": self.unit, "step": self.step, "integers": int(self.expected.sum()),
                "wrong": int(wrong.sum()), "missing": int(self.missing.sum()),
                "largest_difference": int(apart.max(initial=0)),
                "tokens": int(wrong.any((0, 2)).sum()), "channels": int(wrong.any((0, 1)).sum()),
                "first_cycle": int(self.cycle[wrong].min()) if wrong.any() else None}


def observe(checkpoints: Mapping[str, np.ndarray], records: np.ndarray, steps: Sequence[str], config: HardwareConfig,
            unused: Unused = NOTHING) -> list[Seen]:
    """Every checkpoint beside what the hardware wrote, in the order of execution.

    Parameters
    ----------
    checkpoints, records, steps, config, unused : as for :func:`sim.compare.compare`; records of steps that do not
        exist, and those outside a checkpoint, are left out

    Raises
    ------
    MismatchError
        When the golden model lacks a checkpoint of a step.
    """
    found: dict[str, Seen] = {}
    for index, step in enumerate(steps):
        mine = records[records["step"] == index]
        for part in parts_of(step, checkpoints, config, unused):
            seen = found.setdefault(part.checkpoint, _empty(part, step, checkpoints[part.checkpoint]))
            _fill(seen, part, mine[mine["unit"] == UNITS[part.unit]])
    return list(found.values())


def _empty(part: Part, step: str, array: np.ndarray) -> Seen:
    golden = np.atleast_2d(array).astype(np.int64)
    golden = golden if golden.ndim == 3 else golden[None]
    no = np.zeros(golden.shape, bool)
    return Seen(part.checkpoint, part.unit, step, golden, np.zeros_like(golden), no, no.copy(), np.zeros_like(golden))


def _fill(seen: Seen, part: Part, records: np.ndarray) -> None:
    head, columns = part.head or 0, part.values.shape[0]
    seen.expected[head, :, part.first_channel:part.first_channel + columns * BLOCK] = True
    place = records["column"].astype(np.int64) - part.first_column
    inside = (place >= 0) & (place < columns) & (records["token"] < seen.golden.shape[1])
    records, place = records[inside], place[inside]
    channels = part.first_channel + place[:, None] * BLOCK + np.arange(BLOCK)
    tokens = np.broadcast_to(records["token"].astype(np.int64)[:, None], channels.shape)
    real = channels < seen.golden.shape[2]
    at = (head, tokens[real], channels[real])
    seen.hardware[at] = lanes_of(records, part.lane)[real]
    seen.written[at] = True
    seen.cycle[at] = np.broadcast_to(records["cycle"].astype(np.int64)[:, None], channels.shape)[real]


@dataclass(frozen=True, eq=False)
class Window:
    """The neighbourhood of an integer; arrays are ``(tokens, channels)``.

    Attributes
    ----------
    tokens, channels : numbers of the rows and columns
    golden, hardware : int64
    written : False where the hardware wrote nothing
    """

    tokens: list[int]
    channels: list[int]
    golden: np.ndarray
    hardware: np.ndarray
    written: np.ndarray


def window(seen: Seen, head: int, token: int, channel: int) -> Window:
    """Integers around a place of a checkpoint, as far as there are any."""
    _, tokens, channels = seen.golden.shape
    rows = range(max(0, token - NEAR_TOKENS), min(tokens, token + NEAR_TOKENS + 1))
    columns = range(max(0, channel - NEAR_CHANNELS), min(channels, channel + NEAR_CHANNELS + 1))
    part = (head, slice(rows.start, rows.stop), slice(columns.start, columns.stop))
    return Window(list(rows), list(columns), seen.golden[part], seen.hardware[part], seen.written[part])
