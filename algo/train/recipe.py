"""Recipes: everything that decides a training run, read from YAML and checked before anything starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.contracts.errors import ConfigError


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Part):
    """Where images come from.

    Attributes
    ----------
    train, test : a data pack (``.npz``), a folder with one folder of images per class, or ``module:Class(argument)``
        for a class of the user's own (see :class:`flows.contracts.images.ImageSet`)
    limit : use only the first images of the training set
    """

    train: str
    test: str
    limit: int | None = Field(default=None, ge=1)


class Augment(_Part):
    """Random changes of the training images.

    Attributes
    ----------
    crop : ``pad`` shifts the image by up to ``pad`` pixels (reflected at the border), ``resized`` cuts out a box of
        ``scale`` of the area with an aspect of 3:4 to 4:3 (Szegedy et al. 2015), ``none`` takes the centre
    flip : probability of a mirror image
    erase : probability that a rectangle of up to a third of the area becomes grey (Zhong et al. 2020)
    mixup : each image is blended with another one, with a share drawn from Beta(mixup, mixup) (Zhang et al. 2018); 0
        for none. With a teacher this makes any number of new questions of few images (Beyer et al. 2022)
    """

    crop: Literal["pad", "resized", "none"] = "pad"
    pad: int = Field(default=4, ge=0)
    scale: tuple[float, float] = (0.35, 1.0)
    flip: float = Field(default=0.5, ge=0, le=1)
    erase: float = Field(default=0.0, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0)


class Optimizer(_Part):
    """AdamW with linear warm-up and cosine decay.

    Attributes
    ----------
    lr : highest learning rate of the weights
    weight_decay : of matrices; vectors and embeddings have none
    warmup : share of the steps
    final : learning rate at the end, as a share of ``lr``
    betas : of AdamW
    clip : largest norm of the gradient; 0 for no limit
    """

    lr: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    final: float = Field(default=0.01, ge=0, le=1)
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = Field(default=1.0, ge=0)


class Teacher(_Part):
    """Knowledge distillation (Hinton et al. 2015) from a dense network of the same architecture.

    Attributes
    ----------
    weights : file with timm names
    alpha : weight of the teacher's answers against the labels, 0..1
    temperature : softens both distributions
    features : weight of the distance between the tokens of student and teacher after every block
    """

    weights: str
    alpha: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=2.0, gt=0)
    features: float = Field(default=0.0, ge=0)


class Budget(_Part):
    """What the pruned network may cost; exactly one of them.

    Attributes
    ----------
    keep : share of the weights of the encoder's matrices
    macs : share of the dense network's multiplications, both with the recipe's token drop
    cycles : cycles of an image on the hardware of ``clusters``, ``groups`` and ``hardware``
    clusters, groups, hardware : hardware configuration
    """

    keep: float | None = Field(default=None, gt=0, le=1)
    macs: float | None = Field(default=None, gt=0, le=1)
    cycles: int | None = Field(default=None, gt=0)
    clusters: int = 4
    groups: int = 1
    hardware: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one(self) -> Budget:
        if sum(value is not None for value in (self.keep, self.macs, self.cycles)) != 1:
            raise ValueError("give exactly one of keep, macs, cycles")
        return self


class Prune(_Part):
    """Weight pruning while training.

    Attributes
    ----------
    method : ``learned`` scores, ``magnitude``, or ``fixed``: what is zero in the initial weights stays zero
    budget : what may be left
    pattern : ``blocks`` prunes 16x16 blocks everywhere; ``alternate`` prunes blocks in attention and whole hidden
        neurons in the MLP, a row of fc1 together with a column of fc2
    balanced : the same number of blocks in every output block column
    attention : share of the weights of attention that is kept when that of all weights is one half; the MLP has what is
        left. Attention is pruned in blocks, which costs more accuracy than whole neurons. Absent: the same share
    prepare : put the channels of each head in the order of their importance before anything is pruned, and let learned
        scores start in the order of importance, both measured on the first training batch
    start, end : shares of the steps between which the kept share falls along a cubic curve
    freeze : share of the steps after which the mask stays
    score_lr : learning rate of the scores
    regulariser : weight of the mean sigmoid of the scores
    """

    method: Literal["learned", "magnitude", "fixed"] = "learned"
    budget: Budget = Budget(keep=0.5)
    pattern: Literal["alternate", "blocks"] = "alternate"
    balanced: bool = False
    attention: float | None = Field(default=None, gt=0, lt=1)
    prepare: bool = True
    start: float = Field(default=0.05, ge=0, le=1)
    end: float = Field(default=0.5, ge=0, le=1)
    freeze: float = Field(default=0.6, ge=0, le=1)
    score_lr: float = Field(default=1e-2, gt=0)
    regulariser: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _order(self) -> Prune:
        if not self.start <= self.end <= self.freeze:
            raise ValueError("start, end and freeze must not decrease")
        return self


class Tokens(_Part):
    """Token drop while training.

    Attributes
    ----------
    keep : share of patch tokens kept at every drop (top-k)
    threshold : smallest mean attention from CLS that is kept; selects threshold mode
    layers : blocks after whose attention tokens are dropped
    start, end : shares of the steps between which the share falls from 1 along a cosine (EViT)
    """

    keep: float = Field(default=0.7, gt=0, le=1)
    threshold: float | None = Field(default=None, ge=0, le=1)
    layers: tuple[int, ...] = (3, 6, 9)
    start: float = Field(default=0.05, ge=0, le=1)
    end: float = Field(default=0.4, ge=0, le=1)


class Quantize(_Part):
    """Quantization-aware training of the last part of a run.

    Attributes
    ----------
    start : share of the steps after which the forward pass is that of the integer network; masks are frozen and tokens
        dropped as in the end by then
    lr : highest learning rate from there on, as a share of the recipe's
    images : number of training images that activation ranges are measured on
    calibrate : how, see :func:`algo.quant.estimators.estimator_names`
    weight_bits : 4 to 8, of the layers of the encoder, or by kind of layer
    """

    start: float = Field(default=0.9, ge=0, le=1)
    lr: float = Field(default=1.0, gt=0)
    images: int = Field(default=256, ge=1)
    calibrate: str = "minmax"
    weight_bits: int | dict[str, int] = 8


class Recipe(_Part):
    """A training run.

    Attributes
    ----------
    model : registry name
    origin : what the trained weights are, in words, for reports; absent: where they started from
    weights : initial weights with timm names; absent: timm's pretrained ones. Another image size or number of classes
        is adapted: positions are interpolated, the head starts anew
    image_size : pixels; absent: of the model
    data, augment, optimizer, teacher, prune, tokens, quantize : see there; an absent part is not done
    epochs : passes over the training set; may be a fraction
    batch : images per step, over all processes
    label_smoothing : of the cross entropy
    precision : of the matrix products
    seed : the same seed gives the same weights on the same machine
    evaluate : epochs between evaluations
    evaluate_images : test images looked at in them; the last one sees all
    checkpoint : steps between checkpoints
    threads : of torch in each process
    """

    model: str = "deit_t"
    origin: str | None = None
    weights: str | None = None
    image_size: int | None = Field(default=None, ge=16)
    data: Data
    augment: Augment = Augment()
    optimizer: Optimizer = Optimizer()
    teacher: Teacher | None = None
    prune: Prune | None = None
    tokens: Tokens | None = None
    quantize: Quantize | None = None
    epochs: float = Field(default=10, gt=0)
    batch: int = Field(default=128, ge=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    seed: int = Field(default=0, ge=0)
    evaluate: float = Field(default=1.0, gt=0)
    evaluate_images: int = Field(default=2000, ge=1)
    checkpoint: int = Field(default=100, ge=1)
    threads: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _quantized_last(self) -> Recipe:
        if self.quantize is None:
            return self
        if self.prune is not None and self.prune.method != "fixed" and self.quantize.start < self.prune.freeze:
            raise ValueError("quantize.start must not be before prune.freeze")
        if self.tokens is not None and self.quantize.start < self.tokens.end:
            raise ValueError("quantize.start must not be before tokens.end")
        return self


def load_recipe(path: Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe. ``$NAME`` and ``${NAME}`` in texts are environment variables.

    Parameters
    ----------
    changes : fields to replace, by dotted name (``{"prune.budget.keep": 0.3}``)

    Raises
    ------
    ConfigError
        When the file is missing or no YAML, for an unknown or wrong field, or a variable that is not set.
    """
    if not path.is_file():
        raise ConfigError(f"no recipe at {path}; give a YAML file such as those in docs/results")
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is no YAML ({reason})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is no recipe: it must be a mapping of fields")
    for name, value in (changes or {}).items():
        _replace(content, name.split("."), value)
    try:
        return Recipe.model_validate(_expanded(content, path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise ConfigError(f"{path}: {where}: {first['msg']}") from None


def _replace(content: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = content.get(part)
        content[part] = dict(inner) if isinstance(inner, dict) else {}
        content = content[part]
    content[path[-1]] = value


def _expanded(value: Any, path: Path) -> Any:
    """``value`` with environment variables filled in."""
    if isinstance(value, dict):
        return {key: _expanded(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, path) for item in value]
    if not isinstance(value, str):
        return value
    text = os.path.expandvars(value)
    missing = re.search(r"\$(\w+|\{\w+\})", text)
    if missing:
        raise ConfigError(f"{path} uses the environment variable {missing[0]}, which is not set; set it to a folder")
    return text
