"""Units within units, as nested boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.documentation.diagrams.example import WORDS, top
from flows.documentation.svg import Drawing
from flows.documentation.wiring import Unit, units

GAP, HEAD, LETTER, LEAF = 8.0, 24.0, 7.4, 30.0
LIMIT = 1000.0
"""Width at which a row is full."""
SHADES = ("shared", "none", "control", "none", "compute", "none")


@dataclass(frozen=True)
class Box:
    """A unit with its place relative to the box around it."""

    unit: Unit
    x: float
    y: float
    width: float
    height: float
    inner: tuple[Box, ...]


def draw_hierarchy() -> str:
    """All units of the accelerator; ``x 4`` means four alike."""
    whole = _lay(Unit("vit_accel.top", 1, units(top())), LIMIT)
    title = f"Units of the accelerator ({WORDS})"
    drawing = Drawing(whole.width + 2 * GAP, whole.height + 2 * GAP + 24, title)
    drawing.text(GAP, 22, title, size=15, bold=True)
    _paint(drawing, whole, GAP, 24 + GAP, 0)
    return drawing.done()


def _label(unit: Unit) -> str:
    return f"{unit.name} x {unit.count}" if unit.count > 1 else unit.name


def _lay(unit: Unit, limit: float) -> Box:
    """Rows of children, those with children of their own first, each row as long as the limit allows."""
    needed = LETTER * len(_label(unit)) + 2 * GAP
    children = [child for child in unit.children if _is_unit(child)]
    if not children:
        return Box(unit, 0, 0, needed, LEAF, ())
    boxes = sorted((_lay(child, limit - 2 * GAP) for child in children), key=lambda box: (-box.height, box.unit.name))
    rows: list[list[Box]] = []
    for box in boxes:
        if rows and sum(item.width + GAP for item in rows[-1]) + box.width <= limit - 2 * GAP:
            rows[-1].append(box)
        else:
            rows.append([box])
    placed, y = [], HEAD
    for row in rows:
        x = GAP
        for box in row:
            placed.append(Box(box.unit, x, y, box.width, box.height, box.inner))
            x += box.width + GAP
        y += max(box.height for box in row) + GAP
    return Box(unit, 0, 0, max(needed, *(box.x + box.width + GAP for box in placed)), y, tuple(placed))


def _is_unit(unit: Unit) -> bool:
    """Memories and copies of tables are parts of a unit, not units."""
    return unit.name not in MEMORIES and not unit.name.startswith(("memory", "copy", "half", "bank"))


MEMORIES = ("memory", "storage", "unbuffered", "inner")


def _paint(drawing: Drawing, box: Box, x: float, y: float, depth: int) -> None:
    drawing.box(x, y, box.width, box.height, SHADES[depth % len(SHADES)] if box.inner else "none")
    drawing.text(x + GAP, y + (17 if box.inner else 20), _label(box.unit), size=12, bold=bool(box.inner))
    for inner in box.inner:
        _paint(drawing, inner, x + inner.x, y + inner.y, depth + 1)


def flat(items: Sequence[Unit]) -> set[str]:
    """Names of all units, at any depth."""
    return {name for item in items for name in {item.name} | flat(item.children)}
