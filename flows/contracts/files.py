"""Writing files whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from flows.contracts.errors import ConfigError


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place at the end; on an error nothing is left behind.

    Parameters
    ----------
    path : file to write; its folder is made if need be
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    os.close(handle)
    part = Path(name)
    mask = os.umask(0)
    os.umask(mask)
    try:
        yield part
        # A temporary file is the owner's alone, whoever wrote it; what takes its place is an ordinary file.
        part.chmod(0o666 & ~mask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_mapping(path: Path, what: str, page: str) -> dict[str, Any]:
    """A YAML file of keys and values.

    Parameters
    ----------
    path : the file
    what : what it is, for messages, as ``"board file"``
    page : of the documentation, where its keys are described

    Raises
    ------
    ConfigError
        When it cannot be read, is no YAML, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{what} {path} must hold keys and values; see {page}")
    return content


def write_json(path: Path | str, content: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Write a report; NumPy numbers and arrays become plain ones, everything else JSON has no word for its text."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=indent, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
