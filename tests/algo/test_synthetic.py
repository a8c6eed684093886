"""Synthetic weights behave like trained ones where it matters to the hardware."""

import torch

from algo.data import calibration_pixels, normalise
from algo.models import build_model
from algo.prune import prune_blocks
from algo.synthetic import synthetic_state
from algo.tokens.evit import forward_with_drop

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_activations_are_healthy_dense_and_pruned() -> None:
    dense = synthetic_state("vit_micro", 0)
    images = normalise(calibration_pixels(None, 32, count=24), MEAN, STD)
    for state in (dense, prune_blocks(dense, 0.5)[0]):
        model = build_model("vit_micro")
        model.load_state_dict(state)
        seen: dict[str, torch.Tensor] = {}
        logits = forward_with_drop(model, images, None, seen.__setitem__)
        assert 0.3 < seen["residual"].std() < 5
        assert 0.5 < seen["blocks.2.norm1"].std() < 2
        score = seen["blocks.1.score"]
        assert 0.5 < score.std(-1).mean() < 4, "attention is uniform or one-hot"
        cls = seen["blocks.1.cls_attention"]
        assert (cls.amax(1) / cls.mean(1)).mean() > 2, "all tokens are equally important"
        assert logits.std(0).mean() > 0.3, "all images look the same"
        assert logits.argmax(1).unique().numel() > 1
