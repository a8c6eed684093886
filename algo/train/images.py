"""Images to train on: packs, folders with one folder per class, or a class of the user's own."""

from __future__ import annotations

import importlib
from pathlib import Path

from flows.contracts.errors import ConfigError
from flows.contracts.images import ImageSet, open_images


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
    if path.exists() or path.suffix == ".npz" or ":" not in source:
        return open_images(path)
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
