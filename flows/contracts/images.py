"""Labelled images: data packs and folders. NumPy and PIL only, so that integers can be evaluated without torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from flows.contracts.errors import ImageError
from flows.contracts.preprocess import load_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")


@runtime_checkable
class ImageSet(Protocol):
    """What a data set has to offer; a class of the user's own needs just this.

    One that has ``resize = True`` as well holds images with a margin: the centre of 90 % is looked at when they are
    scored, as timm does. Otherwise the whole image is.

    Attributes
    ----------
    label : integers ``(images,)``, from 0
    names : class names; may be empty
    """

    @property
    def label(self) -> np.ndarray:
        """Class numbers."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Class names."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def image(self, index: int) -> Image.Image:
        """Image ``index`` as RGB, of any size."""
        ...


class LabelledImages(ImageSet, Protocol):
    """What an evaluation needs of a set of images."""

    @property
    def resize(self) -> bool:
        """Images have any size and are to be resized; otherwise they were before, and only the centre is cut."""
        ...


@dataclass(frozen=True, eq=False)
class Pack:
    """A set of JPEG images in one ``.npz`` file.

    Attributes
    ----------
    jpeg : uint8, all files one after the other
    offset : int64 ``(images + 1,)``, where each begins
    label : int16 ``(images,)``
    names : class names
    resize : images are resized before their centre is cut
    """

    jpeg: np.ndarray
    offset: np.ndarray
    label: np.ndarray
    names: tuple[str, ...]
    resize: bool = False

    def __len__(self) -> int:
        return len(self.offset) - 1

    def image(self, index: int) -> Image.Image:
        """Decode image ``index`` as RGB."""
        data = self.jpeg[self.offset[index]:self.offset[index + 1]].tobytes()
        return Image.open(io.BytesIO(data)).convert("RGB")


def load_pack(path: Path | str) -> Pack:
    """Read a data pack.

    Raises
    ------
    ImageError
        When the file is missing, is no data pack, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"no data pack at {path}; give an .npz file with jpeg, offset and label")
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            names = tuple(str(name) for name in file["names"]) if "names" in file else ()
            pack = Pack(file["jpeg"], file["offset"], file["label"], names)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ImageError(f"{path} is no data pack or is damaged ({error}); it needs jpeg, offset and label") from None
    if len(pack.offset) != len(pack.label) + 1 or pack.offset[-1] != len(pack.jpeg):
        raise ImageError(f"{path} is damaged: its offsets do not fit its images")
    return pack


@dataclass(frozen=True, eq=False)
class Folder:
    """Image files of any size in subfolders, one per class.

    Attributes
    ----------
    paths : files, sorted by class and name
    label : int64 ``(images,)``
    names : of the subfolders, sorted; their order gives the labels
    """

    paths: tuple[Path, ...]
    label: np.ndarray
    names: tuple[str, ...]
    resize: bool = True

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> Image.Image:
        """Read image ``index`` as RGB."""
        return load_image(self.paths[index])


def load_folder(path: Path) -> Folder:
    """List a folder whose subfolders are classes.

    Raises
    ------
    ImageError
        When it has no subfolder with images.
    """
    classes = sorted(child for child in path.iterdir() if child.is_dir())
    found = [(file, label) for label, child in enumerate(classes) for file in sorted(child.rglob("*"))
             if file.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise ImageError(f"no images in subfolders of {path}; it needs one folder per class, as cats/1.jpg")
    return Folder(tuple(file for file, _ in found), np.array([label for _, label in found]),
                  tuple(child.name for child in classes))


def open_images(path: Path | str) -> LabelledImages:
    """A data pack, or a folder with one subfolder per class.

    Raises
    ------
    ImageError
        When it is neither, or is damaged.
    """
    path = Path(path)
    return load_folder(path) if path.is_dir() else load_pack(path)
