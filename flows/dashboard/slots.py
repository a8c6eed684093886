"""The schedule as it ran: slots of every cluster in time, and which cluster executed which block of which matrix."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.dashboard.palette import kind_of, layer_of


@dataclass(frozen=True)
class Timeline:
    """Slots in time.

    Attributes
    ----------
    names : of the steps
    total : cycles of the run
    cycle, step, rows, length : of each slot: first cycle, step, cycles in which it streams rows, all cycles
    outputs, sources : per cluster, per slot the block column worked on, -1 where the cluster waits
    """

    names: tuple[str, ...]
    total: int
    cycle: tuple[int, ...]
    step: tuple[int, ...]
    rows: tuple[int, ...]
    length: tuple[int, ...]
    outputs: tuple[tuple[int, ...], ...]
    sources: tuple[tuple[int, ...], ...]

    @property
    def busy(self) -> tuple[int, ...]:
        """Cycles in which each cluster multiplies rows."""
        return tuple(sum(rows for rows, column in zip(self.rows, outputs, strict=True) if column >= 0)
                     for outputs in self.outputs)

    @property
    def cycles_by_step(self) -> tuple[int, ...]:
        """Cycles from a step's first slot to the next step's, of the last one to the end of the run."""
        first = [self.total] * (len(self.names) + 1)
        for cycle, step in zip(reversed(self.cycle), reversed(self.step), strict=True):
            first[step] = cycle
        for step in range(len(self.names) - 1, -1, -1):
            first[step] = min(first[step], first[step + 1])
        return tuple(after - before for before, after in itertools.pairwise(first))

    def busy_in(self, step: int) -> tuple[int, ...]:
        """The same within a step."""
        return tuple(sum(rows for rows, column, at in zip(self.rows, outputs, self.step, strict=True)
                         if column >= 0 and at == step) for outputs in self.outputs)


@dataclass(frozen=True)
class Matrix:
    """Blocks of a weight matrix.

    Attributes
    ----------
    name, kind, layer : as ``block0.qkv``, ``qkv``, ``block0``; the same word for embedding and head
    rows, columns : output and input block columns
    clusters : a string per output block column, a character per input block: ``.`` pruned, a hex digit for the cluster
        that executes it, ``*`` kept but not executed
    """

    name: str
    kind: str
    layer: str
    rows: int
    columns: int
    clusters: tuple[str, ...]

    @property
    def kept(self) -> int:
        """Blocks that are not pruned."""
        return self.kept_in(0, self.rows)

    def kept_in(self, first: int, rows: int) -> int:
        """The same of some output block columns."""
        return sum(len(row) - row.count(".") for row in self.clusters[first:first + rows])

    @property
    def idle(self) -> int:
        """Kept blocks that are not executed, as nothing uses their result."""
        return sum(row.count("*") for row in self.clusters)

    @property
    def share(self) -> float:
        """Share of blocks kept."""
        return self.kept / (self.rows * self.columns)

    def by_cluster(self) -> dict[int, int]:
        """Blocks that each cluster executes."""
        counts: dict[int, int] = {}
        for row in self.clusters:
            for digit in row:
                if digit not in ".*":
                    counts[int(digit, 16)] = counts.get(int(digit, 16), 0) + 1
        return dict(sorted(counts.items()))


def timeline_of(details: Mapping[str, Any], content: Mapping[str, Any]) -> Timeline | None:
    """The slots of a run; None without details."""
    slots = details.get("slots")
    # Of several images the details are the first one's.
    images = content.get("images")
    total = images[0].get("cycles") if isinstance(images, list) and images else content.get("cycles")
    if not slots or not slots.get("cycle") or not total:
        return None
    return Timeline(tuple(details["steps"]), total, tuple(slots["cycle"]), tuple(slots["step"]),
                    tuple(slots["rows"]), tuple(slots["length"]), tuple(map(tuple, details["clusters"])),
                    tuple(map(tuple, details["sources"])))


def matrices_of(details: Mapping[str, Any]) -> tuple[Matrix, ...]:
    """All weight matrices in the order of the network; empty without details."""
    return tuple(Matrix(entry["name"], kind_of(entry["name"]), layer_of(entry["name"]), entry["rows"], entry["columns"],
                        tuple(entry["clusters"])) for entry in details.get("matrices") or ())
