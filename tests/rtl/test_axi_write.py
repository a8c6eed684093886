"""AXI write master: see ``bench_axi_write``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.axi_write import AxiWrite
from sim.runner import simulate


@pytest.mark.parametrize("bus_bits", [128, 256, 512])
def test_axi_write(bus_bits: int) -> None:
    simulate(AxiWrite(HardwareConfig(bus_bits=bus_bits)), test_module="tests.rtl.bench_axi_write",
             name=f"axi_write_{bus_bits}")
