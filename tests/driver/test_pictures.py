"""Preprocessing without Pillow gives the integers of the toolkit's own, which uses Pillow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boards.driver import Network, Parameters, PictureError
from boards.driver.pictures import bicubic, code_table, crop, load_picture, pack_codes, rgb_array, to_codes
from flows.compile.layout import pack_image
from flows.contracts import preprocess
from flows.contracts.hardware import HardwareConfig
from tests.driver.tiny import Case
from tests.factory import random_artifact


def random_picture(width: int, height: int, seed: int) -> np.ndarray:
    """Noise; every second one only black and white, where the filter overshoots."""
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(picture > 127, 255, 0).astype(np.uint8) if seed % 2 else picture


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(4, 48), st.booleans(), st.integers(0, 2**32 - 1))
def test_any_shape_becomes_a_square(width: int, height: int, size: int, resize: bool, seed: int) -> None:
    picture = random_picture(width, height, seed)
    expected = preprocess.crop(Image.fromarray(picture), size, resize=resize)
    np.testing.assert_array_equal(crop(picture, size, preprocess.CROP_FRACTION, resize=resize), expected)


@settings(max_examples=40, deadline=None)
@given(*[st.integers(1, 90)] * 4, st.integers(0, 2**32 - 1))
def test_bicubic_is_pillows(width: int, height: int, new_width: int, new_height: int, seed: int) -> None:
    picture, size = random_picture(width, height, seed), (new_width, new_height)
    expected = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(bicubic(picture, *size), expected)


@pytest.mark.parametrize("shape", [(333, 500), (500, 375), (224, 224), (249, 248), (248, 248), (100, 700), (600, 250),
                                   (64, 48)])
@pytest.mark.parametrize("resize", [True, False])
def test_crop_and_codes(shape: tuple[int, int], resize: bool) -> None:
    """As a DeiT takes pictures: resized to 248, cropped to 224, with ImageNet's mean."""
    artifact = replace(random_artifact(width=32, heads=1, depth=1, hidden=32, tokens=197, patch_inputs=768),
                       image_size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), input_scale=0.0208)
    network = Network("", "", 197, 768, 10, (), 224, 16, artifact.mean, artifact.std, artifact.input_scale,
                      preprocess.CROP_FRACTION)
    picture = np.random.default_rng(shape).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.fromarray(picture)
    np.testing.assert_array_equal(crop(picture, 224, network.crop_fraction, resize=resize),
                                  preprocess.crop(image, 224, resize=resize))
    expected = preprocess.patch_codes(image, artifact, resize=resize)
    np.testing.assert_array_equal(to_codes(picture, network, resize=resize), expected)
    np.testing.assert_array_equal(to_codes(image, network, resize=resize), expected)
    grey = picture[:, :, 0]
    np.testing.assert_array_equal(to_codes(grey, network, resize=resize),
                                  preprocess.patch_codes(Image.fromarray(grey).convert("RGB"), artifact, resize=resize))


def test_code_table_is_the_toolkits(case: Case) -> None:
    network = Parameters.load(case.folder / "params.json").network
    expected = preprocess.code_table(case.artifact.mean, case.artifact.std, case.artifact.input_scale)
    np.testing.assert_array_equal(code_table(network), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "1", "CMYK", "I;16", "transparent"])
def test_kinds_of_files(mode: str, tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (9, 12, 4), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(values[:, :, 0].astype(np.uint16) * 257)
    elif mode == "transparent":
        image = Image.fromarray(values[:, :, :3]).convert("P")
        image.info["transparency"] = 3
    else:
        image = Image.fromarray(values, "RGBA").convert(mode)
    expected = np.asarray(preprocess.to_rgb(image))
    np.testing.assert_array_equal(rgb_array(image), expected)
    if mode != "CMYK":  # PNG has no such mode
        image.save(tmp_path / "picture.png")
        np.testing.assert_array_equal(load_picture(tmp_path / "picture.png"),
                                      np.asarray(preprocess.load_image(tmp_path / "picture.png")))


def test_files_are_turned_upright(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (8, 24, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "picture.jpg", exif=exif)
    picture = load_picture(tmp_path / "picture.jpg")
    assert picture.shape == (24, 8, 3)
    np.testing.assert_array_equal(picture, np.asarray(preprocess.load_image(tmp_path / "picture.jpg")))


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(PictureError, match="needs Pillow"):
        load_picture("picture.png")


@pytest.mark.parametrize(("inputs", "bits"), [(48, 256), (48, 512), (192, 256), (768, 512), (80, 512)])
def test_image_buffer(inputs: int, bits: int) -> None:
    codes = np.random.default_rng(inputs).integers(-127, 128, (17, inputs), dtype=np.int8)
    expected = pack_image(codes, 17, inputs, HardwareConfig(stream_bits=bits))
    np.testing.assert_array_equal(pack_codes(codes, bits // 8), expected)
