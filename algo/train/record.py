"""What a run leaves to read: a line per logged step (CSV), evaluations (JSON), and curves (PNG)."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from flows.contracts.files import replacing

EVERY = 20
"""Steps that a line of the log averages."""


class Record:
    """Log and evaluations of a run.

    Attributes
    ----------
    steps : steps done
    lines : means over ``EVERY`` steps, by name
    evaluations : step, images seen, number of images, top-1, kept shares
    """

    def __init__(self) -> None:
        self.steps = 0
        self.lines: list[dict[str, float]] = []
        self.evaluations: list[dict[str, float]] = []
        self.speeds: list[float] = []
        self._open: list[dict[str, float]] = []

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Record:
        """A record as :meth:`state` described it."""
        record = cls()
        for name, value in state.items():
            setattr(record, name, value)
        return record

    def state(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return dict(vars(self))

    def step(self, step: int, batch: int, values: dict[str, float]) -> None:
        """Add a step."""
        self._open.append(values)
        self.steps = step + 1
        if self.steps % EVERY == 0:
            means = {name: _mean([line[name] for line in self._open if name in line]) for name in values}
            self.lines.append({"step": self.steps, "images_seen": self.steps * batch, **means})
            self._open = []

    def evaluated(self, values: dict[str, float]) -> None:
        """Add an evaluation."""
        self.evaluations.append(values)

    def speed(self, images_per_second: float) -> None:
        """Add a measured speed."""
        self.speeds.append(round(images_per_second, 1))

    def write(self, out: Path, *, curves: bool = False) -> None:
        """Write ``log.csv`` and ``evaluations.json``, and ``curves.png`` when asked to."""
        if self.lines:
            with replacing(out / "log.csv") as part, part.open("w", newline="") as handle:
                names = list(dict.fromkeys(name for line in self.lines for name in line))
                writer = csv.DictWriter(handle, names, lineterminator="\n")
                writer.writeheader()
                writer.writerows({name: f"{value:.6g}" for name, value in line.items()} for line in self.lines)
        content = {"steps": self.steps, "evaluations": self.evaluations, "images_per_second": self.speeds}
        with replacing(out / "evaluations.json") as part:
            part.write_text(json.dumps(content, indent=1) + "\n")
        if curves:
            from algo.train.curves import draw

            draw(self, out / "curves.png")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
