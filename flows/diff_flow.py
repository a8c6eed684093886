"""The ``diff`` command as a function: a run in, every difference from the golden model out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flows.contracts.errors import MismatchError
from flows.meaning import Meaning, meaning_of
from flows.runs.saved import SavedRun
from sim.compare import Difference, RecordMismatchError, check_starts, compare, compare_logits
from sim.differences import Seen, Window, observe, window
from sim.golden.network import run as golden_run
from sim.probes import PROBES, UNITS

_BLOCK = re.compile(r"block(\d+)\.")


@dataclass(frozen=True, eq=False)
class Diff:
    """How a run differs from the golden model.

    Attributes
    ----------
    run : the run
    text : the first difference in words, empty when there is none
    first : the same in parts, where it is about a single word of a memory
    meaning : of the first wrong integer
    near : its neighbours
    checkpoints : all of them, in the order of execution
    """

    run: SavedRun
    text: str
    first: Difference | None
    meaning: Meaning | None
    near: Window | None
    checkpoints: tuple[Seen, ...]

    @property
    def layer(self) -> int | None:
        """Block of the whole network, from 0, that the first difference is in; None in embedding and head."""
        match = _BLOCK.match(self.first.step) if self.first else None
        return self.run.first_layer + int(match[1]) if match else None


def diff_of(run: SavedRun) -> Diff:
    """Compare a run with the golden model, all of it.

    Raises
    ------
    SievitError
        When the image does not fit the network, or the program has steps that it does not know.
    """
    golden = golden_run(run.artifact, run.patches, record=True)
    first, text = None, ""
    try:
        check_starts(run.records, run.steps)
        compare(golden.checkpoints, run.records, run.steps, run.config, golden.unused)
        compare_logits(golden.logits, run.logits)
    except RecordMismatchError as error:
        first, text = error.difference, str(error)
    except MismatchError as error:
        text = str(error)
    # What only the run itself could see: registers.
    text = text or run.mismatch
    seen = tuple(observe(golden.checkpoints, run.records, run.steps, run.config, golden.unused))
    meaning, near = None, None
    if first is not None and first.checkpoint and first.token is not None and first.channel is not None:
        meaning = meaning_of(run.artifact, first.checkpoint, first.channel)
        where = next(one for one in seen if one.name == first.checkpoint)
        near = window(where, first.head or 0, first.token, first.channel)
    return Diff(run, in_words_of(run.engine, text), first, meaning, near, seen)


def in_words_of(engine: str, text: str) -> str:
    """What the comparison calls hardware is the models with engine ``hls``; their records have numbers, no cycles."""
    if engine != "hls":
        return text
    return re.sub(r"\(cycle (\d+)\)", r"(word \1)", text.replace(": hardware ", ": HLS model "))


def report_of_diff(diff: Diff) -> dict[str, Any]:
    """Everything the command shows, as JSON can hold it.

    ``checkpoints`` lists those that differ, in the order of execution. ``cycle`` counts from the release of reset, and
    words with the engine ``hls``.
    """
    run = diff.run
    return {
        "equal": not diff.text,
        "mismatch": diff.text,
        "model": run.artifact.model,
        "weights": run.artifact.weights,
        "engine": run.engine,
        "image": run.image,
        "waveform": str(run.wave) if run.wave else None,
        "first": _first(diff),
        "near": _near(diff.near),
        "checkpoints": [row for row in (seen.summary() for seen in diff.checkpoints) if row["wrong"] or row["missing"]],
        "checkpoints_compared": len(diff.checkpoints),
    }


def _first(diff: Diff) -> dict[str, Any] | None:
    first, meaning = diff.first, diff.meaning
    if first is None:
        return None
    real = {} if meaning is None else {
        "quantity": meaning.quantity, "hardware": meaning.value(first.hardware), "golden": meaning.value(first.golden),
        "difference": meaning.difference(first.hardware, first.golden)}
    return {"unit": first.unit, "unit_title": PROBES[UNITS[first.unit]].title, "step": first.step, "layer": diff.layer,
            "checkpoint": first.checkpoint, "head": first.head, "token": first.token, "channel": first.channel,
            "hardware": first.hardware, "golden": first.golden, "cycle": first.cycle, "real": real}


def _near(near: Window | None) -> dict[str, Any] | None:
    if near is None:
        return None
    return {"tokens": near.tokens, "channels": near.channels, "golden": near.golden.tolist(),
            "hardware": [[value if there else None for value, there in zip(row, written, strict=True)]
                         for row, written in zip(near.hardware.tolist(), near.written.tolist(), strict=True)]}
