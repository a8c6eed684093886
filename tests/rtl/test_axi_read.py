"""AXI read master: see ``bench_axi_read``."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from rtl.axi_read import AxiRead, fifo_entries
from sim.runner import simulate

# A FIFO that covers latency 100 next to a small one: 128 is the smallest program FIFO there is, a burst the smallest
# image FIFO (64 words of 256 bits, 32 of 512).
BUILDS = [(128, 256, 256, 64), (256, 256, 512, 64), (256, 256, 128, 256), (512, 256, 256, 256),
          (128, 512, 256, 32), (256, 512, 256, 128), (512, 512, 512, 32), (512, 512, 128, 256)]


@pytest.mark.parametrize(("bus_bits", "stream_bits", "fifo_words", "image_words"), BUILDS)
def test_axi_read(bus_bits: int, stream_bits: int, fifo_words: int, image_words: int) -> None:
    config = HardwareConfig(bus_bits=bus_bits, stream_bits=stream_bits, fifo_words=fifo_words)
    simulate(AxiRead(config, image_words=image_words), test_module="tests.rtl.bench_axi_read",
             name=f"axi_read_{bus_bits}_{stream_bits}_{fifo_words}",
             env={"FIFO_WORDS": str(fifo_words), "IMAGE_WORDS": str(image_words),
                  "STREAM_BITS": str(stream_bits)})


@pytest.mark.parametrize(("stream_bits", "burst"), [(256, 64), (512, 32)])
def test_fifo_smaller_than_a_burst_is_refused(stream_bits: int, burst: int) -> None:
    assert fifo_entries(burst, 256, stream_bits) == burst
    with pytest.raises(ValueError, match=rf"^read FIFO must hold a burst of {burst} words, not {burst // 2}$"):
        fifo_entries(burst // 2, 256, stream_bits)


def test_fifo_of_wide_beats_holds_beats() -> None:
    assert [fifo_entries(256, bus_bits, 256) for bus_bits in (128, 256, 512)] == [256, 256, 128]
    assert [fifo_entries(256, bus_bits, 512) for bus_bits in (128, 256, 512)] == [256, 256, 256]
