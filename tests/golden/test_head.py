"""The classifier head."""

from __future__ import annotations

import numpy as np

from sim.golden import head
from tests.factory import random_artifact
from tests.golden import reference


def test_only_the_cls_token_counts() -> None:
    artifact = random_artifact(classes=37, seed=4)
    x = np.random.default_rng(0).integers(-20000, 20000, (9, 64)).astype(np.int16)
    codes = head.norm(x, artifact.norm)
    assert codes.shape == (1, 64)
    assert codes.tolist() == reference.norm_rows(x[:1].tolist(), artifact.norm)
    logits = head.logits(codes, artifact.head)
    assert logits.dtype == np.int16
    assert logits.tolist() == reference.linear(codes.tolist(), artifact.head, 16)[0]
    assert (head.logits(codes, artifact.head, artifact.head.weight.astype(np.float32)) == logits).all()
    assert logits.std() > 1000
