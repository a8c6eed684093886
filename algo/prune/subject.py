"""The network and the images that a pruning method looks at, from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from algo.data import calibration_labels, calibration_pixels
from algo.models import build_like, model_spec
from algo.prune.methods import MethodSpec, Progress, Subject
from algo.swin import build_swin, swin_weights
from algo.timm_compat import resolve_data_config
from algo.weights import load_weights, read_facts
from flows.contracts.errors import ConfigError


def load_subject(
    model_name: str,
    weights: Path | str | None,
    calibration: Path | str | None,
    *,
    images: int | None = None,
    seed: int = 0,
    synthetic: bool = False,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> tuple[Subject, str, dict[str, Any]]:
    """A dense network and calibration images.

    Parameters
    ----------
    model_name : registered model, or plain ViT or Swin of timm
    weights, synthetic, seed : as for :func:`algo.weights.load_weights`
    calibration, images : as for :func:`algo.data.calibration_pixels`
    options : of the pruning method
    progress : called with the name of a stage and the finished share of it

    Returns
    -------
    The subject (without token drop), where its weights came from, and what their file says about itself.

    Raises
    ------
    ConfigError, WeightsError, ImageError
        When something is unknown, unusable, or already pruned.
    """
    report = progress or (lambda stage, share: None)
    report("weights", 0.0)
    model, origin = _load_model(model_name, weights, seed, synthetic=synthetic)
    facts = read_facts(Path(weights)) if weights is not None else {}
    config = resolve_data_config({}, model=model)
    report("weights", 1.0)
    report("calibration images", 0.0)
    pixels = calibration_pixels(calibration, model.patch_embed.img_size[0], count=images, seed=seed)
    if not len(pixels):
        raise ConfigError("no calibration images; allow at least one")
    labels = calibration_labels(calibration, model.num_classes, count=images, seed=seed)
    report("calibration images", 1.0)
    subject = Subject(
        name=model_name, model=model, pixels=pixels,
        labels=np.full(len(pixels), -1, np.int64) if labels is None else labels,
        mean=tuple(facts.get("mean", config["mean"])), std=tuple(facts.get("std", config["std"])),
        seed=seed, options=dict(options or {}), progress=report)
    return subject, origin, facts


def _load_model(name: str, weights: Path | str | None, seed: int, *, synthetic: bool) -> tuple[Any, str]:
    if model_spec(name).architecture == "swin":
        state, origin = swin_weights(name, weights, seed, synthetic=synthetic)
        return build_swin(name, state), origin
    state, origin = load_weights(name, weights, seed, synthetic=synthetic)
    model = build_like(name, state)
    model.load_state_dict(state)
    return model.requires_grad_(False), origin


def trained_error(spec: MethodSpec) -> ConfigError:
    """What to say about a method that needs training."""
    return ConfigError(f"method {spec.name} is trained; use 'sievit train'")
