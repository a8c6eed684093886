"""Delay line: see ``bench_delay``."""

from __future__ import annotations

import pytest

from rtl.delay import DelayLine
from sim.runner import simulate


@pytest.mark.parametrize(("width", "cycles"), [(8, 3), (416, 19)])
def test_delay_line(width: int, cycles: int) -> None:
    """The shortest, and that of the softmax division."""
    results = simulate(DelayLine(width, cycles), test_module="tests.rtl.bench_delay", name=f"delay_{width}_{cycles}",
                       env={"WIDTH": str(width), "CYCLES": str(cycles)})
    assert len(results.tests) == 2


def test_too_short() -> None:
    with pytest.raises(ValueError, match="cycles must be at least 3, not 2"):
        DelayLine(8, 2)
