"""Data paths between units. The places are chosen here; units, paths and their widths are those of the netlist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.lib import wiring

from flows.documentation.diagrams.example import CONFIG, WORDS, core, group
from flows.documentation.svg import Drawing
from flows.documentation.wiring import OUTSIDE, paths, stem, units

NARROW, NARROW_OUTSIDE = 24, 32
"""Paths of fewer bits are not drawn: they are commands and counts."""
WIDTH, HEIGHT = 150.0, 58.0


Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Place:
    """Where a unit is drawn: its upper left corner, what it is, and where a path to the outside meets it."""

    x: float
    y: float
    words: str
    fill: str
    width: float = WIDTH
    outside: float | None = None
    below: bool = False

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box."""
        return self.x + self.width / 2, self.y + HEIGHT / 2


GROUP = {
    "operands": Place(30, 120, "banks X, A, S; exponential", "memory", 190),
    "cluster": Place(360, 120, "256 MACs each, accumulators", "compute", 190),
    "drain": Place(690, 120, "softmax division, requant, GELU", "compute", 210),
    "norm_pass": Place(360, 290, "layer norm", "compute", 190, below=True),
    "residual": Place(690, 290, "int16 stream, token drop", "memory", 210, below=True),
    "token_map": Place(980, 205, "new token indices", "memory", below=True),
}
AROUND: Mapping[tuple[str, str], Points] = {
    ("drain", "operands"): [(735, 178), (735, 225), (165, 225), (165, 178)],
    ("norm_pass", "operands"): [(360, 319), (85, 319), (85, 178)],
}
"""Paths that would cross a unit."""
CORE = {
    "image_loader": Place(590, 110, "patches", "io"),
    "program_skid": Place(330, 110, "a register ahead", "control"),
    "decoder": Place(330, 205, "program stream", "control"),
    "logit_buffer": Place(800, 110, "logits", "io"),
    "sequencer": Place(330, 315, "steps and slots", "control"),
    "group": Place(640, 315, "datapath of a token group", "compute", 310, outside=752),
    "key_value": Place(40, 465, "keys, values", "memory"),
    "token_drop": Place(330, 465, "selection", "compute"),
    "row_exchange": Place(640, 465, "rows of kept tokens", "control"),
    "part_sum": Place(800, 465, "parts of the fused token", "compute", 160),
}


def draw_group() -> str:
    """What moves within a token group."""
    return _draw(group(), GROUP, (1160, 455), f"Data paths of a token group ({WORDS})",
                 "shared part: column words, tables, blocks, rows from other groups",
                 "shared part: rows to other groups, norm parameters, token map")


def draw_core() -> str:
    """What moves between the shared part and the groups."""
    return _draw(core(), CORE, (1000, 560), f"Data paths between the shared part and the groups ({WORDS})",
                 "axi_read, axi_write, control", "")


def _draw(component: wiring.Component, places: Mapping[str, Place], size: tuple[float, float], title: str, above: str,
          below: str) -> str:
    counts = {unit.name: unit.count for unit in units(component)}
    if unplaced := set(counts) - set(places):
        raise KeyError(f"{title}: no place for {', '.join(sorted(unplaced))}")
    drawing = Drawing(*size, title)
    width, height = size
    bars = {False: 40.0, True: height - 65.0}
    for is_below, words in ((False, above), (True, below)):
        if words:
            drawing.box(30, bars[is_below], width - 60, 30, "shared")
            drawing.text(width / 2, bars[is_below] + 20, words, anchor="middle", soft=True)
    drawing.text(30, 24, title, size=15, bold=True)
    for (source, sink), bits in sorted(_widest(component).items()):
        if bits < (NARROW_OUTSIDE if OUTSIDE in (source, sink) else NARROW):
            continue
        hint = f"{source} to {sink}: {bits:,} bits"
        if OUTSIDE in (source, sink):
            _bar_path(drawing, places[sink if source == OUTSIDE else source], bars, bits, hint,
                      inward=source == OUTSIDE)
        elif (source, sink) in AROUND:
            points = AROUND[source, sink]
            drawing.line(points, weight=_weight(bits), hint=hint)
            _label(drawing, ((points[-3][0] + points[-2][0]) / 2, points[-2][1]), bits, (0, 1))
        else:
            _path(drawing, places[source], places[sink], bits, hint)
    for name, count in counts.items():
        place = places[name]
        drawing.box(place.x, place.y, place.width, HEIGHT, place.fill)
        middle = place.x + place.width / 2
        drawing.text(middle, place.y + 24, f"{name} x {count}" if count > 1 else name, bold=True, anchor="middle")
        drawing.text(middle, place.y + 43, place.words, size=11.5, anchor="middle", soft=True)
    return drawing.done()


def _widest(component: wiring.Component) -> Counter[tuple[str, str]]:
    """Bits by units without their number: the widest path of any pair."""
    found: Counter[tuple[str, str]] = Counter()
    for (source, sink), bits in paths(component).items():
        pair = stem(source), stem(sink)
        if pair[0] != pair[1]:
            found[pair] = max(found[pair], bits)
    return found


def _path(drawing: Drawing, source: Place, sink: Place, bits: int, hint: str) -> None:
    """An arrow from border to border, beside the one of the other direction."""
    (x0, y0), (x1, y1) = source.centre, sink.centre
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    aside = (y0 - y1) / length * 9, (x1 - x0) / length * 9
    start, end = (x0 + aside[0], y0 + aside[1]), (x1 + aside[0], y1 + aside[1])
    points = [_border(source, start, end), _border(sink, end, start)]
    drawing.line(points, weight=_weight(bits), hint=hint)
    _label(drawing, ((points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2), bits, aside)


def _bar_path(drawing: Drawing, place: Place, bars: Mapping[bool, float], bits: int, hint: str, *,
              inward: bool) -> None:
    """A vertical arrow between a unit and the bar that stands for the outside."""
    x = (place.outside or place.centre[0]) + (-22 if inward else 22)
    bar = bars[place.below] + (0 if place.below else 30)
    edge = place.y + (HEIGHT if place.below else 0)
    points = [(x, bar), (x, edge)] if inward else [(x, edge), (x, bar)]
    drawing.line(points, weight=_weight(bits), hint=hint)
    _label(drawing, (x, (bar + edge) / 2 + (4 if inward else -4)), bits, (-1 if inward else 1, 0))


def _label(drawing: Drawing, at: tuple[float, float], bits: int, aside: tuple[float, float]) -> None:
    """Bits beside a line, on the side that ``aside`` points to."""
    x, y = at
    if abs(aside[0]) > abs(aside[1]):
        drawing.text(x + (5 if aside[0] > 0 else -5), y + 4, f"{bits:,}", size=11, soft=True, halo=True,
                     anchor="start" if aside[0] > 0 else "end")
    else:
        drawing.text(x, y + (14 if aside[1] > 0 else -5), f"{bits:,}", size=11, soft=True, halo=True, anchor="middle")


def _border(place: Place, inside: tuple[float, float], towards: tuple[float, float]) -> tuple[float, float]:
    """Where the line from a point in a box leaves it."""
    (x, y), (dx, dy) = inside, (towards[0] - inside[0], towards[1] - inside[1])
    right, bottom = place.x + place.width, place.y + HEIGHT
    across = ((right if dx > 0 else place.x) - x) / dx if dx else 9e9
    down = ((bottom if dy > 0 else place.y) - y) / dy if dy else 9e9
    scale = min(across, down)
    return round(x + dx * scale, 1), round(y + dy * scale, 1)


def _weight(bits: int) -> float:
    return 1.0 if bits < 100 else 1.8 if bits < 400 else 2.8


assert CONFIG.groups > 1  # otherwise there is no exchange to draw
