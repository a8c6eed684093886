"""Program files: a safetensors container with the stream, the schedules and the manifest, versioned and checksummed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from flows.compile.program import Program
from flows.compile.schedule import Schedule
from flows.contracts.errors import ArtifactError, ConfigError
from flows.contracts.files import replacing
from flows.contracts.hardware import HardwareConfig
from flows.contracts.program import HELLO, MAGIC, VERSION, unpack

FORMAT_VERSION = 1
METADATA = "sievit_program"
PARTS = ("job", "source", "drain", "merge")


def save_program(program: Program, path: Path | str) -> None:
    """Write a program (atomically: a temporary file is renamed)."""
    tensors = {"stream": np.ascontiguousarray(program.stream)}
    for index, placed in enumerate(program.placements):
        for part in PARTS:
            tensors[f"{index}.{part}"] = np.ascontiguousarray(getattr(placed, part))
    body = {"config": program.config.to_dict(), "manifest": program.manifest}
    # One entry: safetensors writes several in random order, and equal programs shall give equal files.
    metadata = {METADATA: json.dumps({"format": FORMAT_VERSION, "sha256": _digest(tensors, body), **body})}
    with replacing(path) as part:
        safetensors.numpy.save_file(tensors, str(part), metadata=metadata)


def load_program(path: Path | str, config: HardwareConfig | None = None) -> Program:
    """Read and verify a program.

    Parameters
    ----------
    path : file written by :func:`save_program`
    config : the hardware it has to be for; any when None

    Raises
    ------
    ArtifactError
        When the file is missing, no program, damaged, of another version, or for another hardware configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"no program at {path}; make one with 'sievit compile'")
    try:
        with safetensors.safe_open(str(path), "np") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise ArtifactError(f"{path} is no sievit program or is truncated ({error}); compile it again") from None
    if METADATA not in metadata:
        raise ArtifactError(f"{path} is a safetensors file but no sievit program; make one with 'sievit compile'")
    meta = _parse(metadata[METADATA])
    if meta.get("format", FORMAT_VERSION) != FORMAT_VERSION:
        raise ArtifactError(f"{path} has program format {meta['format']}, this sievit reads {FORMAT_VERSION}; "
                            "compile it again")
    if meta.get("sha256") != _digest(tensors, {key: meta.get(key) for key in ("config", "manifest")}):
        raise ArtifactError(f"{path} is damaged (checksum differs); compile it again")
    program = _rebuild(path, meta, tensors)
    _check_hello(path, program)
    if config is not None and config.config_hash() != program.config.config_hash():
        raise ArtifactError(f"{path} was compiled for hardware {program.config.config_hash():08x}, this is "
                            f"{config.config_hash():08x} ({_difference(program.config, config)}); compile it again")
    return program


def _parse(text: str) -> dict:
    """The description; empty, and so without checksum, when it is damaged."""
    try:
        meta = json.loads(text)
    except ValueError:
        return {}
    return meta if isinstance(meta, dict) else {}


def _rebuild(path: Path, meta: dict, tensors: dict[str, np.ndarray]) -> Program:
    try:
        manifest = meta["manifest"]
        placements = tuple(Schedule(*(tensors[f"{index}.{part}"] for part in PARTS), waits=entry["wait_slots"],
                                    drain_waits=entry["drain_wait_slots"])
                           for index, entry in enumerate(manifest["steps"]))
        return Program(tensors["stream"], HardwareConfig.from_dict(meta["config"]), manifest, placements)
    except (KeyError, TypeError, ConfigError) as error:
        raise ArtifactError(f"{path} is incomplete ({error}); compile it again") from None


def _check_hello(path: Path, program: Program) -> None:
    """The stream itself must be of this version and for the configuration stored beside it."""
    hello = unpack(HELLO, int.from_bytes(program.stream[:program.config.stream_bytes].tobytes(), "little"))
    if hello["magic"] != MAGIC or hello["words"] != program.words:
        raise ArtifactError(f"{path} holds no complete program stream; compile it again")
    if hello["version"] != VERSION:
        raise ArtifactError(f"{path} has stream version {hello['version']}, this sievit reads {VERSION}; "
                            "compile it again")
    if hello["config_hash"] != program.config.config_hash():
        raise ArtifactError(f"{path} was compiled for hardware {hello['config_hash']:08x}, but says "
                            f"{program.config.config_hash():08x}; compile it again")


def _difference(stored: HardwareConfig, wanted: HardwareConfig) -> str:
    """Fields that differ, as ``clusters 4 instead of 8``."""
    left, right = stored.to_dict(), wanted.to_dict()
    return ", ".join(f"{name} {left[name]} instead of {right[name]}" for name in left
                     if left[name] != right[name] and name != "clock_mhz")


def _digest(tensors: dict[str, np.ndarray], body: dict) -> str:
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()
