"""Program files: read and verified without anything but NumPy.

Two kinds are read: the plain stream (``program.bin``) that a ``params.json`` describes, and the safetensors container
that ``sievit compile`` writes. Either has a SHA-256 of its own, and the stream says for which hardware it is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ConfigMismatchError, ProgramError
from .parameters import Network, Parameters

CONTAINER_FORMAT = 1
"""Version of the safetensors container that this driver reads."""
_CONTAINER_KEY = "sievit_program"
_TYPES = {"U8": "u1", "I8": "i1", "BOOL": "?", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
          "U64": "<u8", "I64": "<i8"}


@dataclass(frozen=True, eq=False)
class Program:
    """A program, ready to be written to memory.

    Attributes
    ----------
    stream : uint8, what the hardware reads
    network : what it computes
    config_hash : of the hardware it is for
    """

    stream: np.ndarray
    network: Network
    config_hash: int


def read_program(file: object, params: Parameters, *, check: bool = True) -> Program:
    """Read a program and verify checksum, version and hardware configuration.

    Parameters
    ----------
    file : a program container, or the params.json that describes a ``program.bin``; the program of ``params`` when None
    params : of the hardware that shall run it
    check : ``False`` lets programs for other hardware pass, which the hardware itself then refuses

    Raises
    ------
    ProgramError
        When it is missing, damaged, of another version, or not what its description says.
    ConfigMismatchError
        When it was compiled for another hardware configuration.
    """
    if file is None:
        program = _plain(params, params)
    elif str(file).endswith(".json"):
        program = _plain(Parameters.load(file), params)
    else:
        program = _container(Path(str(file)), params)
    wanted = params.hardware["config_hash"]
    if check and program.config_hash != wanted:
        raise ConfigMismatchError(f"the program was compiled for hardware {program.config_hash:08x}, this is "
                                  f"{wanted:08x}; compile it for this one", wanted, program.config_hash)
    return program


def _plain(described: Parameters, params: Parameters) -> Program:
    path = described.folder / described.program["file"]
    stream = np.frombuffer(_content(path), np.uint8)
    if hashlib.sha256(stream.tobytes()).hexdigest() != described.program["sha256"]:
        raise ProgramError(f"{path} is damaged or not the program that was described (checksum differs); copy it again")
    return _checked(path, stream, described.network, params)


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise ProgramError(f"no program at {path}; copy the one that was generated with the hardware")
    return path.read_bytes()


def _container(path: Path, params: Parameters) -> Program:
    tensors, meta = _safetensors(path, _content(path))
    if meta.get("format") != CONTAINER_FORMAT:
        raise ProgramError(f"{path} has program format {meta.get('format')}, this driver reads {CONTAINER_FORMAT}; "
                           "use the driver that was generated with the hardware")
    if meta.get("sha256") != _digest(tensors, {key: meta.get(key) for key in ("config", "manifest")}):
        raise ProgramError(f"{path} is damaged (checksum differs); copy it again")
    manifest = meta["manifest"]
    network = params.network
    if manifest["artifact_hash"] != params.program.get("artifact_hash"):
        # The container does not say how pixels become codes, nor what the classes are called.
        network = Network(manifest["model"], manifest["weights"], manifest["tokens"], manifest["patch_inputs"],
                          manifest["classes"])
    return _checked(path, tensors["stream"], network, params)


def _safetensors(path: Path, content: bytes) -> tuple:
    """Tensors by name, and the description, of a safetensors file: length, JSON header, data."""
    try:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8:8 + size].decode("utf-8"))
        meta = json.loads(header.pop("__metadata__")[_CONTAINER_KEY])
        body = memoryview(content)[8 + size:]
        tensors = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(body[begin:end], _TYPES[entry["dtype"]]).reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProgramError(f"{path} is no sievit program or is damaged ({type(error).__name__}: {error}); give a file "
                           "of 'sievit compile', or a params.json that describes a program.bin") from None
    return tensors, meta


def _digest(tensors: dict, body: dict) -> str:
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _checked(path: Path, stream: np.ndarray, network: Network, params: Parameters) -> Program:
    """The stream's own header must agree with everything else that is known."""
    hardware = params.hardware
    head = int.from_bytes(stream[:hardware["stream_bytes"]].tobytes(), "little")
    hello = {name: head >> low & ((1 << width) - 1) for name, (low, width) in params.hello.items()}
    if stream.size < hardware["stream_bytes"] or hello["magic"] != hardware["magic"]:
        raise ProgramError(f"{path} holds no program stream; compile it again")
    if hello["version"] != hardware["program_version"]:
        raise ProgramError(f"{path} has stream version {hello['version']}, the hardware runs "
                           f"{hardware['program_version']}; compile it again")
    # The width of a word is the hardware's: of a program for other hardware only the hash tells.
    ours = hello["config_hash"] == hardware["config_hash"]
    words = stream.size // hardware["stream_bytes"]
    if ours and (hello["words"] != words or hello["image_tokens"] != network.tokens):
        raise ProgramError(f"{path} is incomplete or does not belong to its description; copy it again")
    return Program(stream, network, hello["config_hash"])
