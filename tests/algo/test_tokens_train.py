"""Token drop in training selects and fuses as inference does."""

import pytest
import torch

from algo.models import build_model
from algo.synthetic import synthetic_state
from algo.tokens.count import topk_schedule
from algo.tokens.evit import drop_tokens, forward_with_drop, threshold_drop
from algo.tokens.train import keep_topk, scheduled_rules, token_rules
from algo.train.network import forward
from flows.contracts.artifact import TokenDrop


@pytest.fixture(scope="module")
def model():
    network = build_model("vit_micro")
    network.load_state_dict(synthetic_state("vit_micro", 5))
    return network


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def test_topk_keeps_order_and_of_equal_scores_the_lower_index() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 12, 8, generator=generator)
    score = torch.randint(0, 4, (5, 12), generator=generator) / 16  # many ties
    mine, alive = keep_topk(6)(x, score, None)
    assert alive is None
    assert torch.allclose(mine, drop_tokens(x, score, TokenDrop("topk", keep=6), heads=2), atol=1e-6)
    assert torch.equal(keep_topk(11)(x, score, None)[0], x)


@pytest.mark.parametrize("layers", [(1,), (0, 1), (0, 1, 2)])
def test_topk_training_forward_is_the_inference_forward(model, images, layers) -> None:
    drops = topk_schedule(17, layers, 0.6)
    expected = forward_with_drop(model, images, drops)
    assert torch.allclose(forward(model, images, drops=token_rules(drops, 2)), expected, atol=1e-4)
    assert torch.allclose(forward(model, images, drops=scheduled_rules(model, layers, 0.6)), expected, atol=1e-4)
    assert not scheduled_rules(model, layers, 1.0)


@pytest.mark.parametrize("threshold", [0.02, 0.05, 0.1, 1.0])
def test_threshold_training_forward_is_the_inference_forward(model, images, threshold) -> None:
    """Images of a batch keep different numbers of tokens; each must see what it would see alone."""
    drops = {layer: threshold_drop(threshold, 2) for layer in (0, 1)}
    alone = torch.cat([forward_with_drop(model, image[None], drops) for image in images])
    assert torch.allclose(forward(model, images, drops=token_rules(drops, 2)), alone, atol=1e-4)


def test_gradients_pass_the_drop(model, images) -> None:
    network = build_model("vit_micro")
    network.load_state_dict(model.state_dict())
    for rules in (scheduled_rules(network, (1,), 0.5), token_rules({1: threshold_drop(0.05, 2)}, 2)):
        network.zero_grad()
        forward(network, images, drops=rules).square().sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
