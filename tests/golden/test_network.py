"""The whole network: against the pure Python reference, against float, and its interface."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from flows.contracts.artifact import Linear, Norm, SparseVit, TokenDrop
from flows.contracts.errors import ArtifactError, ConfigError
from sim.golden.network import Golden, classify, run, select_layers
from tests.factory import SCORE_SCALE, random_artifact, random_patches
from tests.golden import reference

BLOCK_NAMES = ["norm1", "query", "key", "value", "score", "context", "proj", "norm2", "hidden", "mlp"]

CASES = {
    "plain": {},
    "two tokens": {"tokens": 2, "classes": 5},
    "one head": {"width": 32, "heads": 1, "tokens": 9, "hidden": 48},
    "wide heads": {"width": 96, "heads": 2, "tokens": 6, "hidden": 80, "classes": 19, "depth": 1},
    "three heads": {"width": 48, "heads": 3, "tokens": 12, "hidden": 16, "depth": 3},
    "larger patches": {"patch_inputs": 192, "tokens": 5, "depth": 1},
    "dense": {"keep_blocks": 1.0, "depth": 1},
    "all pruned": {"keep_blocks": 0.0, "depth": 1},
    "empty columns and heads": {"empty_columns": (0, 5, ("fc1", 3), ("qkv", 9)), "empty_heads": (1,)},
    "top-k": {"depth": 3, "drop": {0: TokenDrop("topk", keep=11), 2: TokenDrop("topk", keep=4)}},
    "top-k keeps all": {"drop": {0: TokenDrop("topk", keep=16), 1: TokenDrop("topk", keep=99)}},
    "top-k drops one": {"drop": {0: TokenDrop("topk", keep=15)}},
    "top-k drops all": {"depth": 3, "drop": {0: TokenDrop("topk"), 1: TokenDrop("topk")}},
    "two tokens, all dropped": {"tokens": 2, "drop": {0: TokenDrop("topk")}},
    "threshold": {"depth": 3, "drop": {0: TokenDrop("threshold", threshold=4000),
                                       1: TokenDrop("threshold", threshold=3000)}},
    "threshold drops all": {"drop": {0: TokenDrop("threshold", threshold=2**21 - 1)}},
    "threshold keeps all": {"drop": {1: TokenDrop("threshold", threshold=0)}},
}


@pytest.mark.parametrize("name", CASES)
def test_every_checkpoint_equals_reference(name: str) -> None:
    artifact = random_artifact(seed=11, **CASES[name])
    patches = random_patches(artifact, 5)
    checkpoints = run(artifact, patches, record=True).checkpoints
    want = reference.network(artifact, patches)
    assert list(checkpoints) == list(want)
    for key, array in checkpoints.items():
        assert array.tolist() == want[key], key


def test_checkpoint_names_shapes_and_types() -> None:
    artifact = random_artifact(tokens=20, drop={0: TokenDrop("topk", keep=7)}, classes=13)
    result = run(artifact, random_patches(artifact), record=True)
    names = ["embed"] + [f"block{layer}.{name}" for layer in range(2) for name in BLOCK_NAMES] + ["norm", "logits"]
    assert list(result.checkpoints) == names
    expected = {"embed": (20, 64), "block0.norm1": (20, 64), "block0.query": (20, 64), "block0.score": (2, 20, 20),
                "block0.context": (20, 64), "block0.proj": (9, 64), "block0.norm2": (9, 64), "block0.hidden": (9, 128),
                "block0.mlp": (9, 64), "block1.score": (2, 9, 9), "norm": (1, 64), "logits": (13,)}
    for name, shape in expected.items():
        assert result.checkpoints[name].shape == shape, name
    for name, array in result.checkpoints.items():
        part = name.split(".")[-1]
        wide = part in ("embed", "proj", "mlp", "logits")
        assert array.dtype == (np.int16 if wide else np.uint8 if part == "hidden" else np.int8), name
    assert result.tokens == [9, 9]
    assert (result.logits == result.checkpoints["logits"]).all()


def test_kept_tokens_are_the_largest_scores() -> None:
    artifact = random_artifact(tokens=30, depth=3, drop={0: TokenDrop("topk", keep=10), 2: TokenDrop("topk", keep=99)})
    result = run(artifact, random_patches(artifact), record=True)
    assert set(result.kept) == {0, 2}
    assert len(result.kept[0]) == 10
    assert result.kept[2].tolist() == list(range(1, 12))
    before, after = result.checkpoints["block0.score"], result.checkpoints["block0.proj"]
    assert before.shape[1] == 30
    assert after.shape[0] == 12
    _, scores = reference.attention(result.checkpoints["block0.norm1"].tolist(), artifact.blocks[0], artifact.heads)
    lowest = min(scores[j] for j in result.kept[0])
    assert all(scores[j] <= lowest for j in range(1, 30) if j not in result.kept[0])


def test_observe_sees_what_is_recorded() -> None:
    artifact = random_artifact()
    seen: list[tuple[str, np.ndarray]] = []
    result = run(artifact, random_patches(artifact), record=True, observe=lambda *item: seen.append(item))
    assert [name for name, _ in seen] == list(result.checkpoints)
    assert all(array is result.checkpoints[name] for name, array in seen)
    assert run(artifact, random_patches(artifact)).checkpoints == {}


@pytest.mark.parametrize("drop", [{}, {0: TokenDrop("topk", keep=8)}, {0: TokenDrop("threshold", threshold=4000)}])
def test_classify_equals_run(drop: dict[int, TokenDrop]) -> None:
    artifact = random_artifact(drop=drop, tokens=26, classes=33)
    patches = random_patches(artifact, 3, batch=6)
    golden = Golden(artifact)
    results = [golden.run(image) for image in patches]
    logits = classify(artifact, patches)
    assert logits.dtype == np.int16
    assert (logits == np.stack([result.logits for result in results])).all()
    assert len(np.unique(logits, axis=0)) == 6
    if drop and drop[0].mode == "threshold":
        assert len({tuple(result.tokens) for result in results}) > 1


def test_partial_runs() -> None:
    artifact = dataclasses.replace(random_artifact(depth=4, drop={2: TokenDrop("topk", keep=6)}), scales={
        "residual": 1.0, "block1.query": 2.0, "blocks.2.score": 3.0, "block3.key": 4.0})
    patches = random_patches(artifact)
    part = select_layers(artifact, 1, 2)
    assert part.blocks == artifact.blocks[1:3]
    assert part.scales == {"residual": 1.0, "block0.query": 2.0, "blocks.1.score": 3.0}
    want = run(part, patches, record=True)
    got = run(artifact, patches, layers=range(1, 3), record=True)
    assert list(got.checkpoints) == list(want.checkpoints)
    assert all((got.checkpoints[name] == want.checkpoints[name]).all() for name in want.checkpoints)
    assert got.tokens == [17, 8]
    whole = run(artifact, patches, record=True)
    assert (whole.checkpoints["embed"] == got.checkpoints["embed"]).all()
    assert (whole.logits != got.logits).any()
    first = run(artifact, patches, layers=range(2), record=True)
    assert (first.checkpoints["block1.mlp"] == whole.checkpoints["block1.mlp"]).all()


@pytest.mark.parametrize(("first", "last"), [(-1, 1), (1, 0), (0, 2), (5, 6)])
def test_missing_layers(first: int, last: int) -> None:
    with pytest.raises(ConfigError, match=rf"layers {first}\.\.{last} are not within 0\.\.1 of random"):
        select_layers(random_artifact(), first, last)


@pytest.mark.parametrize("layers", [range(0), range(0, 2, 2)])
def test_layers_must_be_consecutive(layers: range) -> None:
    artifact = random_artifact()
    with pytest.raises(ConfigError, match="consecutive"):
        run(artifact, random_patches(artifact), layers=layers)


def test_wrong_patches() -> None:
    artifact = random_artifact()
    patches = random_patches(artifact)
    with pytest.raises(ConfigError, match=r"patch codes are int8 \(16, 48\), but random takes int8 \(17, 48\)"):
        run(artifact, patches[1:])
    with pytest.raises(ConfigError, match="patch codes are uint8"):
        run(artifact, patches.view(np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="three axes"):
        classify(artifact, patches)
    with pytest.raises(ConfigError, match="row 0"):
        run(artifact, patches[::-1].copy())


def test_embedding_bias_is_refused() -> None:
    artifact = random_artifact()
    embed = dataclasses.replace(artifact.embed, bias=np.ones(64, np.int32))
    with pytest.raises(ArtifactError, match="embed: bias must be 0"):
        Golden(dataclasses.replace(artifact, embed=embed))


@pytest.mark.parametrize("drop", [None, TokenDrop("topk", keep=25)])
def test_close_to_float(drop: TokenDrop | None) -> None:
    """The same network in real numbers, without a single rounding or clamp."""
    artifact = random_artifact(width=96, heads=3, depth=3, hidden=192, tokens=50, classes=200, seed=2,
                               drop={} if drop is None else {1: drop})
    patches = random_patches(artifact, 1)
    result = run(artifact, patches, record=True)
    want = _float_network(artifact, patches, result.kept)
    for name, least in (("block0.context", 0.99), ("block0.mlp", 0.999), ("block2.mlp", 0.995), ("logits", 0.99)):
        got = result.checkpoints[name]
        assert got.shape == want[name].shape
        assert np.corrcoef(got.ravel(), want[name].ravel())[0, 1] > least, name


def _float_network(artifact: SparseVit, patches: np.ndarray, kept: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Codes as real numbers. ``kept`` comes from the integers, where near-equal scores may be ordered differently."""
    out: dict[str, np.ndarray] = {}
    x = artifact.residual_init + _float_linear(patches.astype(float), artifact.embed)
    for index, block in enumerate(artifact.blocks):
        query, key, value = np.split(_float_linear(_float_norm(x, block.norm1), block.qkv), 3, axis=1)
        parts, mass = [], np.zeros(len(x))
        for head in np.split(np.arange(artifact.width), artifact.heads):
            score = query[:, head] @ key[:, head].T * block.score_mult / 2**block.score_shift * SCORE_SCALE
            probability = np.exp(score - score.max(1, keepdims=True))
            probability /= probability.sum(1, keepdims=True)
            mass += probability[0] / artifact.heads
            parts.append(probability @ value[:, head] * 256 * block.context_mult / 2**block.context_shift)
        context = np.concatenate(parts, axis=1)
        x = x + _float_linear(context, block.proj)
        if index in kept:
            gone = np.setdiff1d(np.arange(1, len(x)), kept[index])
            x = np.concatenate([x[:1], x[kept[index]], (mass[gone] @ x[gone])[None]])
        pre = _float_linear(_float_norm(x, block.norm2), block.fc1)
        x = x + _float_linear(np.interp(pre, np.arange(-128, 128), block.gelu), block.fc2)
        out |= {f"block{index}.context": context, f"block{index}.mlp": x}
    out["logits"] = _float_linear(_float_norm(x[:1], artifact.norm), artifact.head)[0]
    return out


def _float_linear(x: np.ndarray, layer: Linear) -> np.ndarray:
    return (x @ layer.weight.T.astype(float) + layer.bias) * layer.mult / 2.0**layer.shift


def _float_norm(x: np.ndarray, norm: Norm) -> np.ndarray:
    z = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    return (z * 4096 * norm.gamma + norm.beta) / 2.0**norm.shift


def test_float_network_has_the_attention_temperature_of_the_table() -> None:
    table = random_artifact().blocks[0].exp
    assert table.tolist() == [round(255 * math.exp(-SCORE_SCALE * i)) for i in range(256)]
