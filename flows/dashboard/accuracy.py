"""Accuracy of the network that ran, beside the dense one: from evaluations in the store, else from the record of the
networks that come with sievit.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.dashboard import match, numbers
from flows.dashboard.parts import Headline
from flows.runs import Kept
from flows.shipped import FOLDER

RECORD = FOLDER / "accuracy.json"
TITLES = {"float": "floating point", "fake": "fake-quantized", "integer": "integers, as in hardware"}


@dataclass(frozen=True)
class Score:
    """Accuracy of one form of the network.

    Attributes
    ----------
    name, title : key of the report, and words
    top1, interval : share of right answers, 95 % interval of it (None when it is not known)
    agreement : share of images with the same answer as in floating point, or None
    """

    name: str
    title: str
    top1: float
    interval: tuple[float, float] | None
    agreement: float | None


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on labelled images.

    Attributes
    ----------
    images, source : how many images, and where the figures come from
    scores : the network's forms, then the dense network (``name`` is ``"dense"``) if it was measured
    """

    images: int
    source: str
    scores: tuple[Score, ...]

    def score(self, name: str) -> Score | None:
        """A score by name, or None."""
        return next((score for score in self.scores if score.name == name), None)

    @property
    def best(self) -> Score:
        """What the hardware computes, if it was measured."""
        return self.score("integer") or self.scores[0]

    @property
    def loss(self) -> float | None:
        """Points of top-1 (as a share) lost against the dense network; None when that was not measured."""
        dense = self.score("dense")
        return None if dense is None else dense.top1 - self.best.top1


def accuracy_of(kept: Kept, store: Sequence[Kept]) -> Accuracy | None:
    """Accuracy of the run's network: of the evaluation or record with the most images; None without any."""
    found = [kept] if kept.kind == "eval" else match.same_network(kept, store, "eval")
    found = [other for other in found if other.content.get("networks")]
    entry = None if kept.kind == "eval" else _recorded().get(str(kept.content.get("artifact_hash")))
    chosen = max(found, key=lambda other: (other.content["images"], other.name), default=None)
    if chosen is not None and (entry is None or chosen.content["images"] >= entry["images"]):
        content = chosen.content
        return Accuracy(content["images"], f"sievit eval, {chosen.name}",
                        (*_scores(content["networks"]), *_dense(content, store)))
    if entry is None:
        return None
    dense = Score("dense", entry["dense"]["what"], entry["dense"]["top1"], None, None)
    return Accuracy(entry["images"], f"{entry['pictures']}, on record in {entry['source']}",
                    (*_scores(entry["networks"]), dense))


def headline(scores: Accuracy, kept: Kept) -> Headline:
    """Top-1 of what the hardware computes, beside the dense network."""
    best, loss = scores.best, scores.loss
    note = f"top-1, {scores.images:,} images"
    if loss is not None:
        note += f", dense {numbers.percent(best.top1 + loss)} ({-100 * loss:+.1f} points)"
    return Headline("Accuracy", numbers.percent(best.top1), note, best.top1,
                f"networks/{best.name}/top1" if kept.kind == "eval" else None)


def _scores(networks: Mapping[str, Any]) -> tuple[Score, ...]:
    return tuple(Score(name, TITLES.get(name, name), row["top1"],
                       tuple(row["top1_interval"]) if row.get("top1_interval") else None, row.get("agreement"))
                 for name, row in networks.items())


def _dense(content: Mapping[str, Any], store: Sequence[Kept]) -> tuple[Score, ...]:
    """The same model with all weights and tokens, on as many images of the same pack."""
    if content.get("macs") == content.get("dense_macs"):
        return ()
    found = [other for other in store if other.kind == "eval" and other.content.get("networks")
             and other.content.get("macs") == other.content.get("dense_macs") == content.get("dense_macs")
             and all(other.content.get(key) == content.get(key) for key in ("model", "images", "pack"))]
    if not found:
        return ()
    row = found[-1].content["networks"]["float"]
    return (Score("dense", "dense, floating point", row["top1"], tuple(row["top1_interval"]), None),)


@functools.cache
def _recorded() -> dict[str, dict[str, Any]]:
    return {entry["artifact_hash"]: entry for entry in json.loads(RECORD.read_text())}
