"""Block maps of all weight matrices."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flows.dashboard.data import RunView
from flows.dashboard.figures.style import PAGE, new_figure
from flows.dashboard.palette import CLUSTERS, LIGHT
from flows.dashboard.slots import Matrix

ORDER = ("qkv", "proj", "fc1", "fc2")
GAP, APART = 2, 10


def maps_figure(view: RunView) -> Figure | None:
    """A line per block: queries, keys, values, projection and both MLP matrices, a pixel per block of weights."""
    blocks = [[matrix for matrix in view.matrices if matrix.layer == layer]
              for layer in dict.fromkeys(matrix.layer for matrix in view.matrices) if layer.startswith("block")]
    if not blocks:
        return None
    pictures = [_line(block) for block in blocks]
    lines = [_beside(pictures[index:index + 2]) for index in range(0, len(pictures), 2)]
    width = max(line.shape[1] for line in lines)
    image = np.ones((sum(line.shape[0] + GAP for line in lines) - GAP, width, 3))
    places, top = [], 0
    for line in lines:
        image[top:top + line.shape[0], :line.shape[1]] = line
        places.append(top + line.shape[0] / 2 - 0.5)
        top += line.shape[0] + GAP
    figure, axes = new_figure(PAGE, min(PAGE * image.shape[0] / width + 0.5, 9.2))
    axes.imshow(image, interpolation="nearest")
    axes.set_yticks(places, [f"block {index}" + (f" | {index + 1}" if index + 1 < len(blocks) else "")
                             for index in range(0, len(blocks), 2)])
    axes.set_xticks(*_titles(blocks[:2]))
    axes.tick_params(length=0, labelbottom=False, labeltop=True)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    clusters = sorted({cluster for block in blocks for matrix in block for cluster in matrix.by_cluster()})
    handles = [Patch(color=CLUSTERS[cluster % 16], label=f"cluster {cluster}") for cluster in clusters]
    figure.legend(handles=[*handles, Patch(color=LIGHT.raised, label="pruned")], loc="outside lower center",
                  ncols=min(len(handles) + 1, 9))
    return figure


def _parts(block: list[Matrix]) -> list[tuple[str, np.ndarray]]:
    """Pictures of a block's matrices, ``(rows, columns, 3)`` each, with their names."""
    found = []
    for kind in ORDER:
        for matrix in block:
            if matrix.kind == kind:
                colours = _colours(matrix)
                names = ("q", "k", "v") if kind == "qkv" and matrix.rows % 3 == 0 else (kind,)
                found += list(zip(names, np.split(colours, len(names)), strict=True))
    return found


def _colours(matrix: Matrix) -> np.ndarray:
    table = {".": to_rgb(LIGHT.raised), "*": to_rgb(LIGHT.muted)} | {
        f"{cluster:x}": to_rgb(CLUSTERS[cluster]) for cluster in range(16)}
    return np.array([[table[letter] for letter in row] for row in matrix.clusters])


def _line(block: list[Matrix]) -> np.ndarray:
    parts = _parts(block)
    image = np.ones((max(part.shape[0] for _, part in parts), sum(part.shape[1] + GAP for _, part in parts) - GAP, 3))
    left = 0
    for _, part in parts:
        image[:part.shape[0], left:left + part.shape[1]] = part
        left += part.shape[1] + GAP
    return image


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    """Two blocks next to each other, or the last one alone."""
    image = np.ones(
        (max(part.shape[0] for part in pictures), sum(part.shape[1] + APART for part in pictures) - APART, 3)
    )
    left = 0
    for part in pictures:
        image[:part.shape[0], left:left + part.shape[1]] = part
        left += part.shape[1] + APART
    return image


def _titles(blocks: list[list[Matrix]]) -> tuple[list[float], list[str]]:
    places, names, left = [], [], 0
    for block in blocks:
        for name, part in _parts(block):
            places.append(left + part.shape[1] / 2 - 0.5)
            names.append(name)
            left += part.shape[1] + GAP
        left += APART - GAP
    return places, names
