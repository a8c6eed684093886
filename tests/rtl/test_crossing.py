"""Register slices to a group on another die: see ``bench_crossing``."""

from __future__ import annotations

import pytest

from rtl.crossing import WriteCrossing
from sim.runner import simulate


@pytest.mark.parametrize(("bits", "stages"), [(256, 1), (32, 3)])
def test_write_crossing(bits: int, stages: int) -> None:
    results = simulate(WriteCrossing(bits, stages), test_module="tests.rtl.bench_crossing",
                       name=f"write_crossing_{bits}_{stages}", env={"BITS": str(bits), "STAGES": str(stages)})
    assert len(results.tests) == 3


def test_too_many_stages() -> None:
    with pytest.raises(ValueError, match="stages must be 0 to 6, not 7"):
        WriteCrossing(256, 7)
