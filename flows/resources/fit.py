"""Coefficients of the analytical model, from synthesized configurations: ``python -m flows.resources.fit``."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np

from boards.board import FAMILIES
from flows.contracts.files import replacing
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import KINDS, Resources
from flows.resources.formulas import Unit, units_of
from flows.resources.grid import load_grid
from flows.resources.model import COEFFICIENTS

MULTIPLIERS = ("plain", "dsp48e1", "dsp48e2")

UNSEEN = {"plain": {"lut": 4800.0, "ff": 6200.0}, "dsp48e1": {"lut": 2650.0, "ff": 750.0}}
"""An array with a multiplier that the grid does not hold, counted from adders and registers of the RTL; without an
entry, it is expected to take what the largest does."""

FREE = ("base", "lanes", *MULTIPLIERS)
"""Features without an expected coefficient."""

PRIOR = 0.03
"""Weight of the expectation, against one for a synthesized configuration."""

UNITS = (
    ("vit_accel.top.core.logit_buffer", "logits"),
    *((f"vit_accel.top.core.{name}", name) for name in (
        "decoder", "sequencer", "key_value", "token_drop", "image_loader")),
    ("vit_accel.top.core.row_exchange", "exchange"), ("vit_accel.top.core.part_sum", "exchange"),
    ("vit_accel.top.core.group", "crossing"), ("vit_accel.top.core", "core"),
    *((f"vit_accel.top.{name}", name) for name in ("control", "axi_read", "axi_write", "program_store")),
    ("vit_accel", "top"),
    *((f"sievit_group.operands.{name}", "group.banks") for name in "xas"),
    ("sievit_group.operands.row_max", "group.row_max"), ("sievit_group.operands.exp", "group.exp"),
    ("sievit_group.operands", "group.operands"),
    ("sievit_group.drain.column_queue", "group.column_queue"), ("sievit_group.drain", "group.drain"),
    ("sievit_group.residual", "group.residual"), ("sievit_group.norm_pass", "group.norm_pass"),
    ("sievit_group.token_map", "group.norm_pass"), ("sievit_group", "group.glue"),
    ("sievit_program_memory", "program_store"), ("sievit_", "group.clusters"),
)
"""Unit of the model that a module belongs to, by the beginning of its name; the first that fits."""


def unit_of(module: str) -> str:
    """The model's unit of a module."""
    for prefix, unit in UNITS:
        if module.startswith(prefix) or (prefix in module and module.startswith("_paramod")):
            return unit
    raise ValueError(f"module {module} belongs to no unit of the model")


def by_unit(rows: list[dict[str, Any]]) -> dict[str, Resources]:
    """Synthesized modules as units of the model, all instances together."""
    totals: dict[str, Resources] = defaultdict(Resources)
    for row in rows:
        amount = Resources(**{kind: row[kind] for kind in KINDS})
        totals[unit_of(row["name"])] += amount * row["count"]
    return dict(totals)


Coefficients = dict[str, dict[str, dict[str, float]]]
"""By unit, kind and feature."""

Point = tuple[Unit, Resources, Resources]
"""A unit, what one of it took, and what of that are slices and memories."""


def fit(grid: list[dict[str, Any]]) -> dict[str, Coefficients]:
    """Least squares of relative errors, coefficients not negative, for every unit on its own.

    What the grid cannot tell of 7 series is expected to be as on UltraScale+. Families and units that the grid does not
    hold are left out.
    """
    result: dict[str, Coefficients] = {}
    for target in sorted(set(FAMILIES.values()), reverse=True):
        points: dict[str, list[Point]] = defaultdict(list)
        for entry in grid:
            if FAMILIES[entry["family"]] != target:
                continue
            config = HardwareConfig.from_dict(entry["hardware"])
            found = by_unit(entry["units"])
            for name, unit in units_of(config, target).items():
                points[name].append((unit, found.get(name, Resources()) * (1 / unit.count), unit.hard(target)))
        if points:
            result[target] = _fit_units(points, result.get("xcup", {}))
    return result


def _fit_units(points: dict[str, list[Point]], expected: Coefficients) -> Coefficients:
    result = {}
    for name, each in sorted(points.items()):
        known = expected.get(name, {})
        result[name] = {
            "lut": _solve([(unit.lut, found.lut - hard.lut) for unit, found, hard in each], known.get("lut")),
            "ff": _solve([(unit.ff, found.ff) for unit, found, _ in each], known.get("ff"))}
    for kind, features in result["group.clusters"].items():
        largest = max(features.get(name, 0.0) for name in MULTIPLIERS)
        features |= {name: UNSEEN.get(name, {}).get(kind, largest) for name in MULTIPLIERS if not features.get(name)}
    return result


def _solve(points: list[tuple[dict[str, float], float]], known: dict[str, float] | None) -> dict[str, float]:
    from scipy.optimize import nnls

    names = sorted({name for features, _ in points for name in features})
    matrix = np.array([[features.get(name, 0.0) for name in names] for features, _ in points])
    wanted = np.maximum(np.array([amount for _, amount in points], float), 0)
    weight = 1 / np.maximum(wanted, 50)
    scale = np.maximum(matrix.max(axis=0), 1)
    # For features that the grid cannot tell apart: a bit is a LUT or a flip-flop.
    expected = np.array([(known or {}).get(name, 1.0) for name in names]) * scale
    held = np.diag([PRIOR * weight.mean() * (name not in FREE) for name in names])
    solution, _ = nnls(np.vstack([matrix / scale * weight[:, None], held]),
                       np.concatenate([wanted * weight, held @ expected]))
    return {name: float(f"{value:.4g}") for name, value in zip(names, solution / scale, strict=True)}


def main() -> None:
    """Fit to the recorded grid and write the coefficients; what the grid does not hold stays as it was."""
    coefficients = json.loads(COEFFICIENTS.read_text()) if COEFFICIENTS.is_file() else {}
    for target, units in fit(load_grid()).items():
        coefficients.setdefault(target, {}).update(units)
    with replacing(COEFFICIENTS) as part:
        part.write_text(json.dumps(coefficients, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
