"""Published figures of other accelerators: the schema of ``flows/published.yaml`` and its loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from flows.cache import ROOT
from flows.contracts.errors import ConfigError

PUBLISHED = ROOT / "flows" / "published.yaml"
FIGURES = ("clock_mhz", "dsps", "gops", "gops_per_dsp", "macs_per_dsp_cycle", "utilization", "milliseconds",
           "images_per_second")


class System(BaseModel):
    """An accelerator with one network. Figures that its source does not give are None.

    Attributes
    ----------
    system, venue : short name, and where it was published
    source : citation
    model, precision, platform : network, widths of weights and activations, board or device
    clock_mhz : clock of the measurement
    dsps : DSP slices of the whole design
    gops : 10**9 operations per second, a MAC being two
    macs_per_dsp_cycle : useful MACs per DSP slice and cycle; above 2 part of the multipliers are not in DSP slices
    utilization : useful MACs over what the array could do, 0..1
    milliseconds, images_per_second : latency of an image, throughput
    derived : figures computed here, each with the formula
    unverified : figures that were not found in the source itself
    note : what else one has to know
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str = Field(min_length=1)
    venue: str = Field(min_length=1)
    source: str = Field(min_length=1)
    model: str = Field(min_length=1)
    precision: str = Field(min_length=1)
    platform: str = Field(min_length=1)
    clock_mhz: PositiveFloat | None = None
    dsps: PositiveInt | None = None
    gops: PositiveFloat | None = None
    gops_per_dsp: PositiveFloat | None = None
    macs_per_dsp_cycle: PositiveFloat | None = None
    utilization: float | None = Field(default=None, gt=0, le=1)
    milliseconds: PositiveFloat | None = None
    images_per_second: PositiveFloat | None = None
    derived: dict[str, str] = {}
    unverified: tuple[str, ...] = ()
    note: str = ""

    @property
    def verified(self) -> bool:
        """Whether every figure was read in the source, or computed from such."""
        return not self.unverified

    @model_validator(mode="after")
    def _marks_name_figures(self) -> Self:
        for name in (*self.derived, *self.unverified):
            if name not in FIGURES or getattr(self, name) is None:
                raise ValueError(f"derived and unverified may name figures that are given, not {name!r}")
        if all(getattr(self, name) is None for name in FIGURES):
            raise ValueError("no figure is given")
        return self

    def as_dict(self) -> dict[str, Any]:
        """All fields and ``verified``, for JSON."""
        return self.model_dump() | {"verified": self.verified}


def load_published(path: Path = PUBLISHED) -> list[System]:
    """Read published figures.

    Raises
    ------
    ConfigError
        When the file is missing, no YAML, or an entry does not fit the schema; names the entry.
    """
    try:
        entries = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(entries, list):
        raise ConfigError(f"{path} must be a list of systems")
    return [_system(entry, index, path) for index, entry in enumerate(entries)]


def _system(entry: Any, index: int, path: Path) -> System:
    try:
        return System.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        name = entry.get("system", "?") if isinstance(entry, dict) else "?"
        raise ConfigError(f"{path}: entry {index + 1} ({name}): {place}{': ' if place else ''}{first['msg']}") from None
