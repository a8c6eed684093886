"""Where the cycles of a run go: rows streamed, and everything else by cause. The parts add up to the whole exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from flows.compile.cycles import Estimate
from flows.contracts.errors import SimulationError
from sim.probes import SLOT_UNIT, STALLS, stalls_of

PARTS = {
    "slots": "rows streamed in slots",
    "short_slots": "slots longer than their rows (few tokens, head)",
    "first_fill": "before the first slot (program and image arrive)",
    "memory": "waiting for the program stream",
    "load": "waiting for blocks to load",
    "barrier": "barrier between steps",
    "column": "waiting for layer-norm or image columns",
    "select": "waiting for token selection",
    "output": "start command, last drain, logits to memory",
}
"""Name of each part in reports, and its description."""


def estimated(model: Estimate) -> dict[str, int]:
    """Parts of the cycle model's estimate.

    The model does not tell waiting for the stream from waiting for blocks: both are ``load``.
    """
    stalls = {cause: count - model.fill[cause] for cause, count in model.stalls.items()}
    fill = sum(model.fill.values())
    streamed, short = sum(step.streamed for step in model.steps), sum(step.short for step in model.steps)
    return _complete({"slots": streamed, "short_slots": short, "first_fill": fill, **stalls}, model.total)


def measured(records: np.ndarray, cycles: int, model: Estimate) -> dict[str, int]:
    """Parts of a simulated run, from the slot starts that the probes saw and the stall counters at these moments.

    Parameters
    ----------
    records : probe records of one frame
    cycles : of the frame, counted by the hardware
    model : estimate for the same program and tokens; only the length of its slots is used

    Raises
    ------
    SimulationError
        When the probes saw other slots than the program has, or slots that overlap.
    """
    starts = records[records["unit"] == SLOT_UNIT]
    steps = starts["step"].astype(np.int64)
    expected = np.array([step.slots for step in model.steps])
    if not np.array_equal(np.bincount(steps, minlength=expected.size), expected):
        raise SimulationError(f"the probes saw {steps.size} slots, the program has {expected.sum()}")
    rows, short = (amounts[steps] for amounts in slot_lengths(model))
    gaps = np.diff(starts["cycle"].astype(np.int64)) - (rows + short)[:-1]
    if (gaps < 0).any():
        raise SimulationError(f"slot {int(np.argmax(gaps < 0)) + 1} started before the one before it had ended")
    counters = stalls_of(starts)
    waits = _attribute(gaps, np.diff(counters, axis=0), steps)
    parts = {"slots": int(rows.sum()), "short_slots": int(short.sum()), "first_fill": int(counters[0].sum())}
    return _complete(parts | dict(zip(STALLS, waits.tolist(), strict=True)), cycles)


def slot_lengths(model: Estimate) -> tuple[np.ndarray, np.ndarray]:
    """Rows that a slot of each step streams, and cycles by which it is longer than its rows."""
    return (np.array([step.streamed // max(step.slots, 1) for step in model.steps]),
            np.array([step.short // max(step.slots, 1) for step in model.steps]))


def shares(parts: dict[str, int]) -> dict[str, float]:
    """Each part over all cycles."""
    total = sum(parts.values())
    return {name: count / total for name, count in parts.items()}


def outside_slots(parts: dict[str, int]) -> float:
    """Share of the cycles in which no row is streamed; rows that only make a slot long enough count as none."""
    return 1 - parts["slots"] / sum(parts.values())


def breakdown_table(parts: dict[str, int]) -> Table:
    """What ``sievit sim`` prints."""
    table = Table(title="where the cycles go", title_justify="left")
    table.add_column("part")
    table.add_column("cycles", justify="right")
    table.add_column("share", justify="right")
    for name, share in shares(parts).items():
        table.add_row(PARTS[name], f"{parts[name]:,}", f"{100 * share:.2f} %")
    table.add_section()
    table.add_row("all", f"{sum(parts.values()):,}", "")
    return table


def report(parts: dict[str, int]) -> dict[str, Any]:
    """Parts for a report file: cycles and shares by name."""
    return {"cycles": parts, "shares": shares(parts), "outside_slot_share": outside_slots(parts)}


def _attribute(gaps: np.ndarray, counted: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Waiting cycles by cause, ``(5,)``, for the gaps between slots.

    A slot that does not follow at once starts a cycle after what it waited for, and a step a cycle after its barrier;
    no counter counts these cycles. They belong to the barrier where a step begins, else to the gap's largest cause.
    """
    causes = np.where(np.diff(steps) > 0, STALLS.index("barrier"), counted.argmax(axis=1))
    left = np.bincount(causes, weights=gaps - counted.sum(axis=1), minlength=len(STALLS))
    return counted.sum(axis=0) + left.astype(np.int64)


def _complete(parts: dict[str, int], total: int) -> dict[str, int]:
    """All parts in order; ``output`` is what is left of the whole."""
    full = {name: parts.get(name, 0) for name in PARTS}
    full["output"] = total - sum(full.values())
    return full
