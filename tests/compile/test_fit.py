"""Networks that do not fit are refused with a message that says what to raise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from flows.compile import compile_program, config_for, image_words
from flows.contracts.errors import ConfigError
from tests.factory import random_artifact, random_patches

LIMITS = {
    "max_tokens": (16, r"17 tokens, .* max_tokens is 16; raise hardware.max_tokens to at least 17"),
    "max_width": (48, r"64 channels \(width\), .* max_width is 48; raise hardware.max_width"),
    "max_hidden": (64, r"128 hidden neurons, .* max_hidden is 64; raise hardware.max_hidden"),
    "max_patch": (32, r"48 values per patch, .* max_patch is 32; raise hardware.max_patch"),
    "max_classes": (9, r"10 classes, .* max_classes is 9; raise hardware.max_classes"),
}


@pytest.mark.parametrize("option", LIMITS)
def test_too_large(option: str) -> None:
    """One limit at a time."""
    artifact = random_artifact()
    limit, message = LIMITS[option]
    config = config_for(artifact)
    compile_program(artifact, config)
    with pytest.raises(ConfigError, match=message):
        compile_program(artifact, config.replace(**{option: limit}))


def test_too_many_heads() -> None:
    """Heads are bounded by the format, not by an option."""
    artifact = random_artifact(width=17 * 16, heads=17, depth=1, tokens=5, keep_blocks=0.1)
    with pytest.raises(ConfigError, match="17 heads, the program format allows 16"):
        compile_program(artifact, config_for(artifact))


def test_single_token() -> None:
    """CLS alone is no image."""
    artifact = random_artifact(depth=1)
    lonely = dataclasses.replace(artifact, residual_init=artifact.residual_init[:1])
    with pytest.raises(ConfigError, match="no patch token"):
        compile_program(lonely, config_for(artifact))


def test_config_for() -> None:
    """Sizes follow the network; options win."""
    artifact = random_artifact(width=96, heads=6, hidden=160, tokens=33, classes=7)
    config = config_for(artifact, clusters=2, fifo_words=256)
    assert (config.clusters, config.max_tokens, config.max_width, config.max_hidden) == (2, 48, 96, 160)
    assert (config.max_patch, config.max_classes, config.score_heads, config.fifo_words) == (48, 7, 6, 256)
    assert config_for(artifact, clusters=16).banks == 16
    assert config_for(artifact, score_heads=2).score_heads == 2
    with pytest.raises(ConfigError, match="unknown hardware field 'clutsers'"):
        config_for(artifact, clutsers=3)


def test_image_of_another_size() -> None:
    """The image has to be what the program was compiled for."""
    artifact = random_artifact()
    program = compile_program(artifact, config_for(artifact))
    patches = random_patches(artifact)
    words = image_words(program, patches).reshape(-1, 32).view(np.int8)
    assert words.shape == (2 * 17, 32)
    assert np.array_equal(words[17 + 5, :16], patches[5, 32:48]) and not words[17:, 16:].any()
    with pytest.raises(ConfigError, match=r"takes int8 patches of shape \(17, 48\), not int8 \(16, 48\)"):
        image_words(program, patches[:16])
    with pytest.raises(ConfigError, match="not int32"):
        image_words(program, patches.astype(np.int32))
