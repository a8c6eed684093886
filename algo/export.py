"""From a model name to a SparseVit artifact: weights, pruning, token drop, calibration, quantization."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from algo.data import calibration_pixels
from algo.models import build_like
from algo.prune import prune_blocks, prune_neurons
from algo.prune.blocks import Keep
from algo.prune.plan import zero_block_masks
from algo.quant.calibrate import collect
from algo.quant.estimators import estimate_ranges, estimator
from algo.quant.quantize import Masks, quantize
from algo.quant.ranges import Ranges, read_ranges
from algo.quant.settings import Settings, WeightBits
from algo.timm_compat import ImageNetInfo, resolve_data_config
from algo.tokens.count import topk_schedule
from algo.tokens.evit import threshold_drop
from algo.tokens.threshold import calibrate_thresholds
from algo.weights import load_weights, read_facts
from flows.contracts.artifact import SparseVit, TokenDrop, validate
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK

Progress = Callable[[str, float], None]

DROP_LAYERS = (3, 6, 9)
"""Blocks of a 12-block network after whose attention EViT drops tokens."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A pruned float network with its token drop, ready to be quantized or evaluated.

    Attributes
    ----------
    name : registry name
    model : VisionTransformer in evaluation mode
    weights : where the weights came from
    masks : kept 16x16 blocks per pruned layer
    drops : token drop per block
    mean, std : normalisation of the pixels
    image_size : pixels
    class_names : one per class
    settings : how it is to be quantized: as given, else as trained, else the default
    ranges : of the activations, when the weights file holds those the network was trained with
    """

    name: str
    model: Any
    weights: str
    masks: Mapping[str, np.ndarray]
    drops: Mapping[int, TokenDrop]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int
    class_names: tuple[str, ...]
    settings: Settings = field(default_factory=Settings)
    ranges: Ranges | None = None


def export(
    model_name: str,
    *,
    weights: Path | str | None = None,
    keep_blocks: Keep | None = None,
    keep_tokens: float | None = None,
    drop_layers: Sequence[int] | None = None,
    drop_mode: str | None = None,
    threshold: float | None = None,
    balanced: bool = False,
    keep_neurons: float = 1.0,
    calibration: Path | str | None = None,
    calibration_images: int | None = None,
    seed: int = 0,
    synthetic: bool = False,
    block: int | tuple[int, int] = BLOCK,
    calibrate: str | None = None,
    weight_bits: WeightBits | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> SparseVit:
    """Prune, calibrate and quantize a network.

    Parameters
    ----------
    model_name : registered model (``deit_t``, ``deit_s``, ``deit_b``, ``vit_micro``) or plain ViT of timm
    weights : file with timm names; None looks at the timm hub, then makes weights up
    keep_blocks : share of weight blocks kept, in all layers or per block number or layer name; 1 keeps all. Blocks of
        zeros in the weights are pruned in any case. Default: 1 for weights that sievit trained or pruned, else 0.5
    keep_tokens : share of patch tokens kept at every drop; 1 drops nothing. Default: as trained, else 0.7
    drop_layers : 0-based blocks. Default: as trained, else a quarter, half and three quarters of the depth
    drop_mode : ``"topk"`` or ``"threshold"``. Default: as trained, else top-k
    threshold : smallest mean attention from CLS (0..1) in threshold mode; None finds, for each layer, the one that
        keeps ``keep_tokens`` of the tokens of the calibration images
    balanced : the same number of blocks in every output block column
    keep_neurons : share of MLP hidden neurons kept
    calibration : data pack or folder of images; None takes the ranges that a weights file holds if the network was
        trained with its quantization, else crops of the photographs in scikit-image
    calibration_images : at most that many of them
    seed : for synthetic weights and the choice of calibration images
    synthetic : make weights up even where trained ones are to be had
    block : edge, or rows and columns, of a pruning block; multiples of 16
    calibrate : how ranges come from the calibration images: ``"minmax"``, ``"percentile"`` or ``"mse"``. Default: as
        trained, else min-max
    weight_bits : 4..8, a number for the layers of all encoder blocks, or by kind of layer. Default: as trained, else 8
    settings : everything else about the quantization. Default: as trained, else those of :class:`Settings`
    progress : called with the name of a stage and the finished share of it

    Raises
    ------
    ConfigError
        For an unknown model or an option out of range.
    WeightsError
        When the weights file is unusable.
    ImageError
        When the calibration images are unusable.
    """
    with one_thread():
        prepared, ranges = calibrated(
            model_name, weights=weights, keep_blocks=keep_blocks, keep_tokens=keep_tokens, drop_layers=drop_layers,
            drop_mode=drop_mode, threshold=threshold, balanced=balanced, keep_neurons=keep_neurons,
            calibration=calibration, calibration_images=calibration_images, seed=seed,
            synthetic=synthetic, block=block, calibrate=calibrate, weight_bits=weight_bits, settings=settings,
            progress=progress)
        report = progress or (lambda stage, share: None)
        report("quantize", 0.0)
        artifact = export_prepared(prepared, ranges)
        report("quantize", 1.0)
    return artifact


def calibrated(model_name: str, *, progress: Progress | None = None, **options: Any) -> tuple[Prepared, Ranges]:
    """The float network that :func:`export` quantizes, and the ranges of its activations, for the same options."""
    with one_thread():
        prepared, pixels = _prepare(model_name, progress=progress, **options)
        if prepared.ranges is not None:
            return prepared, prepared.ranges
        show = None if progress is None else partial(progress, "calibrate")
        return prepared, calibrated_ranges(prepared.model, pixels, prepared.mean, prepared.std, prepared.drops,
                                           prepared.settings, show)


def calibrated_ranges(
    model: Any,
    pixels: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
    drops: Mapping[int, TokenDrop],
    settings: Settings | None = None,
    progress: Callable[[float], None] | None = None,
) -> Ranges:
    """Ranges of a network's activations on calibration images, by the method that ``settings`` name.

    Parameters
    ----------
    model : VisionTransformer
    pixels : uint8 ``(images, size, size, 3)``
    mean, std : normalisation of the pixels
    drops : token drop per block
    progress : called with the finished share

    Raises
    ------
    ConfigError
        For a setting out of range.
    """
    settings = settings or Settings()
    settings.check()
    samples = estimator(settings.calibrate).samples
    return estimate_ranges(collect(model, pixels, mean, std, drops, progress, samples=samples), settings)


def export_prepared(prepared: Prepared, ranges: Ranges) -> SparseVit:
    """The artifact of a prepared network."""
    return export_with(prepared.model, ranges, name=prepared.name, weights=prepared.weights, mean=prepared.mean,
                       std=prepared.std, drops=prepared.drops, masks=prepared.masks, settings=prepared.settings,
                       names=prepared.class_names)


def export_with(
    model: Any,
    ranges: Ranges,
    *,
    name: str,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    drops: Mapping[int, TokenDrop],
    masks: Masks,
    settings: Settings | None = None,
    weights: str = "trained",
    names: Sequence[str] | None = None,
) -> SparseVit:
    """Quantize a network as it is, with given ranges: after training, the very integers it was trained with.

    Parameters
    ----------
    model : VisionTransformer
    ranges : of its activations
    name : registry name
    mean, std : normalisation of the pixels
    drops : token drop per block
    masks : kept 16x16 blocks per pruned layer
    settings : how ranges become scales, and bits of the weights
    weights : where the weights came from
    names : class names; :func:`class_names` by default

    Raises
    ------
    ConfigError
        When a setting is out of range or a scale factor cannot be represented.
    WeightsError
        When the ranges are of another network.
    """
    numbers = quantize(model, ranges, mean, std, drops, masks, settings)
    artifact = SparseVit(
        model=name, weights=weights, image_size=model.patch_embed.img_size[0], patch=model.patch_embed.patch_size[0],
        heads=model.blocks[0].attn.num_heads, mean=mean, std=std,
        class_names=class_names(model.num_classes) if names is None else tuple(names),
        input_scale=numbers.input_scale, embed=numbers.embed, residual_init=numbers.residual_init,
        blocks=numbers.blocks, norm=numbers.norm, head=numbers.head, scales=numbers.scales,
        weight_bits=numbers.weight_bits)
    validate(artifact)
    return artifact


def prepare(model_name: str, **options: Any) -> Prepared:
    """The float network that :func:`export` quantizes, for the same options."""
    with one_thread():
        return _prepare(model_name, **options)[0]


def _prepare(
    model_name: str,
    *,
    weights: Path | str | None = None,
    keep_blocks: Keep | None = None,
    keep_tokens: float | None = None,
    drop_layers: Sequence[int] | None = None,
    drop_mode: str | None = None,
    threshold: float | None = None,
    balanced: bool = False,
    keep_neurons: float = 1.0,
    calibration: Path | str | None = None,
    calibration_images: int | None = None,
    seed: int = 0,
    synthetic: bool = False,
    block: int | tuple[int, int] = BLOCK,
    calibrate: str | None = None,
    weight_bits: WeightBits | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> tuple[Prepared, np.ndarray]:
    report = progress or (lambda stage, share: None)
    report("weights", 0.0)
    state, origin = load_weights(model_name, weights, seed, synthetic=synthetic)
    facts = {} if weights is None else read_facts(Path(weights))
    origin = facts.get("origin", origin)
    report("prune", 0.0)
    state = prune_neurons(state, keep_neurons)
    edges = (block, block) if isinstance(block, int) else block
    keep = (1.0 if facts else 0.5) if keep_blocks is None else keep_blocks
    state, _ = prune_blocks(state, keep, edges, balanced=balanced)
    model = model_of(model_name, state)
    config = resolve_data_config({}, model=model) | facts
    size, mean, std = model.patch_embed.img_size[0], tuple(config["mean"]), tuple(config["std"])
    chosen = _settings(settings, facts, calibrate, weight_bits)
    # calibration that is asked for goes before the ranges a network was trained with
    ranges = read_ranges(Path(weights)) if weights is not None and calibration is None and calibrate is None else None
    report("calibration images", 0.0)
    pixels = calibration_pixels(calibration, size, count=calibration_images, seed=seed)
    layers = resolve_layers(drop_layers or facts.get("drop_layers", DROP_LAYERS), len(model.blocks))
    mode = drop_mode or facts.get("drop_mode", "topk")
    if mode == "threshold" and keep_tokens is None and threshold is None:
        threshold = facts.get("threshold")
    if keep_tokens is None:
        keep_tokens = float(facts.get("keep_tokens", 1.0 if facts and threshold is None else 0.7))
    drops = token_drops(model, pixels, mean, std, layers, keep_tokens, mode, threshold)
    names = tuple(facts.get("class_names", ()))
    if len(names) != model.num_classes:
        names = class_names(model.num_classes)
    prepared = Prepared(model_name, model, origin, zero_block_masks(state), drops, mean, std, size, names, chosen,
                        ranges)
    return prepared, pixels


def _settings(given: Settings | None, facts: Mapping[str, Any], calibrate: str | None,
              weight_bits: WeightBits | None) -> Settings:
    settings = given or Settings(**facts.get("settings", {}))
    changes = {"calibrate": calibrate, "weight_bits": weight_bits}
    settings = replace(settings, **{name: value for name, value in changes.items() if value is not None})
    settings.check()
    estimator(settings.calibrate)
    return settings


def resolve_layers(layers: Sequence[int], depth: int) -> tuple[int, ...]:
    """Sorted drop layers; the default ones are scaled to the depth.

    Raises
    ------
    ConfigError
        When a layer is named twice or does not exist.
    """
    if tuple(layers) == DROP_LAYERS:
        return tuple(sorted({depth // 4, depth // 2, 3 * depth // 4} & set(range(depth))))
    if len(set(layers)) != len(layers):
        raise ConfigError(f"drop_layers names a block twice: {list(layers)}")
    for layer in layers:
        if not 0 <= layer < depth:
            raise ConfigError(f"drop_layers names block {layer}; the model has blocks 0 to {depth - 1}")
    return tuple(sorted(layers))


def class_names(classes: int) -> tuple[str, ...]:
    """ImageNet's class names for 1000 classes, else numbers."""
    if classes != 1000:
        return tuple(str(index) for index in range(classes))
    info = ImageNetInfo()
    return tuple(info.index_to_description(index) for index in range(classes))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: sums come out in the same order, so exports are the same bytes on any machine size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def model_of(model_name: str, state: dict[str, torch.Tensor]) -> Any:
    """The network with the weights ``state``, without gradients."""
    model = build_like(model_name, state)
    model.load_state_dict(state)
    return model.requires_grad_(False)


def token_drops(
    model: nn.Module, pixels: np.ndarray, mean: Sequence[float], std: Sequence[float], layers: Sequence[int],
    keep: float, mode: str, threshold: float | None,
) -> dict[int, TokenDrop]:
    """What is dropped after the attention of which block.

    Parameters
    ----------
    model : VisionTransformer
    pixels : uint8 ``(images, size, size, 3)``, for thresholds that are found
    mean, std : normalisation of the pixels
    layers : 0-based blocks, see :func:`resolve_layers`
    keep, mode, threshold : as for :func:`export`, but none of them absent by default

    Raises
    ------
    ConfigError
        For an unknown mode, a share out of range, or a threshold in top-k mode.
    """
    if mode not in ("topk", "threshold"):
        raise ConfigError(f"drop_mode must be topk or threshold, not {mode!r}")
    if threshold is not None and mode == "topk":
        raise ConfigError("threshold is for drop_mode threshold; top-k is set by keep_tokens")
    if not 0 < keep <= 1:
        raise ConfigError(f"keep_tokens must be above 0 and at most 1, not {keep}")
    network: Any = model
    if mode == "topk":
        return topk_schedule(network.patch_embed.num_patches + 1, layers, keep)
    if threshold is not None:
        return {layer: threshold_drop(threshold, network.blocks[layer].attn.num_heads) for layer in layers}
    return {} if keep == 1 else calibrate_thresholds(model, pixels, mean, std, layers, keep)
