"""Image file to patch codes, without torch."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import algo.timm_compat  # noqa: F401 - makes timm importable
from algo.data import normalise
from flows.contracts.errors import ImageError
from flows.contracts.preprocess import code_table, crop, load_image, patch_codes

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE = 2.64 / 127


def artifact(size: int = 32, patch: int = 8) -> Any:
    return SimpleNamespace(image_size=size, patch=patch, mean=MEAN, std=STD, input_scale=SCALE)


def photograph(width: int = 300, height: int = 200) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (227, 227), (31, 500), (16, 16)])
@pytest.mark.parametrize(("size", "patch"), [(32, 8), (224, 16)])
def test_codes_are_what_a_convolution_sees(width: int, height: int, size: int, patch: int) -> None:
    """Layout against the order in which a timm convolution weight flattens (torch's unfold)."""
    import torch

    image = photograph(width, height)
    codes = patch_codes(image, artifact(size, patch))
    assert codes.shape == (1 + (size // patch) ** 2, 3 * patch * patch) and codes.dtype == np.int8
    assert not codes[0].any() and codes[1:].std() > 5
    real = normalise(crop(image, size)[None], MEAN, STD)
    unfolded = torch.nn.functional.unfold(real, patch, stride=patch)[0].T.numpy()
    assert np.abs(codes[1:] * SCALE - unfolded).max() <= SCALE / 2 + 1e-6


def test_same_pixels_as_timm() -> None:
    from timm.data.transforms_factory import create_transform

    transform: Any = create_transform((3, 224, 224), interpolation="bicubic", crop_pct=0.9)
    image = photograph(321, 255)
    expected = (transform(image).numpy() * np.array(STD)[:, None, None] + np.array(MEAN)[:, None, None]) * 255
    assert np.abs(crop(image, 224).transpose(2, 0, 1) - expected).max() < 0.01


def test_crop_only_takes_the_centre_pixels() -> None:
    image = photograph(227, 227)
    assert (crop(image, 224, resize=False) == np.asarray(image)[2:226, 2:226]).all()
    assert crop(photograph(20, 20), 32, resize=False).shape == (32, 32, 3)


def test_extreme_pixels_never_give_minus_128() -> None:
    table = code_table(MEAN, STD, 0.001)
    assert table.min() == -127 and table.max() == 127


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16", "RGB"])
def test_image_modes(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    if mode == "I;16":
        Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16).save(path)
    else:
        photograph(64, 64).convert(mode).save(path)
    image = load_image(path)
    assert image.mode == "RGB" and np.asarray(image).std() > 5


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert (np.asarray(load_image(tmp_path / "a.png")) == 255).all()


def test_orientation_is_respected(tmp_path: Path) -> None:
    image = photograph(40, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").size == (20, 40)


def test_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("this is text")
    with pytest.raises(ImageError, match=r"a\.jpg cannot be read as an image") as caught:
        load_image(tmp_path / "a.jpg")
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match="no image file at"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="no image file at"):
        load_image(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_image(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    photograph().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="cannot be read as an image"):
        load_image(path)


def test_no_torch_needed() -> None:
    code = "import sys, flows.contracts.preprocess; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
