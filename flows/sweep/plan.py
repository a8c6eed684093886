"""What a sweep looks at: the schema of its YAML file, and the networks and hardware options that follow from it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from flows.contracts.errors import ConfigError
from flows.contracts.files import read_mapping
from flows.contracts.hardware import HardwareConfig
from flows.search import limits_with
from flows.shipped import shipped_artifact
from flows.sweep.network import NetworkSpec

DEFAULT = Path(__file__).with_name("default.yaml")
SHIPPED = "shipped"
"""Value of ``artifact`` that means the trained network that comes with sievit."""


def _listed(value: Any) -> Any:
    """One value is a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _named(value: Any) -> Any:
    """YAML reads ``[4, 8]`` of a mapping as a list, and ``4`` as a number: both are axes."""
    return {name: _listed(values) for name, values in value.items()} if isinstance(value, Mapping) else value


Share = Annotated[float, Field(gt=0, le=1)]
Shares = Annotated[tuple[Share | None, ...], BeforeValidator(_listed), Field(min_length=1)]
Axes = Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_named)]


class _Part(BaseModel):
    """Base: nothing unknown, so that a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Networks(_Part):
    """Networks of one model and one set of weights.

    Attributes
    ----------
    model : a name of ``sievit models``, or a plain ViT of timm
    artifact : file made by ``sievit export``, or ``shipped``; replaces ``weights`` and ``keep_blocks``
    weights : file with timm names; without it timm's hub, else made up
    keep_blocks, keep_tokens : shares to try; null is as trained, else the default of ``sievit sim``. Of an artifact
        with top-k token drop the shares of tokens can be changed, blocks cannot
    synthetic, seed : made-up weights, and their seed
    """

    model: str = Field(default="deit_t", min_length=1)
    artifact: Path | None = None
    weights: Path | None = None
    keep_blocks: Shares = (None,)
    keep_tokens: Shares = (None,)
    synthetic: bool = False
    seed: int = 0

    @model_validator(mode="after")
    def _artifact_alone(self) -> Self:
        if self.artifact is not None and (self.weights or self.synthetic or self.seed or self.keep_blocks != (None,)):
            raise ValueError("an artifact has its weights and blocks; leave out weights, keep_blocks, synthetic and "
                             "seed")
        return self

    def specs(self) -> Iterator[NetworkSpec]:
        """Every network."""
        shipped = shipped_artifact(self.model)
        if self.artifact is not None and str(self.artifact) == SHIPPED and shipped is None:
            raise ConfigError(f"no trained network of {self.model!r} comes with sievit; name an artifact file")
        for blocks, tokens in itertools.product(self.keep_blocks, self.keep_tokens):
            artifact = shipped if str(self.artifact) == SHIPPED else self.artifact
            if shipped and not (artifact or self.weights or self.synthetic or self.seed or blocks or tokens):
                artifact = shipped  # as in 'sievit sim': asked for nothing else, the trained network runs
            yield NetworkSpec(model=self.model, artifact=artifact, weights=self.weights, keep_blocks=blocks,
                              keep_tokens=tokens, synthetic=self.synthetic, seed=self.seed)


class Method(_Part):
    """Which points of the grid are looked at.

    Attributes
    ----------
    method : ``grid`` (all), ``random`` (``samples`` of them), or ``halving``: all of them, or ``samples``, by a bound
        on the cycles, and one in ``eta``, the best in latency, quality and resources, by the cycle model
    """

    method: Literal["grid", "random", "halving"] = "grid"
    samples: PositiveInt | None = None
    eta: Annotated[int, Field(ge=2)] = 3
    seed: int = 0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method == "random" and self.samples is None:
            raise ValueError("method random needs samples, the number of points")
        if self.method == "grid" and self.samples is not None:
            raise ValueError("method grid takes all points; samples is for random and halving")
        return self


class Plan(_Part):
    """A sweep.

    Attributes
    ----------
    networks : what to run
    hardware : values to try by field of :class:`HardwareConfig`; all others follow from network and board
    boards : names, files, or null for none: the configuration's default clock and memory, and nothing to fit
    search : which points
    limits : share of a board's resources that may be used, beside the defaults of ``sievit search``
    images : labelled images to measure the accuracy on; a pack or a folder
    score : so many of them
    engine : what computes the integers on them, ``golden`` or ``hls``
    simulate : points of the Pareto set to run in RTL
    """

    networks: Annotated[tuple[Networks, ...], BeforeValidator(_listed), Field(min_length=1)]
    hardware: Axes = {"clusters": (4,)}
    boards: Annotated[tuple[str | None, ...], BeforeValidator(_listed), Field(min_length=1)] = (None,)
    search: Method = Method()
    limits: dict[str, float] = {}
    images: Path | None = None
    score: PositiveInt = 256
    engine: Literal["golden", "hls"] = "golden"
    simulate: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _known(self) -> Self:
        kinds = {field.name: type(field.default) for field in dataclasses.fields(HardwareConfig)}
        for name, values in self.hardware.items():
            if name not in kinds:
                raise ValueError(f"no hardware field {name!r}; known: {', '.join(sorted(kinds))}")
            if not values:
                raise ValueError(f"hardware.{name} has no value")
            for value in values:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if not (isinstance(value, str) if kinds[name] is str else
                        number and (kinds[name] is float or value == int(value))):
                    raise ValueError(f"hardware.{name} takes {_KINDS[kinds[name]]}, not {value!r}")
        try:
            limits_with(self.limits)
        except ConfigError as error:
            raise ValueError(str(error).replace("--limit ", "limits: ")) from None
        return self

    def specs(self) -> list[NetworkSpec]:
        """Every network, each once."""
        return list(dict.fromkeys(spec for networks in self.networks for spec in networks.specs()))

    def configurations(self) -> list[dict[str, Any]]:
        """Every combination of the hardware's values."""
        return [dict(zip(self.hardware, values, strict=True))
                for values in itertools.product(*(dict.fromkeys(axis) for axis in self.hardware.values()))]


_KINDS = {int: "whole numbers", float: "numbers", str: "text"}


def plan_of(content: Mapping[str, Any], place: str) -> Plan:
    """A checked plan.

    Raises
    ------
    ConfigError
        Naming ``place`` and the first key that does not fit.
    """
    try:
        return Plan.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
        text = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{place}: {where + ': ' if where else ''}{text[:1].lower()}{text[1:]}") from None


def read_plan(path: Path | None = None) -> dict[str, Any]:
    """The content of a sweep's file, the built-in grid by default; paths in it are relative to it.

    Raises
    ------
    ConfigError
        When it cannot be read.
    """
    path = path or DEFAULT
    content = read_mapping(path, "sweep file", "docs/sweep.md")
    plan_of(content, f"sweep file {path}")
    return _absolute(content, path.parent)


def load_plan(path: Path | None = None) -> Plan:
    """The plan in a file, the built-in one by default; errors as :func:`read_plan`."""
    return plan_of(read_plan(path), f"sweep file {path or DEFAULT}")


def _absolute(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Files beside the sweep's file, wherever the command runs."""
    def file(value: Any) -> Any:
        return str(folder / value) if isinstance(value, str) and value != SHIPPED else value

    networks = [{name: file(value) if name in ("artifact", "weights") else value for name, value in entry.items()}
                for entry in _listed(content["networks"])]
    boards = [file(name) if str(name).endswith((".yaml", ".yml")) else name
              for name in _listed(content.get("boards"))]
    return content | {"networks": networks, "boards": boards} | (
        {"images": file(content["images"])} if "images" in content else {})
