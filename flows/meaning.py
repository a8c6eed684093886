"""What an integer of a checkpoint means in the network that the artifact was made from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flows.contracts.artifact import Norm, SparseVit

NORMALISED_ONE = 1 << 12
"""Layer norm's normalised values have 12 fraction bits (docs/numerics.md, section 3)."""
_BLOCK = re.compile(r"block(\d+)\.(\w+)$")
_RESIDUAL = ("embed", "proj", "mlp")


@dataclass(frozen=True)
class Meaning:
    """The real value of a code is ``scale * code + offset``.

    Attributes
    ----------
    quantity : what it is a value of
    scale : real value of one code; None where the artifact does not keep it
    offset : None where only differences are known
    """

    quantity: str
    scale: float | None = None
    offset: float | None = None

    def value(self, code: int | None) -> float | None:
        """Real value of a code, where it is known."""
        if code is None or self.scale is None or self.offset is None:
            return None
        return self.scale * code + self.offset

    def difference(self, hardware: int | None, golden: int | None) -> float | None:
        """Real value of ``hardware - golden``, where it is known."""
        if hardware is None or golden is None or self.scale is None:
            return None
        return self.scale * (hardware - golden)


def meaning_of(artifact: SparseVit, checkpoint: str, channel: int) -> Meaning:
    """The meaning of a channel of a checkpoint.

    Scales of the residual stream, of scores, hidden activations and logits are in the artifact. Output of a layer norm
    is undone: ``y * 2**s = z * g + b`` gives the normalised value ``z``, in standard deviations of the token. Queries,
    keys, values and context have a scale per channel that is folded into the weights and not kept.

    Parameters
    ----------
    artifact : with the blocks that were run
    checkpoint : name, as of :class:`sim.golden.network.Golden`
    channel : from 0; padding means nothing
    """
    match = _BLOCK.match(checkpoint)
    name = match[2] if match else checkpoint
    if name in _RESIDUAL:
        return _scaled(artifact, "residual stream", "residual")
    if name == "logits":
        return _scaled(artifact, "logit", "logits")
    if name in ("norm", "norm1", "norm2"):
        return _normalised(getattr(artifact.blocks[int(match[1])], name) if match else artifact.norm, channel)
    if match and name == "score":
        return _scaled(artifact, "attention logit", f"blocks.{match[1]}.score")
    if match and name == "hidden":
        scale = artifact.scales.get(f"blocks.{match[1]}.hidden")
        return Meaning("GELU output; its zero is not kept", scale)
    return Meaning(f"{name}, in codes: its scale is folded into the weights")


def _scaled(artifact: SparseVit, quantity: str, key: str) -> Meaning:
    if key not in artifact.scales:
        return Meaning(f"{quantity}, in codes: the artifact has no scale")
    return Meaning(quantity, artifact.scales[key], 0.0)


def _normalised(norm: Norm, channel: int) -> Meaning:
    gamma = int(norm.gamma[channel]) if channel < len(norm.gamma) else 0
    if gamma == 0:
        return Meaning("layer norm output that does not depend on the token")
    one = gamma * NORMALISED_ONE
    return Meaning("normalised value, in standard deviations of the token", 2.0**norm.shift / one,
                   -int(norm.beta[channel]) / one)
