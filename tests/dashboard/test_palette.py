"""Colours stay apart for every eye.

Dichromacy is simulated in linear RGB with the matrices of G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A
physiologically-based model for simulation of color vision deficiency", IEEE TVCG 15(6), 2009 (severity 1.0).
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.color import rgb2lab

from flows.dashboard.palette import CLUSTERS, DARK, KINDS, LIGHT, kind_of, layer_of, step_colour

EYES = {
    "none": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]])}
APART, TEXT = 20.0, 4.5
"""CIELAB distance of two colours, ten times what is just noticeable; contrast ratio of WCAG 2 for text."""


def linear(colour: str) -> np.ndarray:
    code = np.array([int(colour[at:at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def seen(colour: str, eye: np.ndarray) -> np.ndarray:
    light = np.clip(eye @ linear(colour), 0, 1)
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return rgb2lab(code[None, None])[0, 0]


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("colours", [LIGHT.kinds, DARK.kinds, CLUSTERS[:8]], ids=["light", "dark", "clusters"])
def test_colours_stay_apart(colours: tuple[str, ...], eye: str) -> None:
    for one, other in itertools.combinations(colours, 2):
        distance = float(np.linalg.norm(seen(one, EYES[eye]) - seen(other, EYES[eye])))
        assert distance > APART, f"{one} and {other}: {distance:.1f}"


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_legible(theme: object) -> None:
    for ink, ground in itertools.product(("ink", "muted", "good", "bad", "accent"), ("surface", "page")):
        assert contrast(getattr(theme, ink), getattr(theme, ground)) >= TEXT, (ink, ground)


def test_kinds_of_steps() -> None:
    assert [kind_of(name) for name in ("embed", "block3.score.1", "block11.fc2", "head")] == [
        "embed",
        "score",
        "fc2",
        "head",
    ]
    assert [layer_of(name) for name in ("embed", "block3.score.1")] == ["embed", "block3"]
    assert step_colour("block0.qkv") == LIGHT.kinds[KINDS.index("qkv")]
    assert step_colour("unheard") == LIGHT.base
