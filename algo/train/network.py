"""The forward pass that is trained: a plain timm ViT with masked weights and token drop, on whole batches.

It computes what :func:`algo.tokens.evit.forward_with_drop` computes, differentiably, in the order of operations that a
CPU with bfloat16 units likes: matrix products in ``dtype``, the residual stream and all sums of it in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from algo.tokens.train import TokenRule

WeightOf = Callable[[str, Tensor], Tensor]
"""``(layer name, weight) -> weight to compute with``: where pruning masks come in."""


def plain_weight(name: str, weight: Tensor) -> Tensor:
    """The weight itself: a dense network."""
    return weight


def forward(
    model: Any,
    images: Tensor,
    *,
    drops: Mapping[int, TokenRule] | None = None,
    weight_of: WeightOf = plain_weight,
    bias_of: WeightOf = plain_weight,
    dtype: torch.dtype = torch.float32,
    observe: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Logits of a batch.

    Parameters
    ----------
    model : VisionTransformer that :func:`algo.models.check_supported` accepts
    images : float ``(B, 3, size, size)``, normalised
    drops : token rule per block, applied after its attention
    weight_of, bias_of : replace the parameters of the linear layers, by layer name (``"blocks.3.attn.qkv"``)
    dtype : of the matrix products
    observe : called with the tokens ``(B, N, D)`` after every block

    Returns
    -------
    float32 ``(B, classes)``
    """
    return _Forward(model, drops or {}, weight_of, bias_of, dtype).run(images, observe or (lambda tokens: None))


class _Forward:
    def __init__(self, model: Any, drops: Mapping[int, TokenRule], weight_of: WeightOf, bias_of: WeightOf,
                 dtype: torch.dtype) -> None:
        self.model, self.drops, self.dtype = model, drops, dtype
        self.weight_of, self.bias_of = weight_of, bias_of

    def run(self, images: Tensor, observe: Callable[[Tensor], None]) -> Tensor:
        x, alive = self.embed(images), None
        for layer in range(len(self.model.blocks)):
            x, alive = self.block(layer, x, alive)
            observe(x)
        x = self.norm(self.model.norm, x[:, 0])
        return self.linear("head", self.model.head, x).float()

    def embed(self, images: Tensor) -> Tensor:
        """Patches as a matrix product: its backward pass is several times faster than that of a convolution."""
        model, edge = self.model, self.model.patch_embed.patch_size[0]
        batch, colours, height, width = images.shape
        patches = images.reshape(batch, colours, height // edge, edge, width // edge, edge)
        patches = patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, colours * edge * edge)
        tokens = self.linear("patch_embed.proj", model.patch_embed.proj, patches)
        start = (model.cls_token + model.pos_embed[:, :1]).expand(batch, -1, -1)
        return torch.cat([start, tokens + model.pos_embed[:, 1:]], dim=1)

    def block(self, layer: int, x: Tensor, alive: Tensor | None) -> tuple[Tensor, Tensor | None]:
        block, path = self.model.blocks[layer], f"blocks.{layer}"
        attended, cls_attention = self.attention(f"{path}.attn", block.attn, self.norm(block.norm1, x), alive,
                                                 scores=layer in self.drops)
        x = x + attended
        if layer in self.drops:
            x, alive = self.drops[layer](x, cls_attention, alive)
        hidden = functional.gelu(self.linear(f"{path}.mlp.fc1", block.mlp.fc1, self.norm(block.norm2, x)))
        return x + self.linear(f"{path}.mlp.fc2", block.mlp.fc2, hidden), alive

    def attention(
        self, path: str, attn: Any, y: Tensor, alive: Tensor | None, *, scores: bool
    ) -> tuple[Tensor, Tensor]:
        """Projected context ``(B, N, D)`` and, when asked for, the head-mean attention of CLS ``(B, N)``."""
        batch, tokens, width = y.shape
        qkv = self.linear(f"{path}.qkv", attn.qkv, y)
        q, k, v = qkv.reshape(batch, tokens, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        score = (q * attn.scale) @ k.transpose(-2, -1)
        if alive is not None:
            score = score.masked_fill(~alive[:, None, None, :], float("-inf"))
        probability = score.softmax(dim=-1)
        context = (probability @ v).transpose(1, 2).reshape(batch, tokens, width)
        cls_attention = probability[:, :, 0].float().mean(dim=1) if scores else y.new_empty(0)
        return self.linear(f"{path}.proj", attn.proj, context), cls_attention

    def norm(self, norm: Any, x: Tensor) -> Tensor:
        return functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps).to(self.dtype)

    def linear(self, name: str, module: Any, x: Tensor) -> Tensor:
        weight = self.weight_of(name, module.weight).flatten(1).to(self.dtype)
        bias = None if module.bias is None else self.bias_of(name, module.bias).to(self.dtype)
        return functional.linear(x.to(self.dtype), weight, bias)
