"""Compare what the probes of a simulation saw with the golden model, integer by integer.

Every record must be expected, every expected value must be there exactly once, and every checkpoint of the golden
model must have been compared: the comparison cannot pass on missing data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from flows.contracts.errors import MismatchError
from flows.contracts.hardware import BLOCK, HardwareConfig, ceil_div
from flows.contracts.numerics import SCORE_MASKED
from sim.probes import PROBES, SLOT_UNIT, START_UNIT, UNITS, lanes_of

Unused = Mapping[str, Sequence[int]]
NOTHING: Unused = {}

_BLOCK_STEP = re.compile(r"block(\d+)\.(qkv|score|context|proj|fc1|fc2)(?:\.(\d+))?$")


@dataclass(frozen=True)
class Comparison:
    """What was compared, all of it equal.

    Attributes
    ----------
    checkpoints : names, in order of execution
    integers : values compared
    records : probe records, each accounted for once
    constant : checkpoints with one value only: equality there says little
    """

    checkpoints: tuple[str, ...]
    integers: int
    records: int
    constant: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """One way in which the hardware and the golden model differ.

    Attributes
    ----------
    cycle : of the record, counted from the release of reset; None for a word that never came
    text : the difference in words
    unit : probe unit
    step : name
    checkpoint : name, where the record belongs to one
    head : of scores, otherwise None
    token, channel : place of a wrong integer; the channel of a score is its key
    hardware, golden : both integers, where it is a wrong integer
    """

    cycle: int | None
    text: str
    unit: str
    step: str
    checkpoint: str = ""
    head: int | None = None
    token: int | None = None
    channel: int | None = None
    hardware: int | None = None
    golden: int | None = None

    @property
    def when(self) -> int:
        """For sorting: what never came is after everything else."""
        return 1 << 62 if self.cycle is None else self.cycle


class RecordMismatchError(MismatchError):
    """The comparison failed at :attr:`difference`, the first one in time."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.text)
        self.difference = difference


@dataclass(frozen=True, eq=False)
class Part:
    """A checkpoint (or the part of one) as a unit sees it.

    Attributes
    ----------
    unit : probe unit that reports it
    checkpoint : name
    first_column : column of ``values[0]``
    first_channel : first channel (or key) of ``values[0]`` in the checkpoint
    values : int64 ``(columns, tokens, 16)``
    channels : channels (or keys) that exist; lanes from there on are padding
    lane : type of a lane, the checkpoint's: activations are int8 or uint8 in the same memory
    head : of scores, otherwise None
    """

    unit: str
    checkpoint: str
    first_column: int
    first_channel: int
    values: np.ndarray
    channels: int
    lane: str
    head: int | None = None

    @property
    def name(self) -> str:
        """The checkpoint in messages."""
        return self.checkpoint if self.head is None else f"{self.checkpoint}, head {self.head}"


def parts_of(step: str, checkpoints: Mapping[str, np.ndarray], config: HardwareConfig,
             unused: Unused = NOTHING) -> list[Part]:
    """What each unit must report in a step: the one mapping from step names to checkpoints.

    Parameters
    ----------
    step : name as in a program's manifest
    checkpoints : of the golden model
    config : for the places of score columns
    unused : what the hardware leaves out: columns by checkpoint, heads of scores

    Raises
    ------
    MismatchError
        When the golden model lacks a checkpoint of the step, or the step is unknown.
    """
    try:
        return list(_parts_of(step, checkpoints, config, unused))
    except KeyError as error:
        raise MismatchError(f"step {step}: the golden model has no checkpoint {error}") from None


def _parts_of(step: str, arrays: Mapping[str, np.ndarray], config: HardwareConfig, unused: Unused) -> Iterator[Part]:
    match = _BLOCK_STEP.match(step)
    if step == "embed":
        yield from _matrix("R", "embed", arrays)
    elif step == "head":
        yield from _matrix("X", "norm", arrays)
        logits = arrays["logits"].reshape(1, -1)
        yield Part("L", "logits", 0, 0, _columns(logits, 0), logits.shape[1], logits.dtype.str)
    elif match is None:
        raise MismatchError(f"the program has an unknown step {step!r}")
    else:
        block, kind, group = f"block{match[1]}", match[2], int(match[3] or 0)
        heads = arrays[f"{block}.score"].shape[0]
        width = arrays[f"{block}.query"].shape[1]
        held = range(group * config.score_heads, min((group + 1) * config.score_heads, heads))
        if kind == "qkv":
            yield from _matrix("X", f"{block}.norm1", arrays)
            yield from _matrix("A", f"{block}.query", arrays, unused=unused)
            yield from _matrix("KV", f"{block}.key", arrays, unused=unused)
            yield from _matrix("KV", f"{block}.value", arrays, width // BLOCK, unused=unused)
        elif kind == "score":
            for local, head in enumerate(held):
                if head in unused.get(f"{block}.score", ()):
                    continue
                score = arrays[f"{block}.score"][head]
                yield Part("S", f"{block}.score", local * config.score_stride, 0, _columns(score, SCORE_MASKED),
                           score.shape[1], score.dtype.str, head)
        elif kind == "context":
            of_head = width // heads // BLOCK
            yield from _matrix("A", f"{block}.context", arrays, width // BLOCK, unused=unused,
                               among=range(held.start * of_head, held.stop * of_head))
        elif kind == "fc1":
            yield from _matrix("X", f"{block}.norm2", arrays)
            yield from _matrix("A", f"{block}.hidden", arrays)
        else:
            yield from _matrix("R", f"{block}.{'proj' if kind == 'proj' else 'mlp'}", arrays)


def _matrix(unit: str, name: str, arrays: Mapping[str, np.ndarray], first_column: int = 0, *, unused: Unused = NOTHING,
            among: range | None = None) -> Iterator[Part]:
    """A part for each run of columns that the hardware computes; all columns, or those ``among`` some."""
    array = arrays[name]
    columns = _columns(array, 0)
    wanted = [column for column in among or range(len(columns)) if column not in unused.get(name, ())]
    for _, run in groupby(enumerate(wanted), key=lambda item: item[1] - item[0]):
        part = [column for _, column in run]
        yield Part(unit, name, first_column + part[0], part[0] * BLOCK, columns[part[0]:part[-1] + 1], array.shape[1],
                   array.dtype.str)


def _columns(array: np.ndarray, padding: int) -> np.ndarray:
    """``(tokens, channels)`` as ``(columns, tokens, 16)``, the last column filled up with ``padding``."""
    tokens, channels = array.shape
    full = np.full((tokens, ceil_div(channels, BLOCK) * BLOCK), padding, np.int64)
    full[:, :channels] = array
    return full.reshape(tokens, -1, BLOCK).transpose(1, 0, 2)


def compare(checkpoints: Mapping[str, np.ndarray], records: np.ndarray, steps: Sequence[str],
            config: HardwareConfig, unused: Unused = NOTHING) -> Comparison:
    """Compare all records of a run with the golden model.

    Parameters
    ----------
    checkpoints : ``{name: array}`` of the golden model
    records : structured array of :data:`sim.probes.RECORD`
    steps : step names in the order of their indices
    config : the hardware
    unused : what the hardware leaves out, of the golden model: columns by checkpoint, heads of scores

    Raises
    ------
    MismatchError
        Naming step, unit, token and channel of the first wrong integer in time, both values, and the cycle; or what
        is missing or superfluous. A :class:`RecordMismatchError` wherever it is about a single record or word.
    """
    if len(records) and int(records["step"].max()) >= len(steps):
        raise MismatchError(f"a record has step {int(records['step'].max())}, the program has {len(steps)} steps")
    records = records[~np.isin(records["unit"], (START_UNIT, SLOT_UNIT))]
    if len(records) and int(records["unit"].max()) >= len(PROBES):
        raise MismatchError(f"a record has unit {int(records['unit'].max())}, there are {len(PROBES)} units")
    key = records["step"].astype(np.int64) * len(PROBES) + records["unit"]
    order = np.argsort(key, kind="stable")
    bounds = np.searchsorted(key[order], np.arange(len(steps) * len(PROBES) + 1))
    compared: dict[str, int] = {}
    for index, step in enumerate(steps):
        parts = parts_of(step, checkpoints, config, unused)
        differences: list[Difference] = []
        for unit, probe in enumerate(PROBES):
            place = index * len(PROBES) + unit
            mine = records[order[bounds[place]:bounds[place + 1]]]
            expected = [part for part in parts if part.unit == probe.unit]
            differences += _compare_unit(step, probe.unit, expected, mine)
        if differences:
            raise RecordMismatchError(min(differences, key=lambda found: (found.when, found.text)))
        for part in parts:
            compared[part.checkpoint] = compared.get(part.checkpoint, 0) + part.values.size
    if left := [name for name in checkpoints if name not in compared and not _all_unused(name, checkpoints, unused)]:
        raise MismatchError(f"checkpoint {left[0]} was never compared: the program has no step for it")
    constant = tuple(name for name in compared if checkpoints[name].size > 1 and np.ptp(checkpoints[name]) == 0)
    return Comparison(tuple(compared), sum(compared.values()), len(records), constant)


def _all_unused(name: str, checkpoints: Mapping[str, np.ndarray], unused: Unused) -> bool:
    array = checkpoints[name]
    return len(unused.get(name, ())) == (len(array) if name.endswith(".score") else ceil_div(array.shape[-1], BLOCK))


def check_starts(records: np.ndarray, steps: Sequence[str]) -> None:
    """Every step must have started once, in order.

    Raises
    ------
    MismatchError
        When steps are missing, repeated or out of order.
    """
    starts = records["step"][records["unit"] == START_UNIT]
    if not np.array_equal(starts, np.arange(len(steps))):
        raise MismatchError(f"the hardware started {len(starts)} steps, the program has {len(steps)} in order")


def step_cycles(records: np.ndarray, total: int) -> list[int]:
    """Cycles of each step: from the start of a frame (first step) or of the step until the next one starts.

    Parameters
    ----------
    records : of one frame
    total : cycles of the whole frame; what comes after the last start is the last step's
    """
    starts = records["cycle"][records["unit"] == START_UNIT].astype(np.int64)
    spans = np.diff(starts)
    return [int(span) for span in spans] + [int(total - spans.sum())] if len(starts) else []


def _compare_unit(step: str, unit: str, parts: Sequence[Part], records: np.ndarray) -> list[Difference]:
    """The earliest difference of each kind."""
    title = PROBES[UNITS[unit]].title
    name = f"unit {unit} ({title}), step {step}"

    def first(some: np.ndarray, text: str) -> Difference:
        record = some[np.argmin(some["cycle"])]
        cycle, column, token = int(record["cycle"]), int(record["column"]), int(record["token"])
        words = f"{name}: {text.format(column=column, token=token)} (cycle {cycle})"
        return Difference(cycle, words, unit, step, token=token)

    if not parts:
        return [first(records, "unexpected record of column {column}, token {token}")] if len(records) else []
    columns, tokens = records["column"].astype(np.int64), records["token"].astype(np.int64)
    row_of = rows_of(parts, int(columns.max(initial=0)))
    values = np.concatenate([part.values for part in parts])
    rows, alive = row_of[columns], values.shape[1]
    outside = (rows < 0) | (tokens >= alive)
    found: list[Difference] = []
    if outside.any():
        found.append(first(records[outside], "unexpected record of column {column}, token {token} "
                                             f"({alive} tokens are alive)"))
    inside = np.flatnonzero(~outside)
    place = rows[inside] * alive + tokens[inside]
    again = np.ones(len(inside), bool)
    again[np.unique(place, return_index=True)[1]] = False
    if again.any():
        found.append(first(records[inside[again]], "column {column}, token {token} was written twice"))
    wrong = lanes_of(records[inside], parts[0].lane) != values[rows[inside], tokens[inside]]
    if wrong.any():
        found.append(_first_wrong(name, step, parts, records[inside], wrong, values[rows[inside], tokens[inside]]))
    missing = np.setdiff1d(np.arange(values.shape[0] * alive), place)
    if missing.size:
        at, token = divmod(int(missing[0]), alive)
        part, column = _locate(parts, at)
        text = (f"{name}, {part.name}: {missing.size} of {values.shape[0] * alive} words are "
                f"missing, first column {column}, token {token}")
        found.append(Difference(None, text, unit, step, part.checkpoint, part.head, token,
                                part.first_channel + (column - part.first_column) * BLOCK))
    return found


def rows_of(parts: Sequence[Part], last_column: int = 0) -> np.ndarray:
    """By column: its row in the parts' values one behind the other, -1 for a column of none of them."""
    last = max(part.first_column + part.values.shape[0] for part in parts)
    row_of = np.full(max(last, last_column + 1), -1)
    row = 0
    for part in parts:
        count = part.values.shape[0]
        row_of[part.first_column:part.first_column + count] = np.arange(row, row + count)
        row += count
    return row_of


def _first_wrong(name: str, step: str, parts: Sequence[Part], records: np.ndarray, wrong: np.ndarray,
                 expected: np.ndarray) -> Difference:
    """The earliest wrong integer."""
    bad = np.flatnonzero(wrong.any(1))
    at = bad[np.argmin(records["cycle"][bad])]
    record, lane = records[at:at + 1], int(np.argmax(wrong[at]))
    column = int(record["column"][0])
    part = next(p for p in parts if p.first_column <= column < p.first_column + p.values.shape[0])
    channel = part.first_channel + (column - part.first_column) * BLOCK + lane
    got, cycle, token = int(lanes_of(record, part.lane)[0, lane]), int(record["cycle"][0]), int(record["token"][0])
    padding = " (padding)" if channel >= part.channels else ""
    place = f"{part.name}, token {token}, {kind_of(part.unit)} {channel}{padding}"
    text = f"{name}, {place}: hardware {got}, golden {int(expected[at, lane])} (cycle {cycle})"
    return Difference(cycle, text, part.unit, step, part.checkpoint, part.head, token, channel, got,
                      int(expected[at, lane]))


def kind_of(unit: str) -> str:
    """What the last axis of a unit's values counts."""
    return "key" if unit == "S" else "class" if unit == "L" else "channel"


def _locate(parts: Sequence[Part], row: int) -> tuple[Part, int]:
    for part in parts:
        if row < part.values.shape[0]:
            return part, part.first_column + row
        row -= part.values.shape[0]
    raise AssertionError("row beyond the last part")


def compare_logits(golden: np.ndarray, hardware: np.ndarray) -> None:
    """Compare the logits in the output buffer, int16 ``(classes,)`` both.

    Raises
    ------
    MismatchError
        Naming the first class that differs, or the counts.
    """
    if golden.shape != hardware.shape:
        raise MismatchError(f"logits: hardware wrote {hardware.size}, golden model has {golden.size}")
    wrong = np.flatnonzero(golden.astype(np.int64) != hardware.astype(np.int64))
    if wrong.size:
        at = int(wrong[0])
        raise MismatchError(f"output buffer, class {at}: hardware {int(hardware[at])}, golden {int(golden[at])} "
                            f"({wrong.size} of {golden.size} differ)")
