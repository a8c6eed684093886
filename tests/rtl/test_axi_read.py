"""AXI read master: see ``bench_axi_read``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.axi_read import AxiRead, fifo_entries
from sim.runner import simulate

# 256 words cover latency 100; 128 is the smallest program FIFO there is, 64 the smallest image FIFO.
BUILDS = [(256, 512, 64), (128, 256, 64), (512, 256, 256), (256, 128, 256)]


@pytest.mark.parametrize(("bus_bits", "fifo_words", "image_words"), BUILDS)
def test_axi_read(bus_bits: int, fifo_words: int, image_words: int) -> None:
    config = HardwareConfig(bus_bits=bus_bits, fifo_words=fifo_words)
    simulate(AxiRead(config, image_words=image_words), test_module="tests.rtl.bench_axi_read",
             name=f"axi_read_{bus_bits}_{fifo_words}",
             env={"FIFO_WORDS": str(fifo_words), "IMAGE_WORDS": str(image_words)})


def test_fifo_smaller_than_a_burst_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^read FIFO must hold a burst of 64 words, not 32$"):
        fifo_entries(32, 256)
