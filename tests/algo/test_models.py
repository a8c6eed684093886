"""The model registry, and what it refuses."""

import pytest
import torch

from algo.models import build_model, check_supported, model_names, model_spec, register_model
from algo.timm_compat import timm
from flows.contracts.errors import ConfigError


def test_registered_names() -> None:
    assert model_names() == ["deit_b", "deit_s", "deit_t", "swin_b", "swin_micro", "swin_s", "swin_t", "vit_micro"]
    assert model_spec("deit_t").timm_name == "deit_tiny_patch16_224"


def test_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown model 'deit_x'; known: deit_b, deit_s, deit_t, swin_b, "):
        model_spec("deit_x")


def test_a_name_cannot_be_registered_twice() -> None:
    def deit_t() -> None:
        """Another one."""

    with pytest.raises(ValueError, match="'deit_t' is registered twice"):
        register_model(deit_t)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["swin_t", "swin_micro", "swin_small_patch4_window7_224.ms_in1k"])
def test_swins_are_known_but_not_for_the_accelerator(name: str) -> None:
    assert model_spec(name).architecture == "swin"
    with pytest.raises(ConfigError, match=rf"model '{name}' cannot run on the accelerator \(it is a Swin\); only"):
        build_model(name)
    assert model_spec("deit_t").architecture == model_spec("vit_tiny_patch16_224").architecture == "vit"


@pytest.mark.parametrize(("name", "width", "heads", "depth", "tokens", "classes"), [
    ("deit_t", 192, 3, 12, 197, 1000),
    ("vit_micro", 64, 2, 3, 17, 10),
])
def test_shape(name: str, width: int, heads: int, depth: int, tokens: int, classes: int) -> None:
    model = build_model(name)
    assert (model.embed_dim, len(model.blocks), model.num_classes) == (width, depth, classes)
    assert model.blocks[0].attn.num_heads == heads
    assert model.pos_embed.shape == (1, tokens, width)
    assert not model.training


def test_hidden_widths_of_pruned_neurons() -> None:
    model = build_model("vit_micro", [256, 128, 16])
    assert [block.mlp.fc2.in_features for block in model.blocks] == [256, 128, 16]


@pytest.mark.parametrize(("name", "reason"), [
    ("deit_tiny_distilled_patch16_224", "it has a distillation token"),
    ("vit_small_patch14_reg4_dinov2", "it has register tokens"),
    ("vit_base_patch16_clip_224", "it normalises before the first block"),
    ("resnet18", "it is a ResNet"),
])
def test_timm_models_that_are_refused(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"model '{name}' is not supported: {reason}"), torch.device("meta"):
        build_model(name)


@pytest.mark.parametrize(("options", "reason"), [
    ({"init_values": 1e-5}, "it uses LayerScale"),
    ({"qk_norm": True}, "qk-norm"),
    ({"global_pool": "avg", "fc_norm": False}, "it pools by 'avg'"),
    ({"num_classes": 0}, "it has no linear head"),
    ({"num_heads": 8}, "its head width is no multiple of 16"),
    ({"act_layer": torch.nn.ReLU}, "its MLP is not linear, GELU, linear"),
    ({"no_embed_class": True}, "it has no position embedding for CLS"),
])
def test_options_that_are_refused(options: dict, reason: str) -> None:
    base = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "num_heads": 2, "depth": 1, "num_classes": 10}
    model = timm.create_model("deit_tiny_patch16_224", **{**base, **options})
    with pytest.raises(ConfigError, match=reason):
        check_supported(model, "some")
