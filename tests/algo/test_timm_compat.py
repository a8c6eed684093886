"""The import shim touches torchvision's operators only, and only while it imports."""

import pytest
import torch

from algo import timm_compat


def test_registration_is_restored() -> None:
    assert torch.library.register_fake.__module__ == "torch.library"


def test_only_missing_torchvision_operators_are_forgiven() -> None:
    def function() -> int:
        return 3

    with timm_compat._missing_torchvision_operators_allowed():
        assert torch.library.register_fake("torchvision::no_such_operator")(function) is function
        with pytest.raises(RuntimeError):
            torch.library.register_fake("sievit_test::no_such_operator")(function)


def test_existing_operators_are_registered_as_before() -> None:
    with torch.library._scoped_library("torchvision", "FRAGMENT") as library:
        library.define("sievit_double(Tensor x) -> Tensor")
        with timm_compat._missing_torchvision_operators_allowed():
            torch.library.register_fake("torchvision::sievit_double", lib=library)(torch.empty_like)
        result = torch.ops.torchvision.sievit_double(torch.empty(2, 3, device="meta"))
        assert result.shape == (2, 3)
