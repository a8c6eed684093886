"""Tables of the pages that follow from the code: registers, packets, the configuration, the artifact."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy

from flows.contracts import artifact as artifacts
from flows.contracts import hardware, program, registers
from flows.shipped import shipped_artifact

PACKETS = ("HELLO", "STEP", "SLOT", "CLUSTER", "WRITE", "END")
"""Field lists of :mod:`flows.contracts.program`, in the order of the page."""
CODES = ("Kind", "Source", "Tile", "Post", "Dest", "Drop", "Target")
_FIELD = re.compile(r'^\s*\("(\w+)", (\d+)\),(?:\s+# (.*))?$', re.MULTILINE)


def register_table() -> str:
    """All registers with their fields."""
    return registers.markdown()


def error_table() -> str:
    """Values of the ERROR register."""
    rows = [f"| {error.value} | {registers.error_text(error).replace(': ', ' | ', 1)} |" for error in registers.Error]
    return "\n".join(["| code | name | what it means |", "|---|---|---|", *rows]) + "\n"


def packet_tables() -> str:
    """Bits of every header, with the remarks that stand beside the fields in the code."""
    source = inspect.getsource(program)
    parts = []
    for name in PACKETS:
        fields: program.Fields = getattr(program, name)
        declared = re.search(rf"^{name}: Fields = \((.*?)\)\n\n", source, re.MULTILINE | re.DOTALL)
        listed = declared[1] + ",\n" if declared else ""
        remarks = {field: remark for field, _, remark in _FIELD.findall(listed)}
        lines = [f"**{name}**, {program.fields_width(fields)} bits:", "", "| bits | field | |", "|---|---|---|"]
        low = 0
        for field, width in fields:
            bits = f"{low}" if width == 1 else f"{low + width - 1}:{low}"
            lines.append(f"| {bits} | {'-' if field.startswith('pad') else f'`{field}`'} | {remarks.get(field, '')} |")
            low += width
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def code_table() -> str:
    """Values of the coded fields."""
    lines = ["| code | values |", "|---|---|"]
    for name in CODES:
        values = ", ".join(f"{item.value} {item.name}" for item in getattr(program, name))
        lines.append(f"| {name} | {values} |")
    return "\n".join(lines) + "\n"


def configuration_table() -> str:
    """Fields of the hardware configuration with their defaults and what the code says of them."""
    texts = attribute_texts(hardware.HardwareConfig)
    lines = ["| field | default | meaning |", "|---|---|---|"]
    lines += [f"| `{field.name}` | {field.default} | {texts[field.name]} |"
              for field in dataclasses.fields(hardware.HardwareConfig)]
    return "\n".join(lines) + "\n"


def attribute_texts(cls: type) -> dict[str, str]:
    """The text below each attribute of a class."""
    (tree,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(tree, ast.ClassDef)
    texts = {}
    for item, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and isinstance(following, ast.Expr):
            texts[item.target.id] = " ".join(ast.literal_eval(following.value).split())
    return texts


def shipped() -> Path:
    """The artifact whose sizes the page about the format shows."""
    path = shipped_artifact("deit_t")
    assert path is not None
    return path


def tensor_table() -> str:
    """Tensors of an artifact: names, types, and the shapes of the shipped network."""
    network = artifacts.load_artifact(shipped())
    tensors = safetensors.numpy.load_file(shipped())
    sizes = {network.width: "D", 3 * network.width: "3D", network.tokens: "N", network.patch ** 2 * 3: "P",
             len(network.class_names): "C"}
    lines = ["| tensor | type | shape | in `deit_t.safetensors` |", "|---|---|---|---|"]
    rows: dict[str, tuple[str, set[tuple[int, ...]]]] = {}
    for name, tensor in sorted(tensors.items(), key=_in_order):
        general = re.sub(r"^blocks\.\d+", "blocks.*i*", name)
        rows.setdefault(general, (str(tensor.dtype), set()))[1].add(tensor.shape)
    for name, (kind, shapes) in rows.items():
        lines.append(f"| `{name.replace('*i*', 'I')}` | {kind} | {_symbols(name, min(shapes), sizes)} "
                     f"| {_shapes(shapes)} |")
    return "\n".join(lines) + "\n"


def _in_order(item: tuple[str, Any]) -> tuple[int, str]:
    """As the network computes: embedding, blocks, norm and head."""
    name = item[0]
    rank = next(rank for rank, start in enumerate(("residual_init", "embed", "blocks", "norm", "head"))
                if name.startswith(start))
    return rank, name


def _symbols(name: str, shape: tuple[int, ...], sizes: Mapping[int, str]) -> str:
    """A shape in the symbols of the page."""
    if name.endswith((".exp", ".gelu")):
        return "256"
    is_mask = name.endswith(".mask")
    symbols = [_symbol(16 * edge if is_mask else edge, sizes) for edge in shape]
    if name.startswith("head"):
        symbols[0] = "C"
    for part, axis in ((".fc1.", 0), (".fc2.", 1)):
        if part in name and axis < len(symbols):
            symbols[axis] = "H"
    return " x ".join(f"{symbol}/16" if is_mask else symbol for symbol in symbols)


def _symbol(edge: int, sizes: Mapping[int, str]) -> str:
    return sizes.get(edge, str(edge))


def _shapes(shapes: set[tuple[int, ...]]) -> str:
    texts = [" x ".join(map(str, shape)) for shape in sorted(shapes)]
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"


def model_table() -> str:
    """The description of the network: entries of the JSON text, and those of the shipped network."""
    network = artifacts.load_artifact(shipped())
    lines = ["| entry | type | in `deit_t.safetensors` |", "|---|---|---|"]
    lines += _entries("", network, artifacts.SparseVit)
    block = network.blocks[3]
    lines += _entries("blocks[i].", block, artifacts.Block)
    lines += _entries("blocks[i].drop.", block.drop, artifacts.TokenDrop)
    shifts = f"{network.embed.shift}, {network.head.shift}, {block.qkv.shift} ..."
    lines.append(f"| `embed.shift`, `head.shift`, `blocks[i].qkv.shift` ... | int | {shifts} |")
    return "\n".join(lines) + "\n"


def _entries(prefix: str, item: Any, cls: type) -> list[str]:
    rows = []
    for field in dataclasses.fields(cls):
        kind = str(field.type)
        if kind.startswith(("np.", "Linear", "Norm", "tuple[Block", "TokenDrop")):
            continue
        value = getattr(item, field.name)
        if isinstance(value, dict):
            text = f"{len(value)} entries" if value else "absent: 8 bits everywhere"
        elif isinstance(value, float):
            text = f"{value:.6g}"
        elif isinstance(value, tuple):
            text = ", ".join(str(part) for part in value)
        else:
            text = str(value)
        rows.append(f"| `{prefix}{field.name}` | {kind} | {text} |")
    return rows
