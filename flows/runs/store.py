"""The store of runs: every command that measures something keeps its report here, and dashboards read it.

A run is a folder ``<kind>-<label>-<8 hex digits>`` with ``report.json`` and whatever belongs to it. The digits are a
hash of what was asked for, so that the same question again replaces the old answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.files import write_json
from flows.contracts.hardware import HardwareConfig

KINDS = {
    "sim": "one image on the simulated accelerator",
    "batch": "several images in one run of the simulated accelerator",
    "hls": "images on the natively compiled HLS models",
    "eval": "accuracy on labelled images",
    "resources": "what the accelerator takes of an FPGA",
    "search": "the search for a configuration on a board",
    "bench": "cycles, utilization and speed over models and sizes",
    "sweep": "a grid of networks, configurations and boards",
    "vivado": "what Vivado or Vitis reported about a board's folder",
    "vitis_hls": "what Vitis HLS estimated of the C++ models",
}
"""Kinds of reports, and what they tell."""

FORMAT = 1
"""Version of the stamp; readers refuse later ones."""

REPORT, DETAILS, PICTURE = "report.json", "details.json", "picture.png"
"""Files of a run: the report; of a simulation also what :mod:`flows.runs.details` keeps, and what the network saw."""
ENVIRONMENT = "SIEVIT_RUNS"


@dataclass(frozen=True)
class Kept:
    """A run of the store.

    Attributes
    ----------
    kind : a key of :data:`KINDS`
    name : of its folder
    folder : where its files are
    content : its report
    """

    kind: str
    name: str
    folder: Path
    content: dict[str, Any]


def runs_folder() -> Path:
    """Where runs are kept: the environment variable ``SIEVIT_RUNS``, else ``out/runs`` below the working directory."""
    return Path(os.environ.get(ENVIRONMENT) or Path("out") / "runs")


def stamp(kind: str, *, artifact: SparseVit | str | None = None, config: HardwareConfig | str | None = None
          ) -> dict[str, Any]:
    """First keys of a report: what it is, and which network and hardware it is about, so that reports find each other.

    Parameters
    ----------
    kind : a key of :data:`KINDS`
    artifact : the network, if it is about one, or its content hash
    config : the hardware, if it is about one, or its hash as 8 hex digits
    """
    digest = artifact.content_hash() if isinstance(artifact, SparseVit) else artifact
    return {"kind": kind, "format": FORMAT, "sievit": version("sievit"),
            "artifact_hash": digest[:16] if digest is not None else None,
            "config_hash": f"{config.config_hash():08x}" if isinstance(config, HardwareConfig) else config}


def keep(content: Mapping[str, Any], label: str, key: object,
         attach: Mapping[str, Callable[[Path], None]] | None = None, root: Path | None = None) -> Path:
    """Keep a report; the folder appears with everything in it, or not at all.

    Parameters
    ----------
    content : the report, stamped
    label : what a person would call it, as ``deit_t-zcu102``
    key : what was asked for, anything JSON can hold; equal keys replace each other
    attach : writers of further files by name, each called with the path to write
    root : the store, by default :func:`runs_folder`

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        When the store cannot be written.
    """
    root = root or runs_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"runs cannot be kept in {root} ({error.strerror}); set {ENVIRONMENT} to a folder that can "
                          "be written") from None
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:8]
    folder = root / f"{content['kind']}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', label)}-{digest}"
    part = Path(tempfile.mkdtemp(dir=root, prefix=".part-"))
    try:
        write_json(part / REPORT, content)
        for name, write in (attach or {}).items():
            write(part / name)
        part.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def kept_by(path: Path) -> Kept:
    """The run in a folder of the store, or a report file by itself.

    Raises
    ------
    ConfigError
        When there is no report, it is damaged, or a later version wrote it.
    """
    file = path / REPORT if path.is_dir() else path
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"no such report: {file}; run 'make sim' first, or name what a command wrote") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read as a report ({error}); run its command again") from None
    if not isinstance(content, dict) or content.get("kind") not in KINDS:
        raise ConfigError(f"{file} is no report of sievit; name a file that sim, eval, resources or bench wrote")
    if content.get("format") != FORMAT:
        raise ConfigError(f"{file} has format {content.get('format')!r}, this version reads {FORMAT}; run its command "
                          "again")
    name = file.parent.name if file.name == REPORT and path.is_dir() else file.stem
    return Kept(content["kind"], name, file.parent, content)


def find(root: Path | None = None) -> list[Kept]:
    """All runs of the store in the order of their names; folders without a readable report are left out."""
    root = root or runs_folder()
    found = []
    for folder in sorted(root.glob("*/")) if root.is_dir() else []:
        if not folder.name.startswith("."):
            try:
                found.append(kept_by(folder))
            except ConfigError:
                continue
    return found
