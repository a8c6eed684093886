"""The fake-quantized network: its integers are those of the golden model, its gradients those of the float network."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from algo.data import calibration_pixels, normalise
from algo.export import Prepared, calibrated, calibrated_ranges, export_with
from algo.models import build_model
from algo.prune.plan import zero_block_masks
from algo.quant import integer
from algo.quant.fake import FakeQuantVit, drop_tokens
from algo.quant.ranges import Ranges, ranges_of_state
from algo.quant.settings import Settings
from algo.quant.straight import lookup, straight
from algo.synthetic import synthetic_state
from algo.tokens.evit import forward_with_drop
from flows.contracts.artifact import SparseVit, TokenDrop
from flows.contracts.errors import ConfigError
from flows.contracts.preprocess import code_table, pixel_patches
from sim.golden import layer_norm as golden_norm
from sim.golden import requant as golden_requant
from sim.golden import softmax as golden_softmax
from sim.golden import token_drop as golden_drop
from sim.golden.cluster import matmul
from sim.golden.network import Golden

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGES = 12


def golden_logits(artifact: SparseVit, pixels: np.ndarray) -> np.ndarray:
    """int16 logits of the golden model."""
    table = code_table(artifact.mean, artifact.std, artifact.input_scale)
    return Golden(artifact).classify(np.stack([pixel_patches(image, table, artifact.patch) for image in pixels]))


def fake_of(prepared: Prepared, ranges: Ranges, **options: Any) -> FakeQuantVit:
    return FakeQuantVit(prepared.model, ranges, prepared.mean, prepared.std, prepared.drops, lambda: prepared.masks,
                        prepared.settings, **options)


def train(fake: FakeQuantVit, pixels: np.ndarray, steps: int, rate: float = 2e-3) -> list[float]:
    """A few steps of AdamW on made-up labels; the loss before each."""
    fake.model.requires_grad_(True)
    labels = torch.arange(len(pixels)) % fake.model.num_classes
    optimizer = torch.optim.AdamW(fake.model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        loss = cross_entropy(fake(torch.from_numpy(pixels)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


CASES = [
    ({"keep_blocks": 0.5, "keep_tokens": 0.7}, {}),
    ({"keep_blocks": 0.7, "keep_tokens": 0.6}, {"weight_bits": 4}),
    ({"keep_blocks": 0.5, "keep_tokens": 0.6, "drop_mode": "threshold"}, {}),
    ({"keep_blocks": 1.0, "keep_tokens": 0.8, "drop_mode": "threshold"}, {"weight_bits": 4, "calibrate": "mse"}),
    ({"keep_blocks": 1.0, "keep_tokens": 1.0}, {"weight_bits": {"fc1": 5, "head": 4}, "calibrate": "percentile"}),
    ({"keep_blocks": 0.5, "keep_neurons": 0.5}, {}),
]


@pytest.mark.parametrize(("options", "quantization"), CASES)
def test_trained_network_is_what_is_exported(options: dict[str, Any], quantization: dict[str, Any]) -> None:
    """vit_micro trained a few steps: every logit is the golden model's, bit for bit, on images never seen."""
    prepared, ranges = calibrated("vit_micro", calibration_images=16, **options, **quantization)
    fake = fake_of(prepared, ranges)
    before = fake.quantized()
    losses = train(fake, calibration_pixels(None, 32, count=20, seed=3), 4)
    assert losses[-1] < losses[0]
    # what a checkpoint would carry
    carried = ranges_of_state(ranges.state())
    assert carried is not None
    artifact = export_with(prepared.model, carried, name="vit_micro", mean=prepared.mean, std=prepared.std,
                           drops=prepared.drops, masks=prepared.masks, settings=prepared.settings)
    assert (artifact.blocks[1].fc1.weight != before.blocks[1].fc1.weight).any()
    pixels = calibration_pixels(None, 32, count=IMAGES, seed=9)
    with torch.no_grad(), fake.hold():
        codes, logits = fake.logit_codes(torch.from_numpy(pixels)), fake(torch.from_numpy(pixels))
    expected = golden_logits(artifact, pixels)
    assert np.array_equal(codes.numpy(), expected) and expected.std() > 1000
    assert np.allclose(logits.numpy(), expected * artifact.scales["logits"], rtol=1e-6)


def test_other_sizes() -> None:
    """Another image size and number of classes, top-k in one block and a threshold in another, mixed in one batch."""
    model = build_model("vit_micro", classes=7, image_size=48)
    state = synthetic_state("vit_micro", 4)
    generator = torch.Generator().manual_seed(0)
    state["pos_embed"] = 0.2 * torch.randn(1, 37, 64, generator=generator)
    state |= {"head.weight": state["head.weight"][:7], "head.bias": state["head.bias"][:7]}
    model.load_state_dict(state)
    drops = {0: TokenDrop("threshold", threshold=2500), 2: TokenDrop("topk", keep=14)}
    pixels = calibration_pixels(None, 48, count=IMAGES, seed=1)
    ranges = calibrated_ranges(model.requires_grad_(False), pixels, MEAN, STD, drops)
    fake = FakeQuantVit(model, ranges, MEAN, STD, drops)
    train(fake, pixels, 2)
    artifact = export_with(model, ranges, name="vit_micro", mean=MEAN, std=STD, drops=drops, masks={})
    table = code_table(MEAN, STD, artifact.input_scale)
    results = [Golden(artifact).run(pixel_patches(image, table, artifact.patch)) for image in pixels]
    assert len({result.tokens[0] for result in results}) > 2
    with torch.no_grad():
        codes = fake.logit_codes(torch.from_numpy(pixels)).numpy()
    assert np.array_equal(codes, np.stack([result.logits for result in results]))


def test_masks_and_weights_are_looked_at_in_every_step() -> None:
    """Masks that change, and parameters that something else computes, as trained masks do."""
    prepared, ranges = calibrated("vit_micro", calibration_images=16, keep_blocks=1.0, keep_tokens=1.0)
    masks = {name: np.random.default_rng(len(name)).random((rows, columns)) < 0.6
             for name, (rows, columns) in {"blocks.0.attn.qkv": (12, 4), "blocks.2.mlp.fc2": (4, 16)}.items()}
    current: dict[str, np.ndarray] = {}
    fake = FakeQuantVit(prepared.model, ranges, prepared.mean, prepared.std, masks_of=lambda: current,
                        weight_of=lambda name, weight: weight * 0.5 if name == "head" else weight,
                        bias_of=lambda name, bias: bias * 0.5 if name == "head" else bias)
    pixels = torch.from_numpy(calibration_pixels(None, 32, count=4, seed=2))
    dense = fake(pixels)
    current |= masks
    sparse = fake(pixels)
    assert (dense != sparse).any()
    numbers = fake.quantized()
    for name, mask in masks.items():
        layer = numbers.blocks[int(name.split(".")[1])]
        integers = getattr(layer, name.rpartition(".")[2])
        blocks = integers.weight.reshape(mask.shape[0], 16, mask.shape[1], 16)
        assert np.array_equal(np.abs(blocks).max((1, 3)) > 0, mask) and np.array_equal(integers.mask, mask)
    plain = FakeQuantVit(prepared.model, ranges, prepared.mean, prepared.std, masks_of=lambda: masks)(pixels)
    assert torch.allclose(sparse * 2, plain, atol=0.02 * float(plain.abs().max()))


def test_pruned_blocks_get_a_gradient() -> None:
    """The one they would have if they were kept, which trained masks need."""
    prepared, ranges = calibrated("vit_micro", calibration_images=16, keep_tokens=1.0)
    fake = fake_of(prepared, ranges)
    train(fake, calibration_pixels(None, 32, count=8), 1, rate=0.0)
    grad = prepared.model.blocks[1].mlp.fc1.weight.grad
    mask = torch.from_numpy(np.kron(prepared.masks["blocks.1.mlp.fc1"], np.ones((16, 16)))).bool()
    assert 0.5 < float(grad[~mask].std() / grad[mask].std()) < 2


@pytest.mark.parametrize(("bits", "likeness"), [(8, 0.95), (4, 0.6)])
def test_gradients_are_those_of_the_float_network(bits: int, likeness: float) -> None:
    prepared, ranges = calibrated("vit_micro", calibration_images=16, keep_blocks=1.0, keep_tokens=1.0,
                                  weight_bits=bits)
    model = prepared.model.requires_grad_(True)
    pixels = calibration_pixels(None, 32, count=16, seed=5)
    labels = torch.arange(16) % 10
    cross_entropy(fake_of(prepared, ranges)(torch.from_numpy(pixels)), labels).backward()
    quantized = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    # outside of forward_with_drop's no_grad: the function itself, on the same images
    forward = forward_with_drop.__wrapped__  # type: ignore[attr-defined]
    cross_entropy(forward(model, normalise(pixels, prepared.mean, prepared.std), prepared.drops), labels).backward()
    for name, parameter in model.named_parameters():
        if name.endswith("qkv.bias"):
            continue  # keys' biases have no gradient but noise
        alike = torch.cosine_similarity(quantized[name].flatten(), parameter.grad.flatten(), dim=0)
        assert float(alike) > likeness, name
        size = float(quantized[name].norm() / parameter.grad.norm())
        assert 0.5 < size < 2, name


def test_autocast_changes_gradients_by_rounding_only() -> None:
    prepared, ranges = calibrated("vit_micro", calibration_images=16)
    fake = fake_of(prepared, ranges)
    prepared.model.requires_grad_(True)
    pixels = torch.from_numpy(calibration_pixels(None, 32, count=8))
    exact = fake(pixels)
    exact.square().mean().backward()
    weight: Any = prepared.model.blocks[0].attn.proj.weight
    expected = weight.grad.clone()
    prepared.model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = fake(pixels)
    assert torch.equal(rounded, exact) and rounded.dtype == torch.float32
    rounded.square().mean().backward()
    assert not torch.equal(weight.grad, expected)
    assert float((weight.grad - expected).norm() / expected.norm()) < 0.03


def test_images_in_every_form_are_the_same_pixels() -> None:
    prepared, ranges = calibrated("vit_micro", calibration_images=16)
    fake = fake_of(prepared, ranges)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    planes = fake.pixel_planes(torch.from_numpy(pixels))
    assert torch.equal(planes, fake.pixel_planes(normalise(pixels, prepared.mean, prepared.std)))
    table = code_table(prepared.mean, prepared.std, fake.input_scale)
    assert np.array_equal(planes.numpy(), np.stack([table[c][pixels[..., c]] for c in range(3)], axis=1))
    with pytest.raises(ConfigError, match="the model takes 32x32 pixels"):
        fake(torch.zeros(2, 3, 24, 24))


def test_low_precision_products_are_refused() -> None:
    prepared, ranges = calibrated("vit_micro", calibration_images=4)
    fake = fake_of(prepared, ranges)
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(ConfigError, match="leave torch.set_float32_matmul_precision at 'highest'"):
            fake(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    finally:
        torch.set_float32_matmul_precision("highest")


# Units at the ends of their ranges, where a network does not go

SEED = np.random.default_rng(7)


@pytest.mark.parametrize("native", [True, False])
def test_products(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Extreme codes, more of them than float32 adds up exactly at once."""
    if not native:
        monkeypatch.setattr(integer, "int_mm_is_exact", lambda: False)
    codes = SEED.choice([-128, -127, 127], (6, 3072)).astype(np.int8)
    weight = SEED.choice([-127, 127], (5, 3072)).astype(np.int8)
    product = integer.matmul(torch.from_numpy(codes), torch.from_numpy(weight)).double().numpy()
    assert np.array_equal(product, codes.astype(np.int64) @ weight.astype(np.int64).T)


@pytest.mark.parametrize("shift", [1, 20, 47])
def test_requantizer(shift: int) -> None:
    acc = np.concatenate([SEED.integers(-(1 << 30), 1 << 30, (40, 50)), SEED.integers(-300, 300, (40, 50))])
    bias, mult = SEED.integers(-(1 << 30) + 1, 1 << 30, 50), SEED.integers(0, 65536, 50)
    for bits, limits in ((8, integer.INT8), (16, integer.INT16)):
        factor = torch.from_numpy(mult.astype(np.float64)) * 2.0**-shift
        got = integer.requant(torch.from_numpy(acc), torch.from_numpy(bias) * factor + 0.5, factor, limits)
        assert np.array_equal(got.numpy(), golden_requant.requant(acc, bias, mult, shift, bits))


@pytest.mark.parametrize("size", [1, 300, 32767])
def test_layer_norm(size: int) -> None:
    x = SEED.integers(-size - 1, size + 1, (5, 7, 768)).astype(np.int16)
    x[0, 0] = 5  # no variance
    gamma, beta = SEED.integers(-32768, 32768, 768).astype(np.int16), SEED.integers(-(1 << 30), 1 << 30, 768)
    s1, s2 = golden_norm.statistics(x)
    mant, e = golden_norm.rsqrt(golden_norm.variance(s1, s2, 768))
    for shift in (1, 19, 31):
        expected = golden_norm.normalize(x, s1, mant, e, 768, gamma, beta, shift)
        got = integer.layer_norm(torch.from_numpy(x).float(), torch.from_numpy(gamma).double(),
                                 torch.from_numpy(beta).double(), shift)
        assert np.array_equal(got.numpy(), expected)


@pytest.mark.parametrize("tokens", [1, 17, 320, 600])
def test_softmax_and_context(tokens: int) -> None:
    """Also with more keys than float32 sums exactly."""
    score = SEED.integers(-127, 128, (1, 2, tokens, tokens)).astype(np.int8)
    score[0, 0] = 0  # all alike: the largest sum
    value = SEED.choice([-127, 127], (1, 2, tokens, 16)).astype(np.int8)
    table = np.array([round(255 * np.exp(-i / 40)) for i in range(256)], np.uint8)
    exps = golden_softmax.exponentials(score, score.max(-1), tokens, table)
    mant, q = golden_softmax.reciprocal(exps.sum(-1, dtype=np.int64))
    acc = exps.astype(np.int64) @ value.astype(np.int64)
    scaled = golden_softmax.normalise(acc, mant[..., None], q[..., None])
    expected = golden_requant.requant(scaled, 0, 40000, 22, 8)
    got = integer.exponentials(torch.from_numpy(score).float(), torch.from_numpy(table).float(), None)
    assert np.array_equal(got.numpy(), exps)
    ours = integer.reciprocal(got.sum(-1))
    assert np.array_equal(ours[0].numpy(), mant) and np.array_equal(ours[1].numpy(), q)
    context = integer.context(got, torch.from_numpy(value).float(), *ours, 40000 * 2.0**-22)
    assert np.array_equal(context.numpy(), expected)
    scores = integer.drop_scores(got[:, :, 0], ours[0][:, :, 0], ours[1][:, :, 0])
    assert np.array_equal(scores[0].numpy(), golden_drop.scores(exps[0, :, 0], mant[0, :, 0], q[0, :, 0]))


@pytest.mark.parametrize("drop", [TokenDrop("topk", keep=5), TokenDrop("topk", keep=40), TokenDrop("topk"),
                                  TokenDrop("threshold", threshold=3), TokenDrop("threshold", threshold=99)])
def test_token_drop(drop: TokenDrop) -> None:
    """Equal scores, images of different length, nothing and everything dropped: each image as the golden model."""
    lengths, heads = [12, 9, 3, 1], 3
    x = SEED.integers(-32768, 32768, (4, 12, 32)).astype(np.int16)
    score = SEED.integers(0, 6, (4, 12)) * np.array([1, 1, 70000, 1])[:, None]
    alive = np.arange(12) < np.array(lengths)[:, None]
    tokens, live = drop_tokens(torch.from_numpy(x).float(), torch.from_numpy(score).double(), torch.zeros(4, 12),
                               torch.from_numpy(alive), drop, heads)
    for index, length in enumerate(lengths):
        kept = golden_drop.select(score[index, :length], drop)
        expected = golden_drop.fuse(x[index, :length], kept, golden_drop.weights(score[index, :length], heads))
        assert np.array_equal(tokens[index][live[index]].numpy(), expected)


def test_gradient_of_the_fused_token() -> None:
    """Kept tokens pass theirs on; dropped ones get their share of the fused token's, and so does their attention."""
    x = torch.arange(24.0).reshape(1, 6, 4).requires_grad_(True)
    attention = torch.tensor([[0.5, 0.1, 0.2, 0.05, 0.1, 0.05]], requires_grad=True)
    score = attention.detach().double() * 65536
    tokens, live = drop_tokens(x, score, attention, torch.ones(1, 6, dtype=torch.bool), TokenDrop("topk", keep=2), 1)
    assert tokens.shape == (1, 4, 4) and bool(live.all())
    assert tokens[0, :3].tolist() == x[0, [0, 1, 2]].tolist()  # of 0.1 twice, the first
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (tokens * weights[:, None]).sum().backward()
    assert x.grad is not None and attention.grad is not None
    assert x.grad[0, :, 0].tolist() == pytest.approx([1.0, 2.0, 3.0, 0.2, 0.4, 0.2])
    assert attention.grad[0].tolist() == [0, 0, 0] + [4 * sum(range(4 * token, 4 * token + 4)) for token in (3, 4, 5)]


def test_straight_through() -> None:
    x = torch.tensor([0.3, -2.6], requires_grad=True)
    y = straight(3 * x, torch.tensor([5.0, 7.0]))
    assert y.tolist() == [5.0, 7.0]
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [3.0, 3.0]
    code = torch.tensor([-127.0, 4.0], requires_grad=True)
    looked = lookup(code, torch.arange(256.0), torch.arange(256.0) / 2)
    assert looked.tolist() == [1.0, 132.0]
    looked.sum().backward()
    assert code.grad is not None and code.grad.tolist() == [0.5, 66.0]


def test_products_are_exact_as_the_golden_models() -> None:
    """The unsigned codes after GELU, shifted into int8 and back."""
    hidden = SEED.integers(0, 256, (9, 768)).astype(np.uint8)
    weight = SEED.integers(-127, 128, (32, 768)).astype(np.int8)
    shifted = torch.from_numpy((hidden.astype(np.int16) - 128).astype(np.int8))
    product = integer.matmul(shifted, torch.from_numpy(weight)).double().numpy()
    assert np.array_equal(product + 128 * weight.astype(np.int64).sum(1), matmul(hidden, weight))


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
def test_deit_tiny(bits: int) -> None:
    """DeiT-T's geometry after a step, synthetic weights: 2 images."""
    prepared, ranges = calibrated("deit_t", synthetic=True, calibration_images=2, weight_bits=bits)
    fake = fake_of(prepared, ranges)
    pixels = calibration_pixels(None, 224, count=2, seed=1)
    train(fake, pixels, 1)
    artifact = export_with(prepared.model, ranges, name="deit_t", mean=prepared.mean, std=prepared.std,
                           drops=prepared.drops, masks=prepared.masks, settings=prepared.settings)
    with torch.no_grad():
        assert np.array_equal(fake.logit_codes(torch.from_numpy(pixels)).numpy(), golden_logits(artifact, pixels))


@pytest.mark.slow
@pytest.mark.skipif("SIEVIT_DATA" not in os.environ, reason="SIEVIT_DATA does not name the folder with the data packs")
def test_four_bits_recover_by_training() -> None:
    """CIFAR-10 at 96x96, 4-bit weights, 8 steps: the loss on other images falls."""
    data = Path(os.environ["SIEVIT_DATA"])
    prepared, ranges = calibrated("deit_t", weights=data / "deit_tiny_patch16_96_cifar10_fp16.safetensors",
                                  keep_blocks=1.0, keep_tokens=1.0, calibration=data / "cifar10_train_jpeg.npz",
                                  calibration_images=32, weight_bits=4)
    from algo.data import load_pack, pack_pixels

    pack = load_pack(data / "cifar10_train_jpeg.npz")

    def batch(first: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = np.stack([pack_pixels(pack, index, 96) for index in range(first, first + 32)])
        return torch.from_numpy(pixels), torch.from_numpy(pack.label[first:first + 32].astype(np.int64))

    fake = fake_of(prepared, ranges)
    prepared.model.requires_grad_(True)
    optimizer = torch.optim.AdamW(prepared.model.parameters(), lr=5e-5)
    held = batch(1000)
    with torch.no_grad():
        before = float(cross_entropy(fake(held[0]), held[1]))
    for step in range(8):
        images, labels = batch(32 * step)
        optimizer.zero_grad()
        cross_entropy(fake(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        after = float(cross_entropy(fake(held[0]), held[1]))
    assert after < 0.9 * before


def test_settings_survive_as_facts() -> None:
    """What a weights file says about its quantization is JSON."""
    settings = Settings(weight_bits={"fc1": 4}, calibrate="mse")
    assert Settings(**dataclasses.asdict(settings)) == settings
    assert zero_block_masks({"a.weight": torch.ones(16, 16)}) == {}
