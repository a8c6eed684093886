"""Program store: see ``bench_program_store``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.program_store import ProgramStore
from rtl.shared import to_verilog
from sim.runner import simulate
from tests.rtl.script import config_env


@pytest.mark.parametrize(("stream_bits", "resident_words"), [(256, 1024), (512, 2048)])
def test_program_store(stream_bits: int, resident_words: int) -> None:
    config = HardwareConfig(stream_bits=stream_bits, resident_words=resident_words)
    results = simulate(ProgramStore(config), test_module="tests.rtl.bench_program_store",
                       name=f"program_store_{stream_bits}_{resident_words}", env=config_env(config))
    assert len(results.tests) == 5


def test_verilog_does_not_grow_with_the_store() -> None:
    """The largest store is generated as fast as the smallest: no word has an initial value."""
    sizes = [len(to_verilog(ProgramStore(HardwareConfig(resident_words=words)), "store")) for words in (1024, 262144)]
    assert sizes[0] < sizes[1] < sizes[0] + 500
