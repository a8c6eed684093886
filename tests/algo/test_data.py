"""Data packs, folders, shipped photographs."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from algo.data import calibration_pixels, load_pack, normalise, pack_pixels
from flows.contracts.errors import ImageError


def make_pack(path: Path, images: int = 4, edge: int = 40) -> Path:
    files = []
    for index in range(images):
        buffer = io.BytesIO()
        Image.fromarray(np.full((edge, edge, 3), 40 * index, np.uint8)).save(buffer, "JPEG")
        files.append(np.frombuffer(buffer.getvalue(), np.uint8))
    offset = np.cumsum([0, *map(len, files)]).astype(np.int64)
    np.savez(path, jpeg=np.concatenate(files), offset=offset, label=np.arange(images, dtype=np.int16),
             names=np.array(["a", "b", "c", "d"]))
    return path


def test_pack(tmp_path: Path) -> None:
    pack = load_pack(make_pack(tmp_path / "p.npz"))
    assert len(pack) == 4 and pack.names == ("a", "b", "c", "d") and pack.label.tolist() == [0, 1, 2, 3]
    assert [int(pack_pixels(pack, index, 32).mean()) for index in range(4)] == [0, 40, 80, 120]
    assert calibration_pixels(tmp_path / "p.npz", 32, count=3).shape == (3, 32, 32, 3)


def test_damaged_packs(tmp_path: Path) -> None:
    path = make_pack(tmp_path / "p.npz")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="is no data pack or is damaged"):
        load_pack(path)
    with pytest.raises(ImageError, match="no data pack at"):
        load_pack(tmp_path / "none.npz")
    np.savez(path, jpeg=np.zeros(4, np.uint8), offset=np.array([0, 9]), label=np.zeros(1, np.int16))
    with pytest.raises(ImageError, match="its offsets do not fit its images"):
        load_pack(path)


def test_folder(tmp_path: Path) -> None:
    for index in range(3):
        Image.fromarray(np.full((50, 60, 3), 50 * index, np.uint8)).save(tmp_path / f"{index}.png")
    assert calibration_pixels(tmp_path, 32).mean((1, 2, 3)).tolist() == [0, 50, 100]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no images in the folder"):
        calibration_pixels(tmp_path / "empty", 32)


def test_shipped_photographs_are_seeded_and_varied() -> None:
    first = calibration_pixels(None, 32, count=12, seed=1)
    assert first.shape == (12, 32, 32, 3) and first.dtype == np.uint8
    assert (first == calibration_pixels(None, 32, count=12, seed=1)).all()
    assert (first != calibration_pixels(None, 32, count=12, seed=2)).any()
    assert first.std((1, 2, 3)).min() > 2 and first.std(0).min() > 5


def test_normalise() -> None:
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    pixels[0, 0, 1] = (255, 51, 0)
    result = normalise(pixels, (0.5, 0.2, 0.0), (0.5, 0.25, 1.0))
    assert result.shape == (1, 3, 2, 2)
    assert result[0, :, 0, 1].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)


@pytest.mark.skipif("SIEVIT_DATA" not in os.environ, reason="SIEVIT_DATA does not name the folder with the data packs")
def test_validation_pack() -> None:
    pack = load_pack(Path(os.environ["SIEVIT_DATA"]) / "imagenet1k_val1000_227px_jpeg.npz")
    assert len(pack) == 1000 and len(pack.names) == 1000 and pack.image(999).size == (227, 227)
