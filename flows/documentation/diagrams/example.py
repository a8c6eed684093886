"""The accelerator that the diagrams show."""

from __future__ import annotations

import functools

from flows.contracts.hardware import HardwareConfig
from rtl.core import Core
from rtl.group import Group
from rtl.top import Top

CONFIG = HardwareConfig(clusters=4, groups=2)
"""DeiT-Tiny's sizes, 2048 MACs per cycle: with two groups there is everything that crosses them."""
WORDS = "4 clusters, 2 groups, sizes of DeiT-Tiny"


@functools.cache
def core() -> Core:
    """The core, once for all diagrams, as elaborating takes seconds."""
    return Core(CONFIG)


@functools.cache
def group() -> Group:
    """A token group."""
    return Group(CONFIG)


@functools.cache
def top() -> Top:
    """The whole accelerator."""
    return Top(CONFIG)
