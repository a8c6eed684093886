"""How real numbers become integers: the choices of a quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flows.contracts.artifact import LAYER_KINDS
from flows.contracts.errors import ConfigError

GELU_FLAT = -4.0
"""Below this GELU is zero to 4 digits: smaller arguments may saturate."""
BITS = range(4, 9)
"""Bits that a weight code may have."""
EDGES = ("embed", "head")
"""First and last layer. They hold few weights and suffer most from short codes, so a common number leaves them at 8."""

WeightBits = int | Mapping[str, int]


@dataclass(frozen=True)
class Settings:
    """How ranges become scales.

    Attributes
    ----------
    calibrate : how ranges come from calibration images, a name of :func:`algo.quant.estimators.estimator_names`
    quantile : min-max: share of calibration images whose extreme value is not clipped, per channel
    score_quantile, hidden_quantile : the same for attention scores, and for the two sides of GELU
    percentile : percentile: of the values themselves
    channel_power : 1 gives every layer norm channel its own scale, 0 one scale to all, between: a geometric mean
    value_power : the same for the channels of the attention values
    residual_margin : headroom of the residual stream and the logits over the calibration images
    weight_bits : bits of a weight code, 4..8: a number for the layers of all encoder blocks, or by kind (``embed``,
        ``qkv``, ``proj``, ``fc1``, ``fc2``, ``head``); kinds not named have 8
    weight_clip : scale of an output channel from its largest weight (``"max"``), from the least squared error of its
        weights (``"mse"``), or ``"auto"``: the latter for fewer than 8 bits
    """

    calibrate: str = "minmax"
    quantile: float = 1.0
    score_quantile: float = 0.95
    hidden_quantile: float = 0.9
    percentile: float = 99.9
    channel_power: float = 0.5
    value_power: float = 0.5
    residual_margin: float = 1.5
    weight_bits: WeightBits = 8
    weight_clip: str = "auto"

    def bits(self, kind: str) -> int:
        """Bits of the weight codes of a layer kind."""
        if isinstance(self.weight_bits, Mapping):
            return self.weight_bits.get(kind, 8)
        return 8 if kind in EDGES else self.weight_bits

    def clips(self, kind: str) -> bool:
        """Whether the weight scales of a layer kind come from a search of the least squared error."""
        return self.weight_clip == "mse" or (self.weight_clip == "auto" and self.bits(kind) < 8)

    def check(self) -> None:
        """Refuse what is out of range.

        Raises
        ------
        ConfigError
            Naming the option.
        """
        if isinstance(self.weight_bits, Mapping) and (unknown := set(self.weight_bits) - set(LAYER_KINDS)):
            raise ConfigError(f"weight_bits names {min(unknown)!r}, which is no kind of layer; kinds: "
                              f"{', '.join(LAYER_KINDS)}")
        values = self.weight_bits.values() if isinstance(self.weight_bits, Mapping) else [self.weight_bits]
        for bits in values:
            if bits not in BITS:
                raise ConfigError(f"weight_bits must be {BITS[0]} to {BITS[-1]}, not {bits}")
        if self.weight_clip not in ("auto", "max", "mse"):
            raise ConfigError(f"weight_clip must be auto, max or mse, not {self.weight_clip!r}")
        if not 50 < self.percentile <= 100:
            raise ConfigError(f"percentile must be above 50 and at most 100, not {self.percentile}")


def parse_weight_bits(text: str) -> WeightBits:
    """``"4"``, or by kind ``"qkv=4,fc1=5"``.

    Raises
    ------
    ConfigError
        For anything else, and for bits out of range.
    """
    parts = [part.partition("=") for part in text.split(",")]
    try:
        bits: WeightBits = {name.strip(): int(value) for name, _, value in parts} if "=" in text else int(text)
    except ValueError:
        raise ConfigError(f"--weight-bits must be a number such as 4, or by kind such as qkv=4,fc1=5, not "
                          f"{text!r}") from None
    Settings(weight_bits=bits).check()
    return bits


def kind_of(layer: str) -> str:
    """Kind of the layer with a timm name: ``"blocks.3.mlp.fc1"`` is ``"fc1"``."""
    return {"patch_embed.proj": "embed"}.get(layer, layer.rpartition(".")[2])
