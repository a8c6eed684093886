"""Swin in PyTorch: multiplications against timm's own layers, pruning, weights, evaluation. All weights are seeded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from algo.data import Pack
from algo.prune.budget import fit
from algo.prune.dimap import ModuleFamily, dimap
from algo.prune.methods import Subject
from algo.swin import build_swin, swin_cost, swin_logits, swin_macs, swin_parameters, swin_weights
from algo.synthetic import synthetic_like
from algo.weights import save_weights
from flows.contracts.errors import ConfigError, WeightsError

NAME = "swin_tiny_patch4_window7_224"


@pytest.fixture(name="model", scope="module")
def fixture_model() -> Any:
    """Swin-T with made-up weights."""
    return build_swin(NAME, synthetic_like(build_swin(NAME).state_dict(), 0))


def linear_macs(model: Any, size: int) -> int:
    """Multiplications of linear and convolution layers, counted while timm runs them."""
    total = 0

    def count(layer: Any, _: Any, out: torch.Tensor) -> None:
        nonlocal total
        total += layer.weight.numel() * (out.numel() // layer.weight.shape[0])

    hooks = [part.register_forward_hook(count) for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    with torch.inference_mode():
        model(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return total


def attention_macs(model: Any) -> int:
    """Both products of every window, from the published formula 2 M^2 h w C (Liu et al. 2021, equation 2)."""
    height, width = model.patch_embed.grid_size
    return sum(2 * 49 * (-(-(height >> s) // 7) * 7) * (-(-(width >> s) // 7) * 7) * stage.blocks[0].dim * stage.depth
               for s, stage in enumerate(model.layers))


def test_published_size(model: Any) -> None:
    """Swin-T: 4.5 G multiplications, 28.3 M parameters (Liu et al. 2021, table 1)."""
    macs = swin_macs(model)
    assert round(macs.total / 1e9, 1) == 4.5
    assert round(swin_parameters(model) / 1e6, 1) == 28.3
    assert macs.total == macs.embed + sum(macs.stages) + macs.head and len(macs.stages) == 4
    assert macs.total == linear_macs(model, 224) + attention_macs(model)


def test_padded_windows() -> None:
    """96 pixels: maps of 24, 12, 6 and 3 tokens are padded to whole windows of 7 where they do not fit."""
    model = build_swin("swin_tiny_patch4_window7_224", image_size=96)
    smaller = [stage.blocks[0].window_size for stage in model.layers]
    macs = swin_macs(model)
    if all(size == (7, 7) for size in smaller):
        assert macs.total == linear_macs(model, 96) + attention_macs(model)
    else:  # timm shrinks windows to maps that are smaller
        expected = linear_macs(model, 96)
        for s, stage in enumerate(model.layers):
            rows, columns = smaller[s]
            tokens = (-(-(24 >> s) // rows) * rows) * (-(-(24 >> s) // columns) * columns)
            expected += 2 * rows * columns * tokens * stage.blocks[0].dim * stage.depth
        assert macs.total == expected


def test_masks_save_their_part(model: Any) -> None:
    """A block saves as many multiplications as tokens pass it, and its 256 parameters."""
    mask = np.ones((72, 24), bool)
    mask[3:7, 5] = False
    masks = {"layers.2.blocks.1.attn.qkv": mask}
    assert swin_macs(model).total - swin_macs(model, masks).total == 4 * 256 * 14 * 14
    assert swin_macs(model).stages[2] > swin_macs(model, masks).stages[2]
    assert swin_parameters(model) - swin_parameters(model, masks) == 4 * 256
    merging = np.ones((12, 24), bool)
    merging[0, 0] = False
    saved = swin_macs(model).stages[1] - swin_macs(model, {"layers.1.downsample.reduction": merging}).stages[1]
    assert saved == 256 * 28 * 28


def test_dimap_meets_a_budget(model: Any) -> None:
    """Pruned by multiplications; the pruned weights load and run, and what is gone is zero."""
    subject = Subject(NAME, model, np.zeros((0, 224, 224, 3), np.uint8), np.zeros(0, np.int64), (0.5,) * 3, (0.5,) * 3)
    limit = 0.7 * swin_macs(model).total
    family = dimap(subject)
    assert isinstance(family, ModuleFamily) and "layers.1.downsample.reduction" in family.scores
    found = fit(family, swin_cost(model), limit, unit="MACs", steps=9)
    assert 0.98 * limit <= found.cost <= limit
    pruned = build_swin(NAME, found.pruned.state)
    for name, mask in found.pruned.masks.items():
        full = np.repeat(np.repeat(mask, 16, 0), 16, 1)
        assert not pruned.get_submodule(name).weight.numpy()[~full].any()
    with torch.inference_mode():
        assert torch.isfinite(pruned(torch.zeros(1, 3, 224, 224))).all()


def test_logits_of_a_pack(model: Any) -> None:
    """Images of a pack, in the order asked for."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(3):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)).save(file, "JPEG")
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    pack = Pack(np.concatenate(files), np.cumsum([0, *map(len, files)]), np.zeros(3, np.int16), ())
    shares: list[float] = []
    logits = swin_logits(model, pack, [2, 0], shares.append)
    assert logits.shape == (2, 1000) and logits.dtype == np.float32 and shares == [1.0]
    np.testing.assert_allclose(logits[:1], swin_logits(model, pack, [2]), rtol=1e-3, atol=1e-3)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def test_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file, also of other classes; else the hub; else made up, and it says so."""
    state = synthetic_like(build_swin(NAME).state_dict(), 1)
    few = {name: tensor[:10] if name.startswith("head.fc.") else tensor for name, tensor in state.items()}
    save_weights(few, tmp_path / "few.safetensors", {})
    loaded, origin = swin_weights(NAME, tmp_path / "few.safetensors")
    assert origin == "file few.safetensors" and loaded["head.fc.weight"].shape == (10, 768)
    monkeypatch.setattr("algo.weights.hub_state", lambda spec: state if spec.timm_name == NAME else None)
    assert swin_weights(NAME)[1] == "timm hub"
    monkeypatch.setattr("algo.weights.hub_state", lambda spec: None)
    seeded, origin = swin_weights(NAME, seed=1)
    assert origin.startswith("synthetic (seed 1)")
    assert torch.equal(seeded["layers.0.blocks.0.attn.qkv.weight"], state["layers.0.blocks.0.attn.qkv.weight"])
    assert float(seeded["layers.0.blocks.0.attn.relative_position_bias_table"].std()) > 0.1


def test_errors() -> None:
    with pytest.raises(ConfigError, match="unknown model 'nothing'"):
        build_swin("nothing")
    for other in ("deit_t", "deit_tiny_patch16_224", "resnet18", "swinv2_tiny_window8_256"):
        with pytest.raises(ConfigError, match=f"'{other}' is no Swin"):
            build_swin(other)
    with pytest.raises(WeightsError, match="lacks the tensor"):
        build_swin(NAME, {})
