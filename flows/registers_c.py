"""C headers of one accelerator: its registers and errors, and the network of its program."""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.contracts import registers
from flows.contracts.hardware import PAGE_BYTES, HardwareConfig
from flows.contracts.program import HELLO, MAGIC, VERSION

_WORD = 32


def c_header(config: HardwareConfig) -> str:
    """Text of ``vit_accel_registers.h``: identity, register offsets, fields, error codes and texts, program header."""
    lines = [*_opening("VIT_ACCEL_REGISTERS_H", "Registers of the accelerator", config.config_hash()),
             *_identity(config), "", *_registers(), *_errors(), "", *_program_header(), "", "#endif", ""]
    return "\n".join(lines)


def c_network_header(params: dict[str, Any]) -> str:
    """Text of ``vit_accel_network.h``: sizes, pixel codes and class names of a network.

    Parameters
    ----------
    params : content of params.json, see :func:`flows.driver_params.driver_params`
    """
    network = params["network"]
    lines = [*_opening("VIT_ACCEL_NETWORK_H", f"Network {_comment(network['model'])}",
                       params["hardware"]["config_hash"]),
             *(f"#define VIT_{name.upper()} {network[name]}u"
               for name in ("tokens", "patch_inputs", "classes", "image_size", "patch")),
             f"#define VIT_PROGRAM_BYTES {params['program']['bytes']}u", "",
             "/* int8 code of each of the 256 values of a pixel, by colour channel */",
             *_macro("VIT_CODE_TABLE", [f"{{{row}}}" for row in _code_rows(network)]), "",
             "/* may be empty */",
             *_macro("VIT_CLASS_NAMES", [_string(name) for name in network["class_names"]]), "", "#endif", ""]
    return "\n".join(lines)


def _opening(guard: str, title: str, config_hash: int) -> list[str]:
    return [f"/* {title}, hardware configuration {config_hash:08x}. Generated: do not edit. */",
            f"#ifndef {guard}", f"#define {guard}", ""]


def _identity(config: HardwareConfig) -> list[str]:
    values = {"ID": registers.ID_VALUE, "VERSION": registers.VERSION_VALUE, "CONFIG_HASH": config.config_hash(),
              "PROGRAM_MAGIC": MAGIC, "PROGRAM_VERSION": VERSION}
    return [*(f"#define VIT_{name} {value:#010x}u" for name, value in values.items()),
            f"#define VIT_STREAM_BYTES {config.stream_bytes}u", f"#define VIT_PAGE_BYTES {PAGE_BYTES}u",
            f"#define VIT_DEFAULT_WATCHDOG {registers.DEFAULT_WATCHDOG}u"]


def _registers() -> list[str]:
    lines = []
    for entry in registers.REGISTERS:
        lines += [f"/* {entry.doc} ({entry.access.value}) */", f"#define VIT_REG_{entry.name} {entry.offset:#05x}u"]
        if entry.count > 1:
            lines.append(f"#define VIT_{entry.name}_COUNT {entry.count}u")
        lines += [f"#define VIT_{entry.name}_{field.name.upper()} {field.mask:#x}u /* {field.doc} */"
                  for field in entry.fields]
        lines.append("")
    return lines


def _errors() -> list[str]:
    codes = list(registers.Error)
    if [int(code) for code in codes] != list(range(len(codes))):
        raise ValueError("error codes must count up from 0: the C driver keeps their texts in an array")
    return [*(f"#define VIT_ERROR_{code.name} {int(code)}" for code in codes), f"#define VIT_ERRORS {len(codes)}", "",
            *_macro("VIT_ERROR_TEXTS", [_string(registers.error_text(code)) for code in codes])]


def _program_header() -> list[str]:
    """Where the fields of HELLO lie: 32-bit word, shift, mask."""
    lines, low = ["/* Fields of the first words of a program: 32-bit word, lowest bit, mask */"], 0
    for name, width in HELLO:
        if not name.startswith("pad"):
            word, shift = divmod(low, _WORD)
            if shift + width > _WORD:
                raise ValueError(f"field {name} of HELLO crosses a 32-bit word, which the C driver does not expect")
            prefix = f"#define VIT_HELLO_{name.upper()}"
            lines += [f"{prefix}_WORD {word}u", f"{prefix}_SHIFT {shift}u", f"{prefix}_MASK {(1 << width) - 1:#x}u"]
        low += width
    return lines


def _code_rows(network: dict[str, Any]) -> list[str]:
    # Here, not at the top: pictures need Pillow, registers do not.
    from flows.contracts.preprocess import code_table

    table: np.ndarray = code_table(network["mean"], network["std"], network["input_scale"])
    return [", ".join(map(str, row.tolist())) for row in table]


def _macro(name: str, items: list[str]) -> list[str]:
    """An initializer as a macro: unlike an array in a header it costs nothing where it is not used."""
    if not items:
        return [f"#define {name} {{ 0 }}"]
    return [f"#define {name} {{ \\", *(f"    {item}, \\" for item in items), "}"]


def _string(text: str) -> str:
    """A C string literal; octal escapes end after three digits, unlike hexadecimal ones."""
    escaped = "".join(chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\?' else f"\\{byte:03o}"
                      for byte in text.encode())
    return f'"{escaped}"'


def _comment(text: str) -> str:
    return text.replace("*/", "").replace("\n", " ")
