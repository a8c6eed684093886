"""Import timm beside a torchvision whose compiled operators do not match the installed torch.

``torchvision`` from the package index may be built for another torch; its import then fails in
``register_fake("torchvision::nms")``, and timm, which needs only its pure Python parts, fails with it. This module
makes exactly that registration optional while it imports timm. Where torchvision is intact nothing changes.

Use ``from algo.timm_compat import timm`` instead of ``import timm``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def _missing_torchvision_operators_allowed() -> Iterator[None]:
    original = torch.library.register_fake

    def register_fake(op: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(op, *args, **kwargs)
        foreign = isinstance(op, str) and op.startswith("torchvision::")
        return _tolerant(result) if foreign and callable(result) else result

    torch.library.register_fake = register_fake  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.library.register_fake = original


def _tolerant(decorator: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``decorator``, except that a function for an operator that does not exist is left as it is."""

    def decorate(function: Any) -> Any:
        try:
            return decorator(function)
        except RuntimeError:
            return function

    return decorate


with _missing_torchvision_operators_allowed():
    import timm
    import timm.models
    from timm.data.config import resolve_data_config
    from timm.data.imagenet_info import ImageNetInfo

__all__ = ["ImageNetInfo", "resolve_data_config", "timm"]
