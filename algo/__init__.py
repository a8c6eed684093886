"""PyTorch side: a timm ViT and data in, pruned and quantized :class:`~flows.contracts.artifact.SparseVit` out."""
