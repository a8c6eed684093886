"""Command lines and small packs of pictures for tests."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli import app

PICTURES = 12


def invoke(*arguments: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_pack(path: Path, labels: np.ndarray | None = None) -> Path:
    """Twelve smooth random pictures of 32x32 in ten classes, always the same ones; labels are random by default."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(PICTURES):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)).resize((32, 32)).save(buffer, "JPEG")
        files.append(np.frombuffer(buffer.getvalue(), np.uint8))
    chosen = rng.integers(0, 10, PICTURES) if labels is None else labels
    np.savez(path, jpeg=np.concatenate(files), offset=np.cumsum([0, *map(len, files)]),
             label=np.asarray(chosen, np.int16), names=np.array([str(index) for index in range(10)]))
    return path
