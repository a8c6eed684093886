"""Registry of pruning methods, in the style of timm: a factory by name.

A method ranks the parts of a network once, and then answers with a plan for any share of its own measure
(:class:`Family`). :func:`algo.prune.budget.fit` asks it for plans until a budget is met, so that every method works
under every kind of budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from torch import Tensor

from algo.prune.plan import Pruned
from algo.registry import Registry
from flows.contracts.artifact import TokenDrop

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Subject:
    """What a method may look at.

    Attributes
    ----------
    name : registry name of the model
    model : the dense network in evaluation mode, without gradients: a timm VisionTransformer (or a Swin, where a method
        supports it)
    pixels : uint8 ``(images, size, size, 3)`` of calibration images; may be empty
    labels : int64 ``(images,)``, -1 where unknown
    mean, std : normalisation of the pixels
    drops : token drop per block, active while the method looks at activations
    seed : for everything random
    options : method's own options by name
    progress : called with the name of a stage and the finished share of it
    """

    name: str
    model: Any
    pixels: np.ndarray
    labels: np.ndarray
    mean: Sequence[float]
    std: Sequence[float]
    drops: Mapping[int, TokenDrop] = field(default_factory=dict)
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = lambda stage, share: None


def weights_of(subject: Subject) -> dict[str, Tensor]:
    """The subject's weights by timm name; not copies."""
    return {name: tensor.detach() for name, tensor in subject.model.state_dict().items()}


class Family(Protocol):
    """Plans of one network by one method, from dense to nothing left.

    Where the network takes long to make, the class may also have ``sketch(share)``: a network of the same cost, whose
    weights are not finished, see :func:`algo.prune.budget.fit`.
    """

    def at(self, share: float) -> Pruned:
        """The network with ``share`` (0..1) of its prunable work left: 1 is dense; costs do not fall when it grows."""
        ...


Method = Callable[[Subject], Family]
M = TypeVar("M", bound=Method)


@dataclass(frozen=True)
class MethodSpec:
    """A registered method.

    Attributes
    ----------
    name : registry name
    function : ranks a network
    needs : ``"nothing"``, ``"images"``, ``"labels"`` or ``"training"``
    architectures : ``"vit"``, and ``"swin"`` where supported
    summary : first line of the function's docstring
    """

    name: str
    function: Method
    needs: str
    architectures: tuple[str, ...]
    summary: str


NEEDS = ("nothing", "images", "labels", "training")

_METHODS: Registry[MethodSpec] = Registry("pruning method")


def register_method(name: str, needs: str, architectures: tuple[str, ...] = ("vit",)) -> Callable[[M], M]:
    """Decorator: make a pruning method known as ``name``."""
    if needs not in NEEDS:
        raise ValueError(f"method {name} needs {needs!r}, which is none of {NEEDS}")

    def register(function: M) -> M:
        summary = (function.__doc__ or "").strip().split("\n")[0]
        _METHODS.add(name, MethodSpec(name, function, needs, architectures, summary))
        return function

    return register


def method_names() -> list[str]:
    """Registered names, sorted."""
    return _METHODS.names()


def method_spec(name: str) -> MethodSpec:
    """The method registered as ``name``.

    Raises
    ------
    ConfigError
        When there is none.
    """
    return _METHODS.find(name)
