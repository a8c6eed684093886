"""The photograph after each drop, and the class token's attention in the block that drops."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from flows.dashboard.data import RunView
from flows.dashboard.figures.style import PAGE
from flows.dashboard.photo import Photo

SHADE = 0.17


def photograph_figure(view: RunView) -> Figure | None:
    """Above what is left after each drop, below the attention that decided; without drops that of the last block."""
    photo = view.photo
    if photo is None:
        return None
    picture = np.asarray(Image.open(io.BytesIO(photo.png)).convert("RGB")) / 255
    stages = [*photo.drops] or [len(photo.stages) - 1]
    columns = len(stages) + 1
    figure = Figure(figsize=(PAGE, min(PAGE / columns * 2 + 0.2, 7)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, columns, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    axes[0, 0].imshow(picture)
    axes[0, 0].set_title(f"input, {photo.rows * photo.columns} patches")
    for column, block in enumerate(stages, 1):
        stage = photo.stages[block]
        axes[0, column].imshow(picture * _spread(_alive(photo, stage.kept), picture)[..., None])
        axes[0, column].set_title(f"after block {block}: {len(stage.kept)}")
        axes[1, column].imshow(picture.mean(-1), cmap="gray", vmin=0, vmax=1)
        heat = np.full(photo.rows * photo.columns, np.nan)
        heat[list(stage.attention)] = list(stage.attention.values())
        axes[1, column].imshow(heat.reshape(photo.rows, photo.columns), cmap="inferno", alpha=0.8,
                               extent=(-0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5, -0.5), vmin=0,
                               interpolation="nearest")
        axes[1, column].set_title(f"attention in block {block}")
    return figure


def _alive(photo: Photo, kept: tuple[int, ...]) -> np.ndarray:
    """1 where a patch is alive, else the shade, ``(rows, columns)``."""
    mask = np.full(photo.rows * photo.columns, SHADE)
    mask[list(kept)] = 1
    return mask.reshape(photo.rows, photo.columns)


def _spread(mask: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """A number per patch as one per pixel."""
    rows = np.arange(picture.shape[0]) * mask.shape[0] // picture.shape[0]
    columns = np.arange(picture.shape[1]) * mask.shape[1] // picture.shape[1]
    return mask[np.ix_(rows, columns)]
