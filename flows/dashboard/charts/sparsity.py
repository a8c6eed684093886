"""Block maps of every weight matrix, coloured by the cluster that executes a block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.dashboard import numbers
from flows.dashboard.markup import behind, legend, table, tag, text
from flows.dashboard.slots import Matrix

LARGEST = 11
"""Pixels of a block at most."""


def sparsity_chart(matrices: Sequence[Matrix]) -> str:
    """A card per encoder block with its four matrices, one pixel of a canvas per weight block."""
    if not matrices:
        return ""
    layers = list(dict.fromkeys(matrix.layer for matrix in matrices))
    cards = "".join(_card(layer, [matrix for matrix in matrices if matrix.layer == layer], matrices)
                    for layer in layers)
    clusters = sorted({cluster for matrix in matrices for cluster in matrix.by_cluster()})
    items = [(f"var(--cluster-{cluster % 16})", f"cluster {cluster}") for cluster in clusters]
    items.append(("var(--raised)", "pruned"))
    if any(matrix.idle for matrix in matrices):
        items.append(("var(--muted)", "kept, result unused"))
    return legend(items) + tag("div", cards, class_="cards") + behind("All matrices", _table(matrices, clusters))


def sparsity_data(matrices: Sequence[Matrix]) -> list[dict[str, Any]]:
    """What the script needs."""
    return [{"name": matrix.name, "rows": matrix.rows, "columns": matrix.columns, "clusters": list(matrix.clusters)}
            for matrix in matrices]


def _card(layer: str, of: Sequence[Matrix], every: Sequence[Matrix]) -> str:
    drawn = "".join(_map(matrix, every.index(matrix), *part) for matrix in of for part in _parts(matrix))
    kept, whole = sum(matrix.kept for matrix in of), sum(matrix.rows * matrix.columns for matrix in of)
    return tag("section", tag("h3", text(layer.replace("block", "block ")),
                              tag("small", text(f"{kept:,} of {whole:,} kept"))),
               tag("div", drawn, class_="maps"), class_="card wide" if len(of) > 1 else "card")


def _parts(matrix: Matrix) -> list[tuple[str, int, int]]:
    """Name, first row and rows of what is drawn apart: queries, keys and values lie below each other in one matrix."""
    if matrix.kind != "qkv" or matrix.rows % 3:
        return [(matrix.kind, 0, matrix.rows)]
    rows = matrix.rows // 3
    return [(name, number * rows, rows) for number, name in enumerate(("q", "k", "v"))]


def _map(matrix: Matrix, index: int, name: str, first: int, rows: int) -> str:
    kept, whole = matrix.kept_in(first, rows), rows * matrix.columns
    full_name = matrix.name if rows == matrix.rows else f"{matrix.name}, {name}"
    words = f"{full_name}: {kept:,} of {whole:,} blocks kept ({numbers.percent(kept / whole)})"
    canvas = tag("canvas", width=matrix.columns, height=rows, class_="map", tabindex="0", role="img",
                 data_matrix=index, data_first=first, data_rows=rows, data_value=kept, data_chart="map",
                 aria_label=f"{words}; {rows} output by {matrix.columns} input block columns; arrow keys move between "
                            "blocks")
    return tag("figure", canvas, tag("figcaption", text(name), tag("small", text(numbers.percent(kept / whole, 0)))),
               style=f"flex-grow:{matrix.columns};max-width:{LARGEST * matrix.columns}px")


def _table(matrices: Sequence[Matrix], clusters: Sequence[int]) -> str:
    rows = []
    for matrix in matrices:
        owners = matrix.by_cluster()
        rows.append((matrix.name, f"{matrix.rows} × {matrix.columns}", (numbers.count(matrix.kept), matrix.kept, None),
                     (numbers.percent(matrix.share), matrix.share, None), (str(matrix.idle), matrix.idle, None),
                     *((numbers.count(owners.get(cluster, 0)), owners.get(cluster, 0), None) for cluster in clusters)))
    return table(("matrix", "blocks", "kept", "share", "unused", *(f"cluster {cluster}" for cluster in clusters)), rows)
