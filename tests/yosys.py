"""Open synthesis in tests: the product's, skipped where Yosys is not installed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from flows.resources import yosys
from flows.resources.synth import SynthesisResult, synthesize_component


def run_yosys(*commands: str, directory: Path) -> None:
    """Run Yosys commands in ``directory``; the calling test is skipped without pyosys."""
    need_yosys()
    yosys.run_yosys(*commands, directory=directory, timeout=600.0)


def need_yosys() -> None:
    """Skip the calling test without pyosys."""
    pytest.importorskip("pyosys", reason="needs the package pyosys")


def synthesize(component: object, family: str) -> Counter[str]:
    """Vendor cells by type of a component mapped to ``family``, submodules included as often as they are used."""
    need_yosys()
    return cells_of(synthesize_component(component, family))


def cells_of(result: SynthesisResult) -> Counter[str]:
    """Vendor cells by type of a whole design."""
    cells: Counter[str] = Counter()
    for unit in result.units:
        cells.update({kind: count * unit.instances for kind, count in unit.cells.items()})
    return cells
