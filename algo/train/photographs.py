"""A data set that needs no download: crops of the photographs that scikit-image ships; the class is the photograph."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from algo.data import PHOTOGRAPHS
from flows.contracts.preprocess import load_image

CROPS = 960
EDGE = 48


class PhotographCrops:
    """Random squares of 10 to 50 % of the shorter side, ``EDGE`` pixels wide.

    Parameters
    ----------
    seed : as text; other seeds give other crops
    """

    names = tuple(Path(name).stem for name in PHOTOGRAPHS)

    def __init__(self, seed: str = "0") -> None:
        self._seed = int(seed)
        self.label = np.arange(CROPS, dtype=np.int64) % len(PHOTOGRAPHS)

    def __len__(self) -> int:
        return CROPS

    @cached_property
    def _photographs(self) -> list[Image.Image]:
        import skimage  # only its files are used

        folder = Path(skimage.__file__).parent / "data"
        return [load_image(folder / name) for name in PHOTOGRAPHS]

    def image(self, index: int) -> Image.Image:
        """Crop ``index``."""
        generator = np.random.default_rng([self._seed, index])
        photograph = self._photographs[self.label[index]]
        edge = min(photograph.size) * generator.uniform(0.1, 0.5)
        left, top = (generator.uniform(0, side - edge) for side in photograph.size)
        return photograph.resize((EDGE, EDGE), Image.Resampling.BICUBIC, box=(left, top, left + edge, top + edge))
