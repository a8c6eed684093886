"""Real numbers to integers, against the definitions in docs/numerics.md."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algo.quant.fixed_point import (
    BIAS_MAX,
    Codes,
    activation_table,
    exp_table,
    multiplier,
    quantize_linear,
    quantize_norm,
)
from flows.contracts.artifact import Linear
from flows.contracts.errors import ConfigError


def constant(channels: int, scale: float, offset: float = 0.0, mean: float = 0.0) -> Codes:
    return Codes(np.full(channels, scale), np.full(channels, offset), np.full(channels, mean))


@given(st.lists(st.floats(1e-9, 1e4), min_size=1, max_size=8))
def test_multiplier_uses_all_16_bits(values: list[float]) -> None:
    mult, shift = multiplier(np.array(values), "x")
    assert mult.dtype == np.uint16 and 1 <= shift <= 47
    assert shift == 47 or mult.max() >= 1 << 15
    assert np.abs(mult * 2.0**-shift - values).max() <= 2.0**-shift / 2 * (1 + 1e-9)


@pytest.mark.parametrize("value", [40000.0, math.inf, math.nan])
def test_multiplier_out_of_range(value: float) -> None:
    with pytest.raises(ConfigError, match="fc1: scale factor"):
        multiplier(value, "fc1")


def dequantize(layer: Linear, codes: np.ndarray) -> np.ndarray:
    """The requantizer of section 1 without rounding and saturation."""
    return (codes @ layer.weight.T.astype(np.float64) + layer.bias) * layer.mult * 2.0**-layer.shift


def test_linear_with_channel_scales_and_offsets() -> None:
    generator = np.random.default_rng(0)
    weight, bias = generator.standard_normal((48, 32)), generator.standard_normal(48)
    source = Codes(generator.uniform(0.01, 0.05, 32), generator.standard_normal(32), generator.standard_normal(32))
    target_scale, target_offset = generator.uniform(0.05, 0.1, 48), generator.standard_normal(48)
    layer = quantize_linear(weight, bias, None, source, target_scale, target_offset, "x")
    assert layer.mask.shape == (3, 2) and layer.mask.all()
    assert np.abs(layer.weight).max(axis=1).min() == 127
    codes = generator.integers(-127, 128, (200, 32))
    exact = (codes * source.scale + source.offset) @ weight.T + bias
    error = dequantize(layer, codes) * target_scale + target_offset - exact
    assert np.sqrt((error**2).mean()) < 0.01 * exact.std()


def test_bias_takes_the_mean_rounding_error_of_the_weights() -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((16, 64))
    source = Codes(np.full(64, 0.02), np.zeros(64), generator.uniform(0.5, 2, 64))
    layer = quantize_linear(weight, np.zeros(16), None, source, 1e-3, 0.0, "x")
    mean_code = source.mean / source.scale
    exact = weight @ source.mean
    assert np.abs(dequantize(layer, mean_code[None])[0] * 1e-3 - exact).max() < 2e-4 * np.abs(exact).max()


def test_pruned_row_keeps_its_bias() -> None:
    weight = np.ones((32, 16))
    weight[16:] = 0
    mask = np.array([[True], [False]])
    bias = np.linspace(-3, 3, 32)
    layer = quantize_linear(weight, bias, mask, constant(16, 0.02), 0.05, 0.0, "x")
    assert not layer.weight[16:].any() and layer.mask.tolist() == [[True], [False]]
    assert np.allclose(dequantize(layer, np.zeros((1, 16)))[0] * 0.05, bias, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("weight_size", [1e-12, 1e-6, 0.0])
def test_tiny_weights_with_a_large_bias_stay_in_range(weight_size: float) -> None:
    layer = quantize_linear(np.full((16, 16), weight_size), np.full(16, 30.0), None, constant(16, 0.02), 0.5, 0.0, "x")
    assert np.abs(layer.bias.astype(np.int64)).max() <= BIAS_MAX
    assert np.allclose(dequantize(layer, np.zeros((1, 16))), 60, rtol=1e-3)


def test_small_rows_keep_six_bits_of_multiplier() -> None:
    weight = np.ones((16, 16))
    weight[3] = 1e-9
    layer = quantize_linear(weight, np.zeros(16), None, constant(16, 0.02), 0.5, 0.0, "x")
    assert layer.mult.min() >= 32


@given(st.floats(1e-3, 50), st.floats(-50, 50), st.floats(1e-3, 1), st.integers(-6 << 12, 6 << 12))
def test_norm(gamma: float, beta: float, scale: float, z: int) -> None:
    norm = quantize_norm(np.array([gamma]), np.array([beta]), constant(1, scale, 0.25))
    assert 1 <= norm.shift <= 31
    exact = (gamma * z / 4096 + beta - 0.25) / scale
    code = (z * int(norm.gamma[0]) + int(norm.beta[0])) / 2**norm.shift
    assert abs(code - exact) < 0.01 + 1e-3 * abs(exact) + abs(z / 4096) * 2e-4 * gamma / scale


def test_norm_of_extreme_parameters_saturates() -> None:
    norm = quantize_norm(np.array([1e6, 1.0]), np.array([1e12, 0.0]), constant(2, 0.01))
    assert norm.gamma.dtype == np.int16 and norm.gamma[0] == 32767 and norm.beta.dtype == np.int32
    assert norm.shift == 1


def test_exp_table() -> None:
    table = exp_table(0.1)
    assert table.dtype == np.uint8 and table[0] == 255 and table[255] == 0
    assert table[10] == round(255 * math.exp(-1)) and (np.diff(table.astype(int)) <= 0).all()


def test_activation_table() -> None:
    def gelu(x: np.ndarray) -> np.ndarray:
        return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])

    source, target = constant(1, 0.05, 1.0), constant(1, 0.03, -0.18)
    table = activation_table(gelu, source, target)
    assert table.shape == (256,) and table.dtype == np.uint8
    real = (np.arange(-128, 128)) * 0.05 + 1.0
    assert np.abs(table * 0.03 - 0.18 - gelu(real)).max() <= 0.0151
    assert table[128 - 20] == 6  # GELU(0) is the code of zero
