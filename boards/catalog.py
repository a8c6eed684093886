"""Boards by name: one YAML file each in this folder, or a file of the user's own, checked before anything uses it."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from boards.board import Board, Memory
from flows.contracts.errors import ConfigError
from flows.contracts.files import read_mapping
from flows.contracts.resources import KINDS, Resources

FOLDER = Path(__file__).resolve().parent

_Source = Field(min_length=3)


class _Part(BaseModel):
    """Base: nothing unknown, so that a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Region(_Part):
    lut: PositiveInt
    ff: PositiveInt
    dsp: PositiveInt
    bram36: PositiveInt
    uram: int = Field(ge=0)

    def resources(self) -> Resources:
        return Resources(self.lut, self.ff, self.dsp, self.bram36, self.uram)


class _Device(_Region):
    source: str = _Source


class _Name(_Part):
    name: str = Field(pattern=r"^xc[0-9a-zA-Z-]+$")
    family: Literal["7series", "ultrascale+", "versal"]
    speed_grade: str = Field(pattern=r"^-[123][A-Z]*$")
    source: str = _Source


class _Tools(_Part):
    shell: Literal["zynq7", "zynqmp", "versal", "alveo", "fabric"]
    board_part: str | None
    platform: str | None
    source: str = _Source


class _Slrs(_Part):
    regions: tuple[_Region, ...] = Field(min_length=2)
    source: str = _Source


class _Memory(_Part):
    name: str
    kind: Literal["ddr3", "ddr4", "lpddr4", "hbm2"]
    ports: PositiveInt
    port_bits: Literal[32, 64, 128, 256, 512]
    rate_mts: PositiveFloat
    data_bits: PositiveInt
    gigabytes: PositiveFloat
    peak_gbs: PositiveFloat
    usable_gbs: PositiveFloat
    source: str = _Source
    usable_source: str = _Source

    @model_validator(mode="after")
    def check(self) -> _Memory:
        """The peak is that of all ports together, and one of them cannot give more than its part of it."""
        peak = self.ports * self.rate_mts * self.data_bits / 8000
        if abs(self.peak_gbs / peak - 1) > 0.01:
            raise ValueError(f"peak_gbs {self.peak_gbs:g} is not ports * rate_mts * data_bits / 8000 = {peak:.4g}")
        if self.usable_gbs > self.peak_gbs / self.ports:
            raise ValueError(f"usable_gbs {self.usable_gbs:g} of one port is more than the port's share of peak_gbs")
        return self

    def memory(self) -> Memory:
        return Memory(**self.model_dump(exclude={"source", "usable_source"}))


class _Clock(_Part):
    mhz: PositiveFloat
    source: str = _Source


class _Processor(_Part):
    mhz: PositiveFloat | None
    port: str
    control_base: int | None = Field(ge=0, multiple_of=4096)
    source: str = _Source


class _Oscillator(_Part):
    pin: str = Field(pattern=r"^[A-Z]{1,2}\d{1,2}$")
    pin_n: str | None = Field(default=None, pattern=r"^[A-Z]{1,2}\d{1,2}$")
    standard: str
    mhz: PositiveFloat
    source: str = _Source


class _File(_Part):
    """A board file. ``slrs`` is left out on a single die, ``processor`` and ``oscillator`` where there is none."""

    title: str
    part: _Name
    tools: _Tools
    device: _Device
    slrs: _Slrs | None = None
    memories: tuple[_Memory, ...] = Field(min_length=1)
    clock: _Clock
    processor: _Processor | None = None
    oscillator: _Oscillator | None = None

    @model_validator(mode="after")
    def check(self) -> _File:
        """Dies do not add up to more than the device, and a processor belongs to a shell that has one."""
        if self.slrs is not None:
            total = sum((region.resources() for region in self.slrs.regions), Resources())
            over = [kind for kind in KINDS if getattr(total, kind) > getattr(self.device, kind)]
            if over:
                raise ValueError(f"the dies together have more {over[0]} than the device")
        if (self.processor is None) != (self.tools.shell in ("fabric", "alveo")):
            raise ValueError("a processor is given exactly when tools.shell is zynq7, zynqmp or versal")
        return self

    def board(self, name: str) -> Board:
        processor, oscillator = self.processor, self.oscillator
        device = self.device.resources()
        return Board(
            name=name, title=self.title, part=self.part.name, family=self.part.family,
            speed_grade=self.part.speed_grade, shell=self.tools.shell, board_part=self.tools.board_part,
            platform=self.tools.platform, device=device,
            slrs=tuple(region.resources() for region in self.slrs.regions) if self.slrs else (device,),
            memories=tuple(memory.memory() for memory in self.memories), clock_mhz=self.clock.mhz,
            processor_mhz=processor.mhz if processor else None, ps_port=processor.port if processor else None,
            control_base=processor.control_base if processor else None,
            clock_pin=oscillator.pin if oscillator else None, clock_pin_n=oscillator.pin_n if oscillator else None,
            clock_standard=oscillator.standard if oscillator else None,
            clock_input_mhz=oscillator.mhz if oscillator else None, sources=self.sources())

    def sources(self) -> dict[str, str]:
        """Where each group of facts comes from."""
        found = {name: part.source for name in ("part", "tools", "device", "slrs", "clock", "processor", "oscillator")
                 if (part := getattr(self, name)) is not None}
        for memory in self.memories:
            found |= {f"memory {memory.name}": memory.source,
                      f"memory {memory.name}, usable": memory.usable_source}
        return found


def board_names() -> tuple[str, ...]:
    """Names of the boards that come with sievit."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_board(name: str | Path) -> Board:
    """A board by name, or from a YAML file of the user's own.

    Parameters
    ----------
    name : one of :func:`board_names` (case, ``-`` and ``_`` do not matter), or the path of a ``.yaml`` file

    Raises
    ------
    ConfigError
        For an unknown name, listing all and the closest one; for a file that cannot be read or lacks something.
    """
    if str(name).endswith((".yaml", ".yml")):
        return _read(Path(name))
    names = {_plain(known): known for known in board_names()}
    plain = _plain(str(name))
    if plain not in names:
        near = difflib.get_close_matches(plain, names, n=1)
        hint = f" (did you mean {names[near[0]]}?)" if near else ""
        raise ConfigError(f"unknown board {str(name)!r}{hint}; boards: {', '.join(names.values())}, or a .yaml file")
    return _read(FOLDER / f"{names[plain]}.yaml")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def _read(path: Path) -> Board:
    content = read_mapping(path, "board file", "docs/boards.md")
    try:
        return _File.model_validate(content).board(path.stem)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}." for part in first["loc"]).rstrip(".")
        text = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"board file {path}: {where + ': ' if where else ''}{text[:1].lower()}{text[1:]}") from None
