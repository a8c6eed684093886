"""Checkpoints: the whole state of a run in one file, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from flows.contracts.errors import ConfigError
from flows.contracts.files import replacing

VERSION = 1
NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, recipe: dict[str, Any], content: dict[str, Any]) -> None:
    """Write ``content`` (tensors, numbers, texts in dicts and lists) as the checkpoint of a run."""
    with replacing(folder / NAME) as part:
        torch.save({"version": VERSION, "recipe": recipe, **content}, part)


def load_checkpoint(folder: Path, recipe: dict[str, Any]) -> dict[str, Any] | None:
    """The checkpoint in ``folder``, or None when there is none.

    Raises
    ------
    ConfigError
        When it is damaged, of another version, or of another recipe (names the first field that differs).
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        version = content["version"]
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(f"{path} is no checkpoint or is damaged ({reason}); delete it to start again") from None
    if version != VERSION:
        raise ConfigError(f"{path} has checkpoint version {version}, this sievit reads {VERSION}; train with --restart")
    changed = first_difference(content["recipe"], recipe)
    if changed:
        raise ConfigError(f"{path} was made with another recipe ({changed} differs); train with --restart or another "
                          "--out")
    return content


def first_difference(one: Any, other: Any, path: str = "") -> str:
    """Dotted name of the first field in which two recipes differ; empty when they are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            found = first_difference(one.get(key), other.get(key), f"{path}.{key}".lstrip("."))
            if found:
                return found
        return ""
    return "" if one == other else path
