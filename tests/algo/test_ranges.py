"""Ranges of activations: estimators, files, and what they do to a network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algo.export import calibrated, export, export_prepared
from algo.quant.calibrate import Statistics
from algo.quant.estimators import estimate_ranges, estimator_names, register_estimator
from algo.quant.fixed_point import Codes, clipped_scale, quantize_linear
from algo.quant.ranges import Range, Ranges, ranges_of_state, read_ranges, save_ranges
from algo.quant.settings import Settings, parse_weight_bits
from algo.weights import load_weights, read_state, save_weights
from flows.contracts.artifact import ArtifactError, load_artifact, save_artifact, validate
from flows.contracts.errors import ConfigError, WeightsError

OPTIONS: dict[str, Any] = {"calibration_images": 16}


def observed(values: np.ndarray, name: str = "blocks.0.norm1") -> Statistics:
    """Statistics of ``(images, tokens, channels)``, all of them sampled."""
    statistics = Statistics(rows=values.shape[1])
    statistics.observe(name, torch.from_numpy(values.astype(np.float32)))
    return statistics


def tailed(seed: int = 0) -> np.ndarray:
    """Normal values with a few far out, in channels of different size."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((4, 500, 3)) * [1.0, 5.0, 0.1]
    values[0, 0] = [40.0, 200.0, 4.0]
    return values


def test_registry() -> None:
    assert estimator_names() == ["minmax", "mse", "percentile"]
    with pytest.raises(ConfigError, match="unknown calibration method 'best'; known: minmax, mse, percentile"):
        export("vit_micro", calibrate="best", **OPTIONS)
    with pytest.raises(ValueError, match="registered twice"):
        register_estimator("mse", samples=True)(lambda statistics, name, settings: (np.zeros(1), np.zeros(1)))


def test_minmax_covers_everything_and_percentile_does_not() -> None:
    values = tailed()
    statistics = observed(values)
    wide = estimate_ranges(statistics, Settings())["blocks.0.norm1"]
    assert np.allclose(wide.high, values.max((0, 1))) and np.allclose(wide.low, values.min((0, 1)))
    assert np.allclose(wide.mean, values.mean((0, 1)), atol=1e-5)
    narrow = estimate_ranges(statistics, Settings(calibrate="percentile", percentile=99.0))["blocks.0.norm1"]
    assert np.allclose(narrow.high, np.percentile(values.reshape(-1, 3), 99, axis=0), rtol=1e-5)
    assert np.allclose(narrow.low, np.percentile(values.reshape(-1, 3), 1, axis=0), rtol=1e-5)


def error_of(values: np.ndarray, covered: Range) -> np.ndarray:
    """Squared error per channel of 8-bit codes over a range."""
    step = (covered.high - covered.low) / 254
    flat = values.reshape(-1, values.shape[-1])
    codes = np.rint((np.clip(flat, covered.low, covered.high) - covered.low) / step)
    return np.square(codes * step + covered.low - flat).mean(0)


@pytest.mark.parametrize("far", [False, True])
def test_least_squares_is_the_best_of_all(far: bool) -> None:
    """Not worse than either of the others, in every channel; clearly better than min-max where values lie far out."""
    generator = np.random.default_rng(1)
    values = generator.standard_normal((2, 100_000, 1)) if far else generator.uniform(-1, 1, (2, 400, 3))
    if far:
        values[0, 0] = 12.0  # to reach it costs all others more than to clip it
    statistics = observed(values)
    errors = {name: error_of(values, estimate_ranges(statistics, Settings(calibrate=name))["blocks.0.norm1"])
              for name in estimator_names()}
    assert (errors["mse"] <= errors["minmax"] * 1.0001).all() and (errors["mse"] <= errors["percentile"] * 1.1).all()
    assert not far or (errors["mse"] < 0.9 * errors["minmax"]).all()


def test_tensors_of_16_bits_and_one_sided_ones() -> None:
    values = tailed()
    for method in estimator_names():
        settings = Settings(calibrate=method, hidden_quantile=1.0)
        kept = estimate_ranges(observed(values, "residual"), settings)
        assert kept.largest("residual") == pytest.approx(200)
        hidden = estimate_ranges(observed(np.maximum(values, -0.17), "blocks.0.hidden"), settings)["blocks.0.hidden"]
        assert hidden.low.min() == pytest.approx(-0.17) and hidden.high.shape in ((3,), (1,))
        assert hidden.mean.shape == (3,)


def test_ranges_keep_through_files(tmp_path: Path) -> None:
    ranges = Ranges({"blocks.0.norm1": Range(np.array([-1.5, 0.1]), np.array([2.0, 0.3]), np.array([1 / 3, 0.2]))},
                    {"blocks.0": np.array([0.25, 1e-9])})
    save_ranges(ranges, tmp_path / "r.safetensors")
    loaded = read_ranges(tmp_path / "r.safetensors")
    assert loaded is not None
    for side in ("low", "high", "mean"):
        assert np.array_equal(getattr(loaded["blocks.0.norm1"], side), getattr(ranges["blocks.0.norm1"], side))
    assert np.array_equal(loaded.key_offset["blocks.0"], ranges.key_offset["blocks.0"])
    with pytest.raises(WeightsError, match=r"the ranges lack blocks\.1\.norm1: they are of another network"):
        loaded["blocks.1.norm1"]
    state = ranges.state()
    del state["ranges/blocks.0.norm1/mean"]
    with pytest.raises(WeightsError, match="the ranges are incomplete"):
        ranges_of_state(state)
    assert ranges_of_state({"head.weight": torch.zeros(1)}) is None


def test_damaged_range_files(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    with pytest.raises(WeightsError, match="no file at"):
        read_ranges(path)
    path.write_bytes(b"\x40\0\0\0\0\0\0\0{")
    with pytest.raises(WeightsError, match="is no safetensors file or is truncated"):
        read_ranges(path)


def test_export_takes_the_ranges_of_the_weights_file(tmp_path: Path) -> None:
    """As after training with quantization: same integers without looking at calibration images of that kind."""
    options: dict[str, Any] = {"keep_blocks": 1.0, "keep_tokens": 1.0}
    prepared, ranges = calibrated("vit_micro", **OPTIONS, **options, weight_bits=5)
    path = tmp_path / "w.safetensors"
    save_weights(prepared.model.state_dict(), path, {"settings": {"weight_bits": 5}}, ranges)
    assert not any(name.startswith("ranges/") for name in read_state(path))
    assert load_weights("vit_micro", path)[0].keys() == prepared.model.state_dict().keys()
    again = export("vit_micro", weights=path, calibration_images=1, **options)
    expected = replace(export_prepared(prepared, ranges), weights="file w.safetensors")
    assert again.content_hash() == expected.content_hash() and again.weight_bits["fc1"] == 5
    # asked for explicitly, images are looked at all the same
    anew = export("vit_micro", weights=path, calibration_images=1, calibrate="mse", **options)
    assert anew.content_hash() != again.content_hash()


def test_removed_neurons_leave_the_codes_of_the_others() -> None:
    _, ranges = calibrated("vit_micro", **OPTIONS)
    kept = np.arange(256) % 2 == 0
    fewer = ranges.keep_neurons({1: kept})
    for kind in ("pre", "hidden"):
        old, new = ranges[f"blocks.1.{kind}"], fewer[f"blocks.1.{kind}"]
        assert new.mean.tolist() == old.mean[kept].tolist()
        assert new.low.tolist() == [old.low.min()] and new.high.tolist() == [old.high.max()]
    assert fewer["blocks.0.pre"] is ranges["blocks.0.pre"]


@pytest.mark.parametrize("bits", [4, 5, 6, 7, 8])
def test_weight_bits(bits: int) -> None:
    """Codes use the whole of their range and no more; the artifact says how many bits they have."""
    artifact = export("vit_micro", weight_bits=bits, keep_blocks=0.7, **OPTIONS)
    limit = 2 ** (bits - 1) - 1
    for kind in ("qkv", "proj", "fc1", "fc2"):
        for layer in artifact.layers_of(kind):
            rows = np.abs(layer.weight.astype(int)).max(1)
            assert rows.max() == limit and (rows <= limit).all()
    assert max(np.abs(artifact.embed.weight.astype(int)).max(), np.abs(artifact.head.weight.astype(int)).max()) == 127
    assert artifact.weight_bits == ({} if bits == 8 else dict.fromkeys(("qkv", "proj", "fc1", "fc2"), bits))
    kept = sum(int(layer.mask.sum()) for kind in ("qkv", "proj", "fc1", "fc2") for layer in artifact.layers_of(kind))
    edges = int(artifact.embed.mask.sum() + artifact.head.mask.sum())
    assert artifact.packed_weight_bytes == kept * 32 * bits + edges * 256


def test_weight_bits_by_kind_are_stored_and_checked(tmp_path: Path) -> None:
    artifact = export("vit_micro", weight_bits={"fc1": 4, "head": 6}, **OPTIONS)
    assert artifact.weight_bits == {"fc1": 4, "head": 6}
    save_artifact(artifact, tmp_path / "a")
    assert load_artifact(tmp_path / "a").weight_bits == artifact.weight_bits
    with pytest.raises(ArtifactError, match="a weight code of fc1 does not fit 3 bits"):
        validate(replace(artifact, weight_bits={"fc1": 3}))
    with pytest.raises(ArtifactError, match="weight_bits has 9 bits for 'fc1'"):
        validate(replace(artifact, weight_bits={"fc1": 9}))


@pytest.mark.parametrize(("text", "bits"), [("4", 4), ("qkv=4,fc1=5", {"qkv": 4, "fc1": 5}), (" head=8", {"head": 8})])
def test_weight_bits_as_text(text: str, bits: int | dict[str, int]) -> None:
    assert parse_weight_bits(text) == bits


@pytest.mark.parametrize(("text", "message"), [
    ("four", "--weight-bits must be a number such as 4"),
    ("qkv=4,5", "--weight-bits must be a number such as 4"),
    ("3", "weight_bits must be 4 to 8, not 3"),
    ("qkv=9", "weight_bits must be 4 to 8, not 9"),
    ("attn=4", "weight_bits names 'attn', which is no kind of layer; kinds: embed, qkv"),
])
def test_bad_weight_bits(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_weight_bits(text)


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="weight_clip must be auto, max or mse, not 'min'"):
        Settings(weight_clip="min").check()
    with pytest.raises(ConfigError, match="percentile must be above 50 and at most 100, not 50"):
        Settings(percentile=50).check()


@pytest.mark.parametrize("bits", [4, 8])
def test_clipped_weights_have_less_error(bits: int) -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_t(4, (96, 192))
    source = Codes(np.full(192, 0.02), np.zeros(192), np.zeros(192))

    def error(clip: bool) -> float:
        layer = quantize_linear(weight, np.zeros(96), None, source, 1.0, 0.0, "x", bits, clip=clip)
        real = layer.weight * (layer.mult * 2.0**-layer.shift)[:, None] / source.scale
        return float(np.square(real - weight).mean())

    assert error(True) < (0.8 if bits == 4 else 1.0001) * error(False)


def test_clipped_scale_is_the_best_of_the_search() -> None:
    rows = np.random.default_rng(2).standard_t(3, (40, 64))
    scale = clipped_scale(rows, 7)

    def error(candidate: np.ndarray) -> np.ndarray:
        codes = np.clip(np.rint(rows / candidate[:, None]), -7, 7)
        return np.square(codes * candidate[:, None] - rows).sum(1)

    full = np.abs(rows).max(1) / 7
    for part in (1.0, 0.85, 0.7, 0.55, 0.4):
        assert (error(scale) <= error(full * part) * 1.001).all()
    assert np.isfinite(clipped_scale(np.zeros((2, 16)), 7)).all()


def test_weights_in_pruned_blocks_count_as_zero() -> None:
    """Training with masks need not write zeros."""
    generator = np.random.default_rng(3)
    weight, mask = generator.standard_normal((32, 32)), np.array([[True, False], [False, True]])
    weight[:16, 16:] *= 100
    source = Codes(np.full(32, 0.02), np.full(32, 0.5), np.full(32, 0.7))
    layer = quantize_linear(weight, np.ones(32), mask, source, 0.05, 0.0, "x")
    zeroed = weight * np.kron(mask, np.ones((16, 16)))
    expected = quantize_linear(zeroed, np.ones(32), mask, source, 0.05, 0.0, "x")
    for part in ("weight", "bias", "mult"):
        assert np.array_equal(getattr(layer, part), getattr(expected, part))
    assert not layer.weight[:16, 16:].any()
