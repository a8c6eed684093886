"""From an image file to the int8 patch codes of an artifact, with PIL and NumPy only (no torch).

The float model and the integer model see the same pixels: both start from :func:`crop`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ImageError
from flows.contracts.numerics import INT8_MAX

CROP_FRACTION = 0.9
"""Share of the resized shorter side that the centre crop keeps (timm's ``crop_pct`` of the DeiT models)."""


def load_image(path: Path | str) -> Image.Image:
    """Read an image file as RGB, turned upright as its EXIF data say.

    Raises
    ------
    ImageError
        When the file is missing, is no image, or is truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"no image file at {path}; give the path of a JPEG, PNG or other picture")
    try:
        with Image.open(path) as image:
            return to_rgb(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).replace(str(path), path.name)
        raise ImageError(f"{path} cannot be read as an image ({reason}); give a JPEG, PNG or other picture") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """``image`` as 8-bit RGB; 16-bit grey is scaled, transparent parts become white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.clip(np.asarray(image, dtype=np.int64), 0, 65535) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(canvas, image).convert("RGB")
    return image.convert("RGB")


def crop(image: Image.Image, size: int, *, resize: bool = True) -> np.ndarray:
    """Resize (bicubic, shorter side to ``size / 0.9``) and crop the centre, as timm's evaluation transform does.

    Parameters
    ----------
    image : RGB image
    size : edge of the result in pixels
    resize : ``False`` only crops, for data sets whose images were resized before; smaller images are still enlarged

    Returns
    -------
    uint8 ``(size, size, 3)``
    """
    shorter = min(image.size)
    target = math.floor(size / CROP_FRACTION) if resize else max(size, shorter)
    if shorter != target:
        # torchvision's rule: the longer side is truncated, not rounded
        width, height = (target if side == shorter else int(target * side / shorter) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (round((side - size) / 2) for side in image.size)
    return np.array(image.convert("RGB").crop((left, top, left + size, top + size)))


def patch_codes(image: Image.Image, artifact: SparseVit, *, resize: bool = True) -> np.ndarray:
    """Patch codes of one image in the layout of ``docs/numerics.md`` section 2.

    Parameters
    ----------
    image : RGB image of any size
    artifact : gives image size, patch size, mean, standard deviation and ``input_scale``
    resize : as for :func:`crop`

    Returns
    -------
    int8 ``(N, P)``, ``P = patch * patch * 3`` in the order (channel, row, column); row 0 (the CLS token) is zero
    """
    pixels = crop(image, artifact.image_size, resize=resize)
    table = code_table(artifact.mean, artifact.std, artifact.input_scale)
    return pixel_patches(pixels, table, artifact.patch)


def code_table(mean: tuple[float, ...], std: tuple[float, ...], input_scale: float) -> np.ndarray:
    """The int8 code of each of the 256 values of a pixel, per colour channel: ``(3, 256)``."""
    real = (np.arange(256)[None, :] / 255 - np.array(mean)[:, None]) / np.array(std)[:, None]
    return np.clip(np.rint(real / input_scale), -INT8_MAX, INT8_MAX).astype(np.int8)


def pixel_patches(pixels: np.ndarray, table: np.ndarray, patch: int) -> np.ndarray:
    """Cut uint8 pixels ``(size, size, 3)`` into patches and code them with ``table``: int8 ``(N, P)``."""
    size = pixels.shape[0]
    grid = size // patch
    planes = np.stack([table[channel][pixels[:, :, channel]] for channel in range(3)])
    tiles = planes[:, : grid * patch, : grid * patch].reshape(3, grid, patch, grid, patch)
    codes = np.zeros((1 + grid * grid, 3 * patch * patch), dtype=np.int8)
    codes[1:] = tiles.transpose(1, 3, 0, 2, 4).reshape(grid * grid, -1)
    return codes
