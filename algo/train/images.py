"""Labelled images to train on and to score: packs, folders with one folder per class, or a class of the user's own."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from flows.contracts.errors import ConfigError
from flows.contracts.images import load_folder, load_pack


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


def load_images(source: str) -> ImageSet:
    """The data set that a recipe names.

    Parameters
    ----------
    source : ``.npz`` pack, folder, ``module:Class`` or ``module:Class(argument)``; the argument is passed as text

    Raises
    ------
    ConfigError, ImageError
        When there is no such thing, or it is unusable.
    """
    path = Path(source)
    if path.is_dir():
        return load_folder(path)
    if path.suffix == ".npz" or path.is_file() or ":" not in source:
        return load_pack(path)
    return _own(source)


def _own(source: str) -> ImageSet:
    module, _, call = source.partition(":")
    name, parenthesis, argument = call.partition("(")
    try:
        factory = getattr(importlib.import_module(module), name)
        made = factory(argument.rstrip(")")) if parenthesis else factory()
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"data set {source!r} cannot be made ({error}); give module:Class or module:Class(argument)"
                          ) from None
    if not isinstance(made, ImageSet) or len(made.label) != len(made):
        raise ConfigError(f"data set {source!r} needs label, names, __len__ and image(index), and a label per image")
    return made
