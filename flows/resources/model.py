"""Resources of the accelerator without synthesis, fast enough to be asked for thousands of configurations.

DSP slices and memories follow from widths and depths (:mod:`flows.resources.memories`). LUTs and flip-flops of a unit
are a sum of its features (:mod:`flows.resources.formulas`), each times a coefficient that was fitted to open synthesis
(:mod:`flows.resources.fit`): the model knows what open synthesis would say, not what a vendor's tool does.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from boards.board import FAMILIES
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import Resources
from flows.resources.formulas import Unit, units_of

COEFFICIENTS = Path(__file__).with_name("coefficients.json")


def default_family(config: HardwareConfig) -> str:
    """The family that a configuration's multiplier is made for."""
    return "7series" if config.multiplier == "dsp48e1" else "ultrascale+"


def resources_of(config: HardwareConfig, family: str = "ultrascale+") -> Resources:
    """What the whole accelerator takes.

    Parameters
    ----------
    config : sizes
    family : a key of :data:`boards.board.FAMILIES`

    Raises
    ------
    ConfigError
        For an unknown family.
    """
    return sum(shares_of(config, family).values(), Resources())


def shares_of(config: HardwareConfig, family: str = "ultrascale+") -> dict[str, Resources]:
    """The same by unit: all instances together. Names of units that every token group has begin with ``group.``.

    Raises
    ------
    ConfigError
        For an unknown family.
    """
    if family not in FAMILIES:
        raise ConfigError(f"family must be {', '.join(FAMILIES)}, not {family!r}")
    target = FAMILIES[family]
    coefficients = _coefficients()[target]
    return {name: _resources(unit, coefficients[name], target) * unit.count
            for name, unit in units_of(config, target).items()}


def counts_of(config: HardwareConfig) -> dict[str, int]:
    """How many of each unit of :func:`shares_of` there are."""
    return {name: unit.count for name, unit in units_of(config, "xcup").items()}


def _resources(unit: Unit, coefficients: dict[str, dict[str, float]], target: str) -> Resources:
    fabric = {kind: sum(coefficients[kind].get(name, 0) * amount for name, amount in features.items())
              for kind, features in (("lut", unit.lut), ("ff", unit.ff))}
    return Resources(**fabric) + unit.hard(target)


@functools.cache
def _coefficients() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Coefficients by target, unit, kind and feature."""
    return json.loads(COEFFICIENTS.read_text())
