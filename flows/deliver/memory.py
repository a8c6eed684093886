"""What lies in the accelerator's memory: program, images, outputs; and a run whose result is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.compile import Program, image_words
from flows.contracts.artifact import SparseVit
from flows.contracts.hardware import PAGE_BYTES, WORD_BITS, HardwareConfig, ceil_div

LOGIT_WORD_BYTES = WORD_BITS // 8
HEX_BYTES = 16
"""Bytes of a line of a memory initialization file."""


@dataclass(frozen=True, eq=False)
class TestRun:
    """An image as the hardware takes it, and what it must answer.

    Attributes
    ----------
    codes : int8 ``(tokens, patch inputs)``
    logits : int16 ``(classes,)`` of the golden model
    tokens_kept : tokens alive after each token drop, as the TOKENS_KEPT registers show them
    picture : what the image is
    """

    __test__ = False  # no class of pytest

    codes: np.ndarray
    logits: np.ndarray
    tokens_kept: tuple[int, ...]
    picture: str


def page_round(size: int) -> int:
    """``size`` in bytes, rounded up to whole pages."""
    return ceil_div(size, PAGE_BYTES) * PAGE_BYTES


def output_bytes(config: HardwareConfig) -> int:
    """Bytes of one image's output buffer that the hardware may write: all classes it can hold."""
    return config.class_cols * LOGIT_WORD_BYTES


def memory_map(program: Program) -> dict[str, Any]:
    """Buffers of one run with one image, as offsets from an address of the user's choice (a multiple of 4 KiB).

    Returns
    -------
    ``{"bytes": of all, "alignment": 4096, "program": {"offset", "bytes"}, "image": ..., "output": ...}``
    """
    config, manifest = program.config, program.manifest
    image = manifest["tokens"] * ceil_div(manifest["patch_inputs"], config.stream_bytes) * config.stream_bytes
    sizes = {"program": program.stream.size, "image": image, "output": output_bytes(config)}
    places: dict[str, Any] = {}
    offset = 0
    for name, size in sizes.items():
        places[name] = {"offset": offset, "bytes": size}
        offset += page_round(size)
    return {"bytes": offset, "alignment": PAGE_BYTES, "image_stride": page_round(image),
            "output_stride": page_round(sizes["output"]), **places}


def memory_image(program: Program, test: TestRun) -> bytes:
    """All bytes of :func:`memory_map`: the program, the test image, and zeros where the output will be."""
    places = memory_map(program)
    content = bytearray(places["bytes"])
    for name, part in (("program", program.stream), ("image", image_words(program, test.codes))):
        data = part.tobytes()
        content[places[name]["offset"]:places[name]["offset"] + len(data)] = data
    return bytes(content)


def hex_lines(content: bytes) -> str:
    """``content`` for ``$readmemh``: a line per 16 bytes, the byte of the highest address first."""
    rows = np.frombuffer(content, np.uint8).reshape(-1, HEX_BYTES)[:, ::-1]
    text = rows.tobytes().hex()
    width = 2 * HEX_BYTES
    return "\n".join(text[at:at + width] for at in range(0, len(text), width)) + "\n"


def golden_run(artifact: SparseVit, program: Program, codes: np.ndarray, picture: str) -> TestRun:
    """Run the golden model on patch codes, int8 ``(tokens, patch inputs)``."""
    from flows.sim_flow import tokens_after_drops
    from sim.golden.network import run

    result = run(artifact, codes)
    return TestRun(codes, result.logits, tuple(tokens_after_drops(program, result).values()), picture)


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
