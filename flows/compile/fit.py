"""Whether a network fits a hardware configuration, and the smallest configuration it fits."""

from __future__ import annotations

from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK, MAX_HEADS_LIMIT, HardwareConfig, ceil_div

WIDE_STREAM_MACS = 2048
"""MACs per cycle from which on the wide stream is the default."""


def check_fit(artifact: SparseVit, config: HardwareConfig) -> None:
    """Refuse a network that is larger than the hardware.

    Raises
    ------
    ConfigError
        Naming the size of the network, that of the hardware, and the option to raise.
    """
    for what, size, option in _sizes(artifact):
        limit = getattr(config, option)
        if size > limit:
            raise ConfigError(f"the network has {size} {what}, the hardware {option} is {limit}; raise "
                              f"hardware.{option} to at least {size}")
    if artifact.heads > MAX_HEADS_LIMIT:
        raise ConfigError(f"the network has {artifact.heads} heads, the program format allows {MAX_HEADS_LIMIT}")
    if artifact.tokens < 2:
        raise ConfigError("the network has no patch token; at least CLS and one patch are needed")


def config_for(artifact: SparseVit, clusters: int = 4, **options: object) -> HardwareConfig:
    """Smallest configuration for a network: sizes follow the network, ``options`` override any field.

    ``score_heads`` is the number of heads, fewer when the score memory could not hold them. Arrays of
    ``WIDE_STREAM_MACS`` and more get stream words of 512 bits from a bus as wide, as short slots would otherwise wait
    for their weights, and deeper FIFOs: for the program, and for the next image.
    """
    sizes: dict[str, object] = {option: size for _, size, option in _sizes(artifact)}
    sizes["max_tokens"] = ceil_div(artifact.tokens, BLOCK) * BLOCK
    sizes["banks"] = _banks(clusters)
    sizes["clusters"] = clusters
    if clusters * int(options.get("groups", 1)) * BLOCK * BLOCK >= WIDE_STREAM_MACS:  # type: ignore[call-overload]
        sizes |= {"stream_bits": 512, "bus_bits": 512, "fifo_words": 4096, "image_fifo_words": _image_fifo(artifact)}
    sizes.update(options)
    if "score_heads" not in options:
        stride = HardwareConfig.from_dict({**sizes, "score_heads": 1}).score_stride
        sizes["score_heads"] = max(1, min(artifact.heads, MAX_HEADS_LIMIT, 1024 // stride))
    return HardwareConfig.from_dict(sizes)


def default_config(**options: object) -> HardwareConfig:
    """Configuration for DeiT-Tiny's sizes, where there is no network to follow; ``options`` override any field."""
    return HardwareConfig.from_dict({"banks": _banks(options.get("clusters", 4)), **options})


def _banks(clusters: object) -> int:
    """More clusters listen to more columns at a time."""
    return 16 if int(clusters) > 8 else 8  # type: ignore[call-overload]


def _image_fifo(artifact: SparseVit) -> int:
    """Words of 512 bits that hold an image, up to the next power of two, as far as the hardware allows."""
    words = artifact.tokens * ceil_div(artifact.embed.weight.shape[1], 64)
    return max(256, min(8192, 1 << (words - 1).bit_length()))


def _sizes(artifact: SparseVit) -> list[tuple[str, int, str]]:
    hidden = max((block.fc1.weight.shape[0] for block in artifact.blocks), default=BLOCK)
    return [
        ("tokens", artifact.tokens, "max_tokens"),
        ("channels (width)", artifact.width, "max_width"),
        ("hidden neurons", hidden, "max_hidden"),
        ("values per patch", artifact.embed.weight.shape[1], "max_patch"),
        ("classes", artifact.head.weight.shape[0], "max_classes"),
    ]
