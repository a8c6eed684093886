"""Token drop in the float model."""

from typing import Any

import pytest
import torch

from algo.data import calibration_pixels, normalise
from algo.models import build_model
from algo.synthetic import synthetic_state
from algo.tokens.count import kept_tokens, topk_schedule
from algo.tokens.evit import drop_tokens, forward_with_drop, threshold_drop
from algo.tokens.threshold import calibrate_thresholds
from flows.contracts.artifact import TokenDrop
from flows.contracts.errors import ConfigError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def model() -> Any:
    network = build_model("vit_micro")
    network.load_state_dict(synthetic_state("vit_micro", 0))
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def pixels() -> Any:
    return calibration_pixels(None, 32, count=12)


def test_schedule_of_deit() -> None:
    drops = topk_schedule(197, (3, 6, 9), 0.7)
    assert [drop.keep + 2 for drop in drops.values()] == [140, 100, 72]  # EViT's token counts at keep rate .7
    assert [drop.keep + 2 for drop in topk_schedule(197, (3, 6, 9), 0.5).values()] == [100, 52, 28]
    assert topk_schedule(197, (3, 6, 9), 1.0) == {}
    assert topk_schedule(2, (0, 1), 0.5) == {}  # one patch: nothing to choose


def test_count_is_not_disturbed_by_rounding() -> None:
    assert kept_tokens(0.7, 11) == 7  # 0.7 * 10 is 7.000000000000001 in binary
    assert kept_tokens(0.71, 11) == 8


def test_without_drop_it_is_timm_s_model(model: Any, pixels: Any) -> None:
    images = normalise(pixels, MEAN, STD)
    expected = model(images)
    assert expected.std() > 0.5
    assert torch.allclose(forward_with_drop(model, images), expected, atol=1e-5)
    everything = dict.fromkeys(range(3), TokenDrop("topk", keep=16))
    assert torch.allclose(forward_with_drop(model, images, everything), expected, atol=1e-5)
    nothing = dict.fromkeys(range(3), TokenDrop("threshold", threshold=0))
    assert torch.allclose(forward_with_drop(model, images, nothing), expected, atol=1e-5)


def test_drop_changes_token_counts_and_result(model: Any, pixels: Any) -> None:
    images = normalise(pixels, MEAN, STD)
    counts: dict[str, int] = {}
    drops = {0: TokenDrop("topk", keep=5), 2: TokenDrop("topk", keep=1)}
    logits = forward_with_drop(model, images, drops, lambda name, value: counts.__setitem__(name, value.shape[1]))
    assert [counts[f"blocks.{layer}.norm1"] for layer in range(3)] == [17, 7, 7]
    assert [counts[f"blocks.{layer}.norm2"] for layer in range(3)] == [7, 7, 3]
    assert not torch.allclose(logits, forward_with_drop(model, images), atol=1e-2)


def test_topk_keeps_order_and_fuses_with_raw_attention() -> None:
    x = torch.arange(1.0, 6.0)[None, :, None] * torch.tensor([1.0, 10.0])
    attention = torch.tensor([[0.1, 0.2, 0.4, 0.05, 0.25]])
    y = drop_tokens(x, attention, TokenDrop("topk", keep=2), 1)
    assert torch.equal(y[0, :3], x[0, [0, 2, 4]])
    assert torch.allclose(y[0, 3], 0.2 * x[0, 1] + 0.05 * x[0, 3])


def test_of_equal_scores_the_lower_index_stays() -> None:
    x = torch.arange(6.0)[None, :, None]
    attention = torch.tensor([[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]])
    assert drop_tokens(x, attention, TokenDrop("topk", keep=3), 1)[0, :4, 0].tolist() == [0, 1, 2, 3]


def test_each_image_of_a_batch_keeps_its_own_tokens() -> None:
    x = torch.arange(4.0)[None, :, None].repeat(2, 1, 1)
    attention = torch.tensor([[0.1, 0.6, 0.2, 0.1], [0.1, 0.1, 0.2, 0.6]])
    y = drop_tokens(x, attention, TokenDrop("topk", keep=1), 1)
    assert y[:, 1, 0].tolist() == [1, 3]


def test_threshold_may_drop_all_and_includes_equality() -> None:
    x = torch.arange(1.0, 4.0)[None, :, None]
    attention = torch.tensor([[0.5, 0.25, 0.125]])
    assert drop_tokens(x, attention, threshold_drop(0.9, 2), 2)[0, :, 0].tolist() == [1, 0.25 * 2 + 0.125 * 3]
    assert drop_tokens(x, attention, threshold_drop(0.25, 2), 2)[0, :, 0].tolist() == [1, 2, 0.375]


def test_threshold_mode_takes_images_one_by_one(model: Any, pixels: Any) -> None:
    images = normalise(pixels, MEAN, STD)
    drops = {1: threshold_drop(0.05, 2)}
    counts: list[int] = []

    def observe(name: str, value: torch.Tensor) -> None:
        if name == "blocks.1.norm2":
            counts.append(value.shape[1])

    together = forward_with_drop(model, images, drops, observe)
    alone = torch.cat([forward_with_drop(model, image[None], drops) for image in images])
    assert torch.equal(together, alone)
    assert len(set(counts)) > 1, "the number of tokens should depend on the image"


def test_calibrated_thresholds_keep_the_share(model: Any, pixels: Any) -> None:
    drops = calibrate_thresholds(model, pixels, MEAN, STD, (0, 1), 0.6)
    kept: dict[str, list[float]] = {}

    def observe(name: str, value: torch.Tensor) -> None:
        if name.endswith("cls_attention"):
            scores = value[0, 1:]
            layer = int(name.split(".")[1])
            if layer in drops:
                limit = drops[layer].threshold / (2 << 16)
                kept.setdefault(name, []).append(float((scores >= limit).sum()) / len(scores))

    forward_with_drop(model, normalise(pixels, MEAN, STD), drops, observe)
    for shares in kept.values():
        assert abs(sum(shares) / len(shares) - 0.6) < 0.06
    assert len(kept) == 2


@pytest.mark.parametrize("keep", [0, -0.1, 1.1])
def test_keep_out_of_range(keep: float) -> None:
    with pytest.raises(ConfigError, match="keep_tokens must be above 0 and at most 1"):
        topk_schedule(197, (3,), keep)


def test_threshold_out_of_range() -> None:
    with pytest.raises(ConfigError, match="threshold must be a mean attention from 0 to 1"):
        threshold_drop(1.5, 3)
    assert threshold_drop(1.0, 16).threshold == 16 << 16
    assert threshold_drop(1.0, 32).threshold == (1 << 21) - 1  # the field has 21 bits
