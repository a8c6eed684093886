"""From a picture to the patch codes that the accelerator reads, with NumPy alone.

The same integers as ``sievit``'s own preprocessing and, for resizing, as Pillow 13's bicubic filter: coefficients with
22 fraction bits, one axis after the other, each rounded to a pixel.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from .errors import PictureError
from .parameters import Network

PRECISION = 22
"""Fraction bits of a filter coefficient: 32 less 8 of a pixel and 2 for overshoot, as in Pillow."""
SUPPORT = 2.0
"""Half the width of the bicubic filter in source pixels."""


def load_picture(path: object) -> np.ndarray:
    """Read a picture file as RGB, turned upright as its EXIF data say. Needs Pillow.

    Returns
    -------
    uint8 ``(height, width, 3)``

    Raises
    ------
    PictureError
        When Pillow or the file is missing, or the file cannot be read.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise PictureError("reading picture files needs Pillow; install it (pip install pillow), or give the pixels as "
                           "an array") from None
    path = Path(str(path))
    if not path.is_file():
        raise PictureError(f"no picture at {path}; give the path of a JPEG, PNG or other picture")
    try:
        with Image.open(path) as image:
            return rgb_array(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path} cannot be read as a picture ({error}); give a JPEG, PNG or other picture") from None


def rgb_array(image: Any) -> np.ndarray:
    """Pixels of a Pillow image as uint8 RGB; 16-bit grey is scaled, transparent parts become white."""
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.clip(np.asarray(image, dtype=np.int64), 0, 65535) >> 8
        return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    palette_alpha = image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info or palette_alpha:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, "white")
        return np.array(Image.alpha_composite(canvas, image).convert("RGB"))
    return np.array(image.convert("RGB"))


def to_codes(picture: object, network: Network, *, resize: bool = True) -> np.ndarray:
    """Patch codes of one picture.

    Parameters
    ----------
    picture : uint8 ``(height, width, 3)`` or ``(height, width)``, a Pillow image, or int8 patch codes
        ``(tokens, patch inputs)``, which are passed on
    network : gives sizes, mean, standard deviation and scale
    resize : ``False`` only crops the centre; smaller pictures are still enlarged

    Returns
    -------
    int8 ``(tokens, patch inputs)``, row 0 (the CLS token) zero

    Raises
    ------
    PictureError
        When it is neither.
    """
    if hasattr(picture, "mode") and hasattr(picture, "convert"):
        picture = rgb_array(picture)
    array = np.asarray(picture)
    if array.dtype == np.int8 and array.ndim == 2:
        if array.shape != (network.tokens, network.patch_inputs):
            raise PictureError(f"the program takes patch codes of shape {(network.tokens, network.patch_inputs)}, not "
                               f"{array.shape}")
        return array
    if not network.takes_pictures:
        raise PictureError("the program does not say how pixels become patch codes; give int8 patch codes "
                           f"{(network.tokens, network.patch_inputs)}, or load it by its params.json")
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise PictureError(f"a picture is uint8 (height, width, 3), not {array.dtype} {array.shape}")
    pixels = crop(array, network.image_size, network.crop_fraction, resize=resize)
    return pixel_patches(pixels, code_table(network), network.patch)


def crop(picture: np.ndarray, size: int, fraction: float, *, resize: bool = True) -> np.ndarray:
    """Resize the shorter side to ``size / fraction`` and crop the centre: uint8 ``(size, size, 3)``."""
    sides = (picture.shape[1], picture.shape[0])
    shorter = min(sides)
    target = math.floor(size / fraction) if resize else max(size, shorter)
    if shorter != target:
        sides = tuple(target if side == shorter else int(target * side / shorter) for side in sides)
        picture = bicubic(picture, sides[0], sides[1])
    left, top = (round((side - size) / 2) for side in sides)
    return picture[top:top + size, left:left + size]


def bicubic(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize uint8 ``(h, w, channels)`` with an antialiasing bicubic filter (a = -1/2)."""
    less_height, less_width = picture.shape[0] - height, picture.shape[1] - width
    # Rounding depends on the order. Older versions of Pillow always begin with the width.
    height_first = less_height > 0 and less_height > 2 * less_width
    if height_first:
        picture = _filtered(picture, height)
    if less_width:
        picture = _filtered(picture.transpose(1, 0, 2), width).transpose(1, 0, 2)
    if less_height and not height_first:
        picture = _filtered(picture, height)
    return picture


def _filtered(picture: np.ndarray, size: int) -> np.ndarray:
    """Resize the first axis."""
    result = np.empty((size, *picture.shape[1:]), np.uint8)
    for index, (first, weights) in enumerate(_coefficients(picture.shape[0], size)):
        part = picture[first:first + len(weights)].astype(np.float64)
        # Sums stay far below 2**53, so they are exact; floating point is faster.
        total = np.tensordot(weights, part, axes=1) + (1 << PRECISION - 1)
        result[index] = np.clip(np.floor(total / (1 << PRECISION)), 0, 255)
    return result


def _coefficients(source: int, size: int) -> list:
    """First source pixel and weights, integers, of every pixel of the result."""
    scale = source / size
    stretch = max(scale, 1.0)
    found = []
    for index in range(size):
        center = (index + 0.5) * scale
        first = max(int(center - SUPPORT * stretch + 0.5), 0)
        last = min(int(center + SUPPORT * stretch + 0.5), source)
        weights = np.array([_kernel((at + first - center + 0.5) / stretch) for at in range(last - first)])
        scaled = weights / weights.sum() * (1 << PRECISION)
        found.append((first, np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5))))
    return found


def _kernel(x: float) -> float:
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    if x < 2.0:
        return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return 0.0


def code_table(network: Network) -> np.ndarray:
    """The int8 code of each of the 256 values of a pixel, per colour channel: ``(3, 256)``."""
    real = (np.arange(256)[None, :] / 255 - np.array(network.mean)[:, None]) / np.array(network.std)[:, None]
    return np.clip(np.rint(real / network.input_scale), -127, 127).astype(np.int8)


def pixel_patches(pixels: np.ndarray, table: np.ndarray, patch: int) -> np.ndarray:
    """Cut uint8 pixels ``(size, size, 3)`` into patches and code them: int8 ``(1 + patches, patch inputs)``."""
    grid = pixels.shape[0] // patch
    planes = np.stack([table[channel][pixels[:, :, channel]] for channel in range(3)])
    tiles = planes[:, :grid * patch, :grid * patch].reshape(3, grid, patch, grid, patch)
    codes = np.zeros((1 + grid * grid, 3 * patch * patch), dtype=np.int8)
    codes[1:] = tiles.transpose(1, 3, 0, 2, 4).reshape(grid * grid, -1)
    return codes


def pack_codes(codes: np.ndarray, word_bytes: int) -> np.ndarray:
    """Image buffer of int8 codes ``(tokens, patch inputs)``: word ``part * tokens + t`` is part ``part`` of token t."""
    tokens, inputs = codes.shape
    parts = -(-inputs // word_bytes)
    padded = np.zeros((tokens, parts * word_bytes), np.int8)
    padded[:, :inputs] = codes
    words = padded.reshape(tokens, parts, word_bytes).transpose(1, 0, 2)
    return np.ascontiguousarray(words).reshape(-1).view(np.uint8)
