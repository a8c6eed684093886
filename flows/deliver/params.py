"""``params.json``: everything about one deliverable that a driver or another tool may want to know."""

from __future__ import annotations

import dataclasses
from typing import Any

from boards.board import Board
from flows.compile import Program, estimate
from flows.contracts import registers
from flows.contracts.artifact import SparseVit
from flows.contracts.hardware import BLOCK, PAGE_BYTES, HardwareConfig, ceil_div
from flows.contracts.numerics import INT8_MAX
from flows.contracts.preprocess import code_table
from flows.deliver.memory import LOGIT_WORD_BYTES, TestRun, digest, memory_image, memory_map
from flows.deliver.shells import CLOCK, RESET
from flows.driver_params import driver_params
from rtl.verilog import TOP_MODULE


def parameters(artifact: SparseVit, program: Program, board: Board, memory_port: str | None,
               test: TestRun) -> dict[str, Any]:
    """Content of ``params.json``, JSON-compatible, the same for the same arguments.

    What the driver reads is that of :func:`flows.driver_params.driver_params`; the rest is for people and other tools.

    Parameters
    ----------
    artifact, program, board : what was compiled, for which accelerator and board
    memory_port : what ``m_axi_gmem`` is connected to: a port of the processing system, or a bank of v++
    test : a run whose result is known
    """
    config = program.config
    return {
        **driver_params(program, artifact, program_file="driver/program.bin"),
        "config_hash_hex": f"{config.config_hash():08x}",
        "kernel": TOP_MODULE,
        "board": _board(board),
        "interfaces": _interfaces(config, board, memory_port),
        "model": _model(artifact, program, board),
        "preprocessing": _preprocessing(artifact),
        "image": _image(program),
        "output": _output(artifact, config),
        "memory": {"file": "program/memory.bin", "hex": "program/memory.hex", **memory_map(program),
                   "sha256": digest(memory_image(program, test))},
        "test": {"picture": test.picture, "codes": "program/test_codes.bin", "logits": "program/test_logits.bin",
                 "tokens_kept": list(test.tokens_kept), "top": int(test.logits.argmax())},
    }


def _board(board: Board) -> dict[str, Any]:
    facts = dataclasses.asdict(board)
    del facts["sources"]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}


def _interfaces(config: HardwareConfig, board: Board, memory_port: str | None) -> dict[str, Any]:
    return {
        "clock": CLOCK, "reset": RESET, "interrupt": "interrupt",
        "control": {"name": "s_axi_control", "base": board.control_base, "bytes": 1 << registers.ADDRESS_BITS},
        "memory": {"name": "m_axi_gmem", "data_bits": config.bus_bits, "address_bits": 64,
                   "port": memory_port},
        "clock_mhz": config.clock_mhz,
    }


def _model(artifact: SparseVit, program: Program, board: Board) -> dict[str, Any]:
    """The network's shape, and the time of an image by the cycle model with the board's memory."""
    clock_mhz = program.config.clock_mhz
    cycles = estimate(program.stream, program.config, bytes_per_cycle=board.memory.usable_gbs * 1000 / clock_mhz).total
    return {
        "width": artifact.width, "depth": len(artifact.blocks), "heads": artifact.heads,
        "drops": [{"block": index, **dataclasses.asdict(block.drop)} for index, block in enumerate(artifact.blocks)
                  if block.drop is not None],
        "useful_macs": program.manifest["totals"]["useful_macs"], "expected_cycles": cycles,
        "expected_ms": cycles / (1000 * clock_mhz),
    }


def _preprocessing(artifact: SparseVit) -> dict[str, Any]:
    """From a picture to int8 codes; ``table[channel][pixel]`` includes normalization, scale and rounding."""
    return {
        "resize": "bicubic, shorter side to floor(image_size / crop_fraction), centre crop", "colour": "RGB, 8 bits",
        "order": "row 0 is zero (CLS); patch by patch from the top left; within a patch channel, row, column",
        "code_max": INT8_MAX, "table": code_table(artifact.mean, artifact.std, artifact.input_scale).tolist(),
    }


def _image(program: Program) -> dict[str, Any]:
    """Layout of the image buffer: word ``part * tokens + token`` holds ``word_bytes`` codes of that token."""
    places, manifest = memory_map(program), program.manifest
    return {
        "tokens": manifest["tokens"], "patch_inputs": manifest["patch_inputs"],
        "word_bytes": program.config.stream_bytes,
        "words_per_token": ceil_div(manifest["patch_inputs"], program.config.stream_bytes),
        "bytes": places["image"]["bytes"], "stride": places["image_stride"], "block": BLOCK,
    }


def _output(artifact: SparseVit, config: HardwareConfig) -> dict[str, Any]:
    classes = int(artifact.head.weight.shape[0])
    size = config.class_cols * LOGIT_WORD_BYTES
    return {
        "classes": classes, "type": "int16 little endian", "word_bytes": LOGIT_WORD_BYTES,
        "bytes": ceil_div(classes, BLOCK) * LOGIT_WORD_BYTES, "buffer_bytes": size,
        "stride": ceil_div(size, PAGE_BYTES) * PAGE_BYTES, "logit_scale": artifact.scales.get("logits"),
    }
