"""Names of the signals in a waveform file, VCD or FST, without reading its values."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.contracts.errors import SimulationError


@dataclass
class Hierarchy:
    """What a waveform file declares.

    Attributes
    ----------
    signals : width in bits by full name, levels separated by dots, without bit ranges
    ranges : the bit range by full name, as ``[7:0]``; none for a single bit
    """

    signals: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, str] = field(default_factory=dict)
    _path: list[str] = field(default_factory=list)

    @property
    def scopes(self) -> set[str]:
        """Every level that holds a signal or another level."""
        found: set[str] = set()
        for name in self.signals:
            parts = name.split(".")[:-1]
            found |= {".".join(parts[:depth + 1]) for depth in range(len(parts))}
        return found

    def enter(self, name: str) -> None:
        """A level begins."""
        self._path.append(name)

    def leave(self) -> None:
        """The innermost level ends."""
        self._path.pop()

    def add(self, name: str, width: int) -> None:
        """A signal of the innermost level; behind a blank, its name may be followed by a bit range."""
        plain, _, bits = name.partition(" ")
        full = ".".join([*self._path, plain])
        self.signals[full] = width
        if bits:
            self.ranges[full] = bits


def read_hierarchy(path: Path) -> Hierarchy:
    """Names in a waveform file.

    Parameters
    ----------
    path : ends with ``.vcd`` or ``.fst``

    Raises
    ------
    SimulationError
        When the file is missing, of another kind, or damaged.
    """
    readers = {".vcd": _read_vcd, ".fst": _read_fst}
    if path.suffix not in readers:
        raise SimulationError(f"{path}: a waveform ends with .vcd or .fst")
    try:
        found = readers[path.suffix](path)
    except OSError as error:
        raise SimulationError(f"cannot read the waveform {path}: {error.strerror}") from None
    except (IndexError, ValueError, struct.error, zlib.error):
        raise SimulationError(f"{path} is damaged or was cut short; run the simulation again") from None
    if not found.signals:
        raise SimulationError(f"{path} has no signals; run the simulation again")
    return found


def _read_vcd(path: Path) -> Hierarchy:
    """IEEE 1364-2005, section 18: declarations, up to ``$enddefinitions``."""
    found = Hierarchy()
    with path.open(errors="replace") as lines:
        for line in lines:
            words = line.split()
            match words[:1]:
                case ["$scope"]:
                    found.enter(words[2])
                case ["$upscope"]:
                    found.leave()
                case ["$var"]:
                    found.add(" ".join(words[4:-1]), int(words[2]))
                case ["$enddefinitions"]:
                    return found
    raise ValueError("no end of definitions")


_HIERARCHY_GZIP, _HIERARCHY_LZ4, _HIERARCHY_LZ4_TWICE = 4, 6, 7
_ATTRIBUTE_BEGIN, _ATTRIBUTE_END, _SCOPE, _UPSCOPE = 252, 253, 254, 255


def _read_fst(path: Path) -> Hierarchy:
    """The hierarchy block of GTKWave's FST format, as its reader (``fstapi.c``) knows it."""
    with path.open("rb") as file:
        while head := file.read(9):
            kind, length = struct.unpack(">BQ", head)
            if kind not in (_HIERARCHY_GZIP, _HIERARCHY_LZ4, _HIERARCHY_LZ4_TWICE):
                file.seek(length - 8, 1)
                continue
            (size,) = struct.unpack(">Q", file.read(8))
            return _parse_fst(_unpacked(kind, file.read(length - 16), size))
    raise ValueError("no hierarchy block")


def _unpacked(kind: int, data: bytes, size: int) -> bytes:
    if kind == _HIERARCHY_GZIP:
        return zlib.decompress(data, wbits=31)
    if kind == _HIERARCHY_LZ4_TWICE:
        middle, start = _varint(data, 0)
        data = lz4_block(data[start:], middle)
    return lz4_block(data, size)


def _parse_fst(data: bytes) -> Hierarchy:
    found, at = Hierarchy(), 0

    def text() -> str:
        nonlocal at
        end = data.index(0, at)
        at, begin = end + 1, at
        return data[begin:end].decode(errors="replace")

    while at < len(data):
        tag = data[at]
        at += 1
        if tag == _SCOPE:
            at += 1
            found.enter(text())
            text()  # the module's name
        elif tag == _UPSCOPE:
            found.leave()
        elif tag == _ATTRIBUTE_BEGIN:
            at += 2
            text()
            _, at = _varint(data, at)
        elif tag != _ATTRIBUTE_END:
            at += 1  # direction
            name = text()
            width, at = _varint(data, at)
            _, at = _varint(data, at)  # the signal it is another name of
            found.add(name, width)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """LEB128 number at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def lz4_block(data: bytes, size: int) -> bytes:
    """Decompress a block of the LZ4 format (github.com/lz4/lz4, ``doc/lz4_Block_format.md``) to ``size`` bytes."""
    out, at = bytearray(), 0
    while len(out) < size:
        token = data[at]
        literals, at = _lz4_length(data, at + 1, token >> 4)
        out += data[at:at + literals]
        at += literals
        if at >= len(data):
            break
        offset = data[at] | data[at + 1] << 8
        copied, at = _lz4_length(data, at + 2, token & 15)
        out += bytes(_repeated(out, offset, copied + 4))
    if len(out) != size:
        raise ValueError("LZ4 block of another size")
    return bytes(out)


def _lz4_length(data: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        while data[at] == 255:
            length, at = length + 255, at + 1
        length, at = length + data[at], at + 1
    return length, at


def _repeated(out: bytearray, offset: int, count: int) -> Iterator[int]:
    """``count`` bytes that begin ``offset`` bytes before the end, and may run into themselves."""
    if not 0 < offset <= len(out):
        raise ValueError("LZ4 offset")
    part = out[-offset:]
    return (part[index % offset] for index in range(count))
