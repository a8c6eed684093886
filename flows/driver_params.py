"""What the driver has to know of one accelerator and its program, as data: the content of ``params.json``.

The layout is described in ``docs/driver.md``. The driver itself (``boards/driver``, ``boards/c``) is copied unchanged.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from flows.compile.program import Program
from flows.contracts import registers
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.files import replacing
from flows.contracts.hardware import PAGE_BYTES, HardwareConfig
from flows.contracts.preprocess import CROP_FRACTION
from flows.contracts.program import HELLO, MAGIC, VERSION
from flows.registers_c import c_header, c_network_header

FORMAT = 1
"""Version of the layout; the driver reads one."""

PROGRAM_FILE = "program.bin"
PARAMS_FILE = "params.json"
BOARDS = Path(__file__).resolve().parent.parent / "boards"


def driver_params(program: Program, artifact: SparseVit, *, program_file: str = PROGRAM_FILE) -> dict[str, Any]:
    """The content of params.json.

    Parameters
    ----------
    program : compiled from ``artifact``; its configuration is the hardware's, ``clock_mhz`` included
    artifact : gives pictures' preprocessing and the classes' names
    program_file : where the program lies, relative to params.json

    Raises
    ------
    ConfigError
        When the program was compiled from another artifact.
    """
    if program.manifest["artifact_hash"] != artifact.content_hash():
        raise ConfigError("the program was compiled from another artifact; compile it again")
    stream = program.stream.tobytes()
    return {
        "format": FORMAT,
        "hardware": _hardware(program.config),
        "network": _network(artifact),
        "program": {"file": program_file, "bytes": len(stream), "sha256": hashlib.sha256(stream).hexdigest(),
                    "words": program.words, "artifact_hash": program.manifest["artifact_hash"],
                    "expected_cycles": program.manifest["totals"]["expected_cycles"]},
        "registers": [_register(entry) for entry in registers.REGISTERS],
        "errors": [_error(code) for code in registers.Error],
        "hello": _hello(),
    }


def write_driver(program: Program, artifact: SparseVit, folder: Path | str) -> dict[str, Any]:
    """Write the whole driver: what is generated, and copies of what is not.

    Parameters
    ----------
    program, artifact : as for :func:`driver_params`
    folder : gets ``params.json``, ``program.bin``, ``regmap.md``, the Python package ``vit_accel``, and ``c`` with
        the C driver and its two generated headers

    Returns
    -------
    dict
        The content of params.json.
    """
    folder = Path(folder)
    params = driver_params(program, artifact)
    texts = {PARAMS_FILE: json.dumps(params, indent=1) + "\n", "regmap.md": registers.markdown(),
             "c/vit_accel_registers.h": c_header(program.config),
             "c/vit_accel_network.h": c_network_header(params)}
    sources = {f"vit_accel/{path.name}": path for path in sorted((BOARDS / "driver").glob("*.py"))}
    sources |= {f"c/{path.name}": path for path in sorted((BOARDS / "c").glob("*.[ch]"))}
    for name, text in texts.items():
        with replacing(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    for name, source in sources.items():
        with replacing(folder / name) as part:
            shutil.copyfile(source, part)
    with replacing(folder / PROGRAM_FILE) as part:
        part.write_bytes(program.stream.tobytes())
    return params


def _hardware(config: HardwareConfig) -> dict[str, Any]:
    return {
        "id": registers.ID_VALUE, "version": registers.VERSION_VALUE, "config_hash": config.config_hash(),
        "config": config.to_dict(), "clock_mhz": config.clock_mhz, "magic": MAGIC, "program_version": VERSION,
        "stream_bytes": config.stream_bytes, "page_bytes": PAGE_BYTES,
        "default_watchdog": registers.DEFAULT_WATCHDOG,
    }


def _network(artifact: SparseVit) -> dict[str, Any]:
    return {
        "model": artifact.model, "weights": artifact.weights, "tokens": artifact.tokens,
        "patch_inputs": int(artifact.embed.weight.shape[1]), "classes": int(artifact.head.weight.shape[0]),
        "class_names": list(artifact.class_names), "image_size": artifact.image_size, "patch": artifact.patch,
        "mean": list(artifact.mean), "std": list(artifact.std), "input_scale": artifact.input_scale,
        "crop_fraction": CROP_FRACTION,
    }


def _register(entry: registers.Register) -> dict[str, Any]:
    fields = [{"name": field.name, "low": field.low, "width": field.width, "doc": field.doc,
               "access": (field.access or entry.access).value} for field in entry.fields]
    return {"name": entry.name, "offset": entry.offset, "access": entry.access.value, "doc": entry.doc,
            "count": entry.count, "fields": fields}


def _error(code: registers.Error) -> dict[str, Any]:
    return {"code": int(code), "name": code.name, "text": registers.error_text(code).split(": ", 1)[1]}


def _hello() -> list[dict[str, Any]]:
    entries, low = [], 0
    for name, width in HELLO:
        entries.append({"name": name, "low": low, "width": width})
        low += width
    return entries
