"""What an inference gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LOGIT_WORD_BYTES = 32
"""The hardware writes logits in words of 16 int16."""


def output_bytes(classes: int) -> int:
    """Bytes of the logits of one image as the hardware writes them."""
    return -(-classes * 2 // LOGIT_WORD_BYTES) * LOGIT_WORD_BYTES


@dataclass(frozen=True, eq=False)
class Result:
    """One image.

    Attributes
    ----------
    logits : int16 ``(classes,)``
    class_names : one per class; empty when unknown
    tokens_kept : tokens alive after each token drop
    cycles : clock cycles of the run, counted by the hardware
    counters : slots and stall cycles by name of the register
    clock_mhz : the clock that the hardware was generated for
    """

    logits: np.ndarray
    class_names: tuple
    tokens_kept: tuple
    cycles: int
    counters: dict
    clock_mhz: float

    @property
    def index(self) -> int:
        """The class with the largest logit."""
        return int(np.argmax(self.logits))

    @property
    def name(self) -> str:
        """Its name, ``class N`` when names are unknown."""
        return class_name(self.class_names, self.index)

    @property
    def seconds(self) -> float:
        """Time of the run if the clock is what the hardware was generated for."""
        return self.cycles / (self.clock_mhz * 1e6)

    def top(self, count: int = 5) -> list:
        """The best classes: ``[(index, name, logit), ...]``."""
        order = np.argsort(-self.logits.astype(np.int64), kind="stable")[:count]
        return [(int(index), class_name(self.class_names, int(index)), int(self.logits[index])) for index in order]


@dataclass(frozen=True, eq=False)
class Batch:
    """Several images of one run.

    Attributes
    ----------
    logits : int16 ``(images, classes)``
    class_names : one per class; empty when unknown
    tokens_kept : of the last image; the registers keep no others
    cycles, counters : of the whole run
    clock_mhz : the clock that the hardware was generated for
    """

    logits: np.ndarray
    class_names: tuple
    tokens_kept: tuple
    cycles: int
    counters: dict
    clock_mhz: float

    @property
    def indices(self) -> list:
        """The class with the largest logit, by image."""
        return [int(index) for index in np.argmax(self.logits, axis=1)]

    @property
    def names(self) -> list:
        """Their names."""
        return [class_name(self.class_names, index) for index in self.indices]

    @property
    def seconds(self) -> float:
        """Time of the run if the clock is what the hardware was generated for."""
        return self.cycles / (self.clock_mhz * 1e6)

    def __len__(self) -> int:
        return len(self.logits)


def class_name(names: tuple, index: int) -> str:
    """The name of a class."""
    return names[index] if index < len(names) else f"class {index}"
