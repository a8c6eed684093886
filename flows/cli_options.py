"""Options that several commands have."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_base import errors
from flows.contracts.errors import ConfigError

Model = Annotated[str, typer.Option(help="Model: a name of 'sievit models', or a plain ViT of timm.")]
AnyModel = Annotated[str, typer.Option(help="Model: a name of 'sievit models', or a plain ViT or Swin of timm.")]
Weights = Annotated[Path | None, typer.Option(help="Weights with timm names (.safetensors, .pth). Default: timm's "
                                                   "pretrained ones, else made up from a seed.")]
KeepBlocks = Annotated[float | None, typer.Option(help="Share of 16x16 weight blocks kept; 1 is dense. Default: as "
                                                       "the weights were trained, else .5.")]
KeepTokens = Annotated[float | None, typer.Option(help="Share of patch tokens kept at every drop; 1 drops none. "
                                                       "Default: as the weights were trained, else .7.")]
KeepNeurons = Annotated[float, typer.Option(help="Share of MLP hidden neurons kept.")]
DropLayers = Annotated[str | None, typer.Option(help="Blocks after whose attention tokens are dropped, as 3,6,9.")]
DropMode = Annotated[str | None, typer.Option(help="topk or threshold. Default: as trained, else topk.")]
Threshold = Annotated[float | None, typer.Option(help="Threshold mode: smallest mean attention kept (0..1).")]
Balanced = Annotated[bool, typer.Option("--balanced", help="The same number of blocks in every column group.")]
Calibration = Annotated[Path | None, typer.Option(help="Pack or folder of calibration images.")]
CalibrationImages = Annotated[int | None, typer.Option(help="At most that many calibration images.")]
Calibrate = Annotated[str | None, typer.Option(help="How activation ranges come from calibration images: minmax, "
                                                    "percentile or mse. Default: as trained, else minmax.")]
WeightBits = Annotated[str | None, typer.Option(help="Bits of the weights, 4 to 8: a number for all encoder blocks, or "
                                                     "by kind of layer as qkv=4,fc1=5 (embed, qkv, proj, fc1, fc2, "
                                                     "head). Default: as trained, else 8.")]
Seed = Annotated[int, typer.Option(help="For made-up weights and the choice of calibration images.")]
Clusters = Annotated[int, typer.Option(help="MAC clusters of 256 MACs per cycle each.")]
Groups = Annotated[int, typer.Option(help="Token groups, each with that many clusters: 1, 2, 4 or 8.")]
Hardware = Annotated[list[str] | None, typer.Option("--set", help="Hardware field, as bus_bits=128; may be repeated.")]
BoardName = Annotated[str | None, typer.Option("--board", help="Take the hardware that 'sievit search' chooses for "
                                               "this board: a name of 'sievit boards', or a .yaml file. --clusters, "
                                               "--groups and --set fix fields of it.")]
GivenClusters = Annotated[int | None, typer.Option("--clusters", help="MAC clusters of 256 MACs per cycle each. "
                                                   "Default: 4, or what suits --board.")]
GivenGroups = Annotated[int | None, typer.Option("--groups", help="Token groups, each with that many clusters: 1, 2, 4 "
                                                 "or 8. Default: 1, or what suits --board.")]
Layers = Annotated[str | None, typer.Option(help="Run only these blocks, as 0..2 or 5.")]
ArtifactFile = Annotated[Path | None, typer.Option(help="Artifact made by 'sievit export'; replaces model options.")]


def drop_layers_of(text: str | None) -> tuple[int, ...] | None:
    """``"3,6,9"`` as numbers.

    Raises
    ------
    ConfigError
        For anything else.
    """
    if text is None:
        return None
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise ConfigError(f"--drop-layers must be block numbers such as 3,6,9, not {text!r}")
    return tuple(int(part) for part in text.split(","))


def hardware_fields(items: list[str] | None) -> dict[str, Any]:
    """``bus_bits=128`` and the like as values of a :class:`HardwareConfig`.

    Raises
    ------
    ConfigError
        For an unknown field, or a value that is no number.
    """
    from flows.contracts.hardware import HardwareConfig

    kinds = {field.name: type(field.default) for field in dataclasses.fields(HardwareConfig)}
    values: dict[str, Any] = {}
    for item in items or []:
        name, _, text = item.partition("=")
        if name not in kinds:
            raise ConfigError(f"--set {item}: no hardware field {name!r}; known: {', '.join(sorted(kinds))}")
        try:
            values[name] = kinds[name](text)
        except ValueError:
            raise ConfigError(f"--set {item}: {name} takes a number") from None
    return values


def given_hardware(clusters: int | None, groups: int | None, items: list[str] | None) -> dict[str, Any]:
    """Fields of a :class:`HardwareConfig` that the options name; without one, its default applies.

    Raises
    ------
    ConfigError
        As :func:`hardware_fields`.
    """
    given = {name: value for name, value in (("clusters", clusters), ("groups", groups)) if value is not None}
    return given | hardware_fields(items)


def at_least(name: str, value: Any, limit: int) -> Any:
    """``value``, or a ConfigError that names the option."""
    if not value >= limit:
        raise ConfigError(f"--{name} must be at least {limit}, not {value}")
    return value


def one_of(name: str, value: str, *allowed: str) -> str:
    """``value``, or a ConfigError that names the option and what it may be."""
    if value not in allowed:
        raise ConfigError(f"--{name} must be {' or '.join(allowed)}, not {value!r}")
    return value


def export_options(
    model: str, weights: Path | None, keep_blocks: float | None, keep_tokens: float | None, keep_neurons: float,
    drop_layers: str | None, drop_mode: str | None, threshold: float | None, balanced: bool, calibration: Path | None,
    calibration_images: int | None, calibrate: str | None, weight_bits: str | None, seed: int,
) -> Any:
    """The options above as :class:`flows.sim_flow.ExportOptions`, checked as far as that needs no file to be read.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    from algo.quant.settings import parse_weight_bits
    from flows.sim_flow import ExportOptions, check_export

    if calibration_images is not None:
        at_least("calibration-images", calibration_images, 1)
    options = ExportOptions(
        model=model, weights=weights, keep_blocks=keep_blocks, keep_tokens=keep_tokens, keep_neurons=keep_neurons,
        drop_layers=drop_layers_of(drop_layers), drop_mode=drop_mode, threshold=threshold, balanced=balanced,
        calibration=calibration, calibration_images=calibration_images, calibrate=calibrate,
        weight_bits=None if weight_bits is None else parse_weight_bits(weight_bits), seed=seed)
    check_export(options)
    return options


_EXPORT: dict[str, tuple[Any, Any]] = {
    "model": (Model, "deit_t"), "weights": (Weights, None), "keep_blocks": (KeepBlocks, None),
    "keep_tokens": (KeepTokens, None), "keep_neurons": (KeepNeurons, 1.0), "drop_layers": (DropLayers, None),
    "drop_mode": (DropMode, None), "threshold": (Threshold, None), "balanced": (Balanced, False),
    "calibration": (Calibration, None), "calibration_images": (CalibrationImages, None),
    "calibrate": (Calibrate, None), "weight_bits": (WeightBits, None), "seed": (Seed, 0)}
"""Type and default of the options that describe a network."""


def with_export(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that describe a network, in the place of its parameter ``export``.

    The command gets them as one :class:`flows.sim_flow.ExportOptions`.
    """
    hints = typing.get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name == "export":
            parameters += [parameter.replace(name=option, annotation=kind, default=default)
                           for option, (kind, default) in _EXPORT.items()]
        else:
            parameters.append(parameter.replace(annotation=hints[name]))
    # Options have names, so their order matters to no one but the help.
    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        with errors():
            export = export_options(**{name: values.pop(name) for name in _EXPORT})
        command(export=export, **values)

    with_options.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword_only}
    return with_options
