"""Guards the benchmark: ratios of a run against those that were recorded, whatever machine either ran on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.cache import ROOT
from flows.contracts.errors import ConfigError
from flows.contracts.files import replacing

BASELINE = ROOT / "flows" / "bench_baseline.json"
RECORD = "make bench-baseline"
TOLERANCE = 0.02
"""How much worse a ratio may be: relative; for shares of all cycles absolute."""
NOTABLE = 0.1
"""Improvements above this part of the tolerance are worth recording."""


@dataclass(frozen=True)
class Ratio:
    """A figure that is guarded.

    Attributes
    ----------
    name : key of a row
    better : +1 when higher is better, -1 when lower is
    share : a share of all cycles, compared by difference
    """

    name: str
    better: int
    share: bool = False

    def loss(self, before: float, now: float) -> float:
        """How much worse ``now`` is, in units of the tolerance's kind; negative for better."""
        change = self.better * (before - now)
        return change if self.share else change / before


RATIOS = (Ratio("utilization", 1), Ratio("cycles_over_lower_bound", -1), Ratio("slots_over_lower_bound", -1),
          Ratio("stall_share", -1, share=True), Ratio("outside_slot_share", -1, share=True))
KEYS = ("model", "keep_blocks", "keep_tokens", "clusters", "groups")


@dataclass(frozen=True)
class Verdict:
    """Result of a check: one line per ratio that got worse (or row that has no partner), and per one that got better.

    Attributes
    ----------
    worse, better : lines
    rows : rows compared
    """

    worse: tuple[str, ...]
    better: tuple[str, ...]
    rows: int


def record(rows: Sequence[dict[str, Any]], path: Path = BASELINE) -> None:
    """Write what :func:`check` compares with."""
    kept = [{key: row[key] for key in KEYS} | {ratio.name: round(row[ratio.name], 6) for ratio in RATIOS}
            for row in rows]
    lines = ",\n".join(f"  {json.dumps(row)}" for row in kept)
    with replacing(path) as part:
        part.write_text(f'{{"weights": {json.dumps(rows[0]["weights"])}, "rows": [\n{lines}\n]}}\n')


def load_baseline(path: Path = BASELINE) -> list[dict[str, Any]]:
    """Rows recorded by :func:`record`.

    Raises
    ------
    ConfigError
        When the file is missing or is no baseline.
    """
    if not path.is_file():
        raise ConfigError(f"no baseline at {path}; record one with {RECORD}")
    needed = {*KEYS, *(ratio.name for ratio in RATIOS)}
    try:
        rows = json.loads(path.read_text())["rows"]
        complete = bool(rows) and all(needed <= set(row) for row in rows)
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise ConfigError(f"{path} is no baseline of this version; record a new one with {RECORD}")
    return rows


def models_in(baseline: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Models of a baseline, each once."""
    return tuple(dict.fromkeys(row["model"] for row in baseline))


def check(rows: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]) -> Verdict:
    """Compare rows with those recorded for the same models; every row needs its partner."""
    models = {row["model"] for row in rows}
    now = {_key(row): row for row in rows}
    before = {_key(row): row for row in baseline if row["model"] in models}
    worse = [f"{_title(key)}: not in the baseline; record it with {RECORD}" for key in now if key not in before]
    worse += [f"{_title(key)}: in the baseline, but not measured" for key in before if key not in now]
    better = []
    both = [key for key in now if key in before]
    for key in both:
        for ratio in RATIOS:
            old, new = before[key][ratio.name], now[key][ratio.name]
            loss = ratio.loss(old, new)
            line = f"{_title(key)}: {ratio.name} {new:.4f}, the baseline has {old:.4f}"
            if loss > TOLERANCE:
                worse.append(line)
            elif loss < -NOTABLE * TOLERANCE:
                better.append(line)
    return Verdict(tuple(worse), tuple(better), len(both))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in KEYS)


def _title(key: tuple[Any, ...]) -> str:
    model, blocks, tokens, clusters, groups = key
    return f"{model}, blocks {blocks:g}, tokens {tokens:g}, {clusters} x {groups}"
