"""The few accelerators that all tests share: a configuration sets maxima, so many networks run on one build."""

from __future__ import annotations

import pytest

from flows.contracts.hardware import HardwareConfig
from sim.accelerator import build_accelerator
from sim.runner import Build

ONE = HardwareConfig(clusters=1, banks=2, max_tokens=64, max_width=64, max_hidden=128, max_patch=192, score_heads=1,
                     max_classes=40, bus_bits=128, fifo_words=128)
"""The smallest: every head is a group of its own, and half a program word arrives per cycle."""

TWO = HardwareConfig(clusters=2, banks=4, max_tokens=272, max_width=128, max_hidden=256, max_patch=192, score_heads=3,
                     max_classes=40, bus_bits=512, fifo_words=256)
"""Two program words in a beat. Holds 257 tokens; networks with 4 or 8 heads need two or three groups, the last of them
smaller."""

FOUR = HardwareConfig(clusters=4, banks=8, max_tokens=208, max_width=192, max_hidden=384, max_patch=768, score_heads=4,
                      max_classes=70, bus_bits=512, stream_bits=512, fifo_words=512)
"""As wide as DeiT-T, with wide stream words."""

TWO_GROUPS = TWO.replace(groups=2, bus_bits=256, stream_bits=512)
"""The same networks on two token groups; two beats make a word."""

FOUR_GROUPS = TWO.replace(clusters=1, groups=4, multiplier="dsp48e2", bus_bits=512, stream_bits=512)
"""And on four, with a cluster each and two MACs per DSP slice."""

RESIDENT = TWO.replace(groups=2, image_fifo_words=1024, resident_words=4096)
"""Keeps small programs, and the patches of the next image, on chip."""

EIGHT = HardwareConfig(clusters=8, banks=8, max_tokens=80, max_width=96, max_hidden=192, max_patch=192, score_heads=3,
                       max_classes=40, bus_bits=512, stream_bits=512, fifo_words=256)
"""More clusters than most steps have columns: columns are divided between two clusters."""

DIES = TWO_GROUPS.replace(clusters=1, banks=4, crossings=2)
"""Two groups that may lie on other dies, two register stages away."""

NARROW = ONE.replace(multiplier="dsp48e1", row_cycles=2, lut_fifo_words=128)
"""The smallest for small devices: rows every second cycle, half the multipliers, FIFOs in LUTs."""

EVERY_FOUR = TWO.replace(multiplier="dsp48e2", row_cycles=4)
"""Rows every four cycles, and two clusters."""

HARDWARE = {"one": ONE, "two": TWO, "four": FOUR, "eight": EIGHT, "two_groups": TWO_GROUPS, "four_groups": FOUR_GROUPS,
            "narrow": NARROW}

RARE = {"every_four": EVERY_FOUR, "dies": DIES}
"""For slow tests only."""

ALL = HARDWARE | RARE
NAMES = [*HARDWARE, *(pytest.param(name, marks=pytest.mark.slow) for name in RARE)]
"""All of them, for ``parametrize``."""


def simulator(config: HardwareConfig) -> Build:
    """The simulator of a configuration, built once per content and machine."""
    return build_accelerator(config, assertions=True, optimize="-O1")
