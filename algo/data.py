"""Images for calibration and evaluation: data packs, folders, and the photographs that scikit-image ships."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from flows.contracts.errors import ImageError
from flows.contracts.images import IMAGE_SUFFIXES, ImageSet, Pack, load_pack
from flows.contracts.preprocess import crop, load_image

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png",
               "hubble_deep_field.jpg")
"""Colour photographs inside the scikit-image package."""
PHOTOGRAPH_CROPS = 48


def calibration_pixels(source: Path | str | None, size: int, *, count: int | None = None, seed: int = 0) -> np.ndarray:
    """Images to calibrate on.

    Parameters
    ----------
    source : a data pack, a folder of images, or None for random crops of the photographs in scikit-image
    size : edge in pixels
    count : at most that many images, chosen by ``seed``; all by default (48 crops without a source)

    Returns
    -------
    uint8 ``(images, size, size, 3)``

    Raises
    ------
    ImageError
        When ``source`` holds no readable image.
    """
    generator = np.random.default_rng(seed)
    if source is None:
        return _photograph_crops(size, PHOTOGRAPH_CROPS if count is None else count, generator)
    source = Path(source)
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise ImageError(f"no images in the folder {source}; it needs files such as *.jpg or *.png")
        return np.stack([crop(load_image(paths[i]), size) for i in _choose(len(paths), count, generator)])
    pack = load_pack(source)
    return np.stack([pack_pixels(pack, i, size) for i in _choose(len(pack), count, generator)])


def calibration_labels(source: Path | str | None, classes: int, *, count: int | None = None,
                       seed: int = 0) -> np.ndarray | None:
    """Labels of the images that :func:`calibration_pixels` returns for the same ``source``, ``count`` and ``seed``.

    Returns
    -------
    int64 ``(images,)``; None where nothing is known: without a pack, or when its classes are not those of the network.
    """
    if source is None or Path(source).is_dir():
        return None
    pack = load_pack(source)
    if len(pack.names) != classes or not 0 <= pack.label.min() <= pack.label.max() < classes:
        return None
    return pack.label[_choose(len(pack), count, np.random.default_rng(seed))].astype(np.int64)


def pack_pixels(pack: Pack, index: int, size: int) -> np.ndarray:
    """Image ``index`` as uint8 ``(size, size, 3)``; packs hold images resized before, so only the centre is cut."""
    return crop(pack.image(index), size, resize=False)


def normalise(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """uint8 ``(B, size, size, 3)`` to the float ``(B, 3, size, size)`` a timm model takes."""
    scaled = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def logits_of(
    forward: Callable[[torch.Tensor], torch.Tensor],
    data: ImageSet,
    images: Sequence[int],
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    batch: int,
    bfloat16: bool = False,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """What a network answers to some images of a set.

    Parameters
    ----------
    forward : float ``(B, 3, size, size)``, normalised, to logits ``(B, classes)``
    data : resized to the network's size as its ``resize`` says; without it, images are taken whole
    images : indices
    size : edge in pixels
    mean, std : normalisation
    batch : images at once
    bfloat16 : under autocast, faster where the processor can
    progress : called with the finished share

    Returns
    -------
    float32 ``(images, classes)``
    """
    parts, done, resize = [], 0, getattr(data, "resize", False)
    for chosen in batches(np.asarray(images), batch):
        pixels = np.stack([crop(data.image(int(index)), size, resize=resize) for index in chosen])
        # not inference_mode: a network that is trained on may keep tensors of this call
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            parts.append(forward(normalise(pixels, mean, std)).float().cpu().numpy())
        done += len(chosen)
        if progress:
            progress(done / len(images))
    return np.concatenate(parts)


def batches(items: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """``items`` in slices of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start:start + size]


def _choose(available: int, count: int | None, generator: np.random.Generator) -> list[int]:
    if count is None or count >= available:
        return list(range(available))
    return sorted(int(i) for i in generator.choice(available, count, replace=False))


def _photograph_crops(size: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Random square parts (30 % to all of the shorter side, half of them mirrored) of the shipped photographs."""
    import skimage  # only its files are used

    folder = Path(skimage.__file__).parent / "data"
    photographs = [load_image(folder / name) for name in PHOTOGRAPHS]
    crops = []
    for index in range(count):
        image = photographs[index % len(photographs)]
        edge = int(min(image.size) * generator.uniform(0.3, 1.0))
        left, top = (int(generator.integers(0, side - edge + 1)) for side in image.size)
        part = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + edge, top + edge))
        pixels = np.asarray(part)
        crops.append(pixels[:, ::-1] if generator.random() < 0.5 else pixels)
    return np.stack(crops)
