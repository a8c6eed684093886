"""The little of SVG that the diagrams need. Equal calls give equal text."""

from __future__ import annotations

from html import escape

INK = "#1f2933"
SOFT = "#52606d"
LINE = "#9aa5b1"
FILLS = {"shared": "#e8eef4", "compute": "#dbeafe", "memory": "#fdf0d5", "control": "#e3f1e5", "io": "#f0e6f6",
         "none": "#ffffff"}
"""Fills by role; light enough for black text, and different without colour by their position and words."""


_TIP = ('<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="{SOFT}"/></marker></defs>')


class Drawing:
    """Shapes on a canvas, in pixels.

    Parameters
    ----------
    width, height : of the canvas
    title : for readers who do not see it
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        name = escape(title)
        view = f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}"'
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {view} font-family="system-ui, sans-serif">',
            f"<title>{name}</title>", _TIP, f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>']

    def box(self, x: float, y: float, width: float, height: float, fill: str = "none", hint: str = "") -> None:
        """A rectangle; ``hint`` shows where the mouse points."""
        title = f"<title>{escape(hint)}</title>" if hint else ""
        self._parts.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" '
                           f'fill="{FILLS[fill]}" stroke="{LINE}">{title}</rect>')

    def text(self, x: float, y: float, words: str, *, size: float = 13, bold: bool = False, anchor: str = "start",
             soft: bool = False, halo: bool = False) -> None:
        """A line of text; ``x`` is its start, middle or end, ``y`` its base line; ``halo`` keeps lines off it."""
        weight = 600 if bold else 400
        edge = ' paint-order="stroke" stroke="#ffffff" stroke-width="4"' if halo else ""
        self._parts.append(f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" '
                           f'fill="{SOFT if soft else INK}" font-weight="{weight}"{edge}>{escape(words)}</text>')

    def line(self, points: list[tuple[float, float]], *, weight: float = 1.2, tip: bool = True, hint: str = "") -> None:
        """A line through ``points``, with an arrow at its end."""
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        title = f"<title>{escape(hint)}</title>" if hint else ""
        marker = ' marker-end="url(#tip)"' if tip else ""
        self._parts.append(f'<path d="{path}" fill="none" stroke="{SOFT}" stroke-width="{weight:g}"{marker}>'
                           f"{title}</path>")

    def done(self) -> str:
        """The drawing as a file."""
        return "\n".join([*self._parts, "</svg>"]) + "\n"
