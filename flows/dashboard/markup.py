"""A few words of HTML and SVG. Every chart is built of them.

Charts are as wide as the page lets them be: horizontal places are percentages, vertical ones pixels, so text keeps its
size on a phone. Marks carry their full value (``data-value``), where the JSON has it (``data-key``), and what to say
about it (``data-tip`` for the pointer and the keyboard, ``aria-label`` for a reader).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from html import escape


def tag(name: str, *content: str, **attributes: object) -> str:
    """An element; ``class_`` is class, underscores become hyphens, None and False leave an attribute out."""
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        title = key.rstrip("_").replace("_", "-")
        parts.append(title if value is True else f'{title}="{escape(_text(value))}"')
    inner = "".join(content)
    if not inner and name in ("rect", "line", "circle", "path", "use", "input", "img"):
        return f"<{' '.join(parts)}/>"
    return f"<{' '.join(parts)}>{inner}</{name}>"


def text(value: object) -> str:
    """Escaped text."""
    return escape(str(value))


def pct(share: float) -> str:
    """A share of the width, to a hundredth of a pixel on a wide screen."""
    return f"{100 * share:.3f}".rstrip("0").rstrip(".") + "%"


def mark(name: str, *, value: object, tip: Sequence[str], key: str | None = None, **attributes: object) -> str:
    """A mark of a chart: reachable, with its value.

    Parameters
    ----------
    name : SVG or HTML element
    value : what it stands for, in full precision
    tip : title, and lines below it
    key : path of the value in the run's report, parts joined by ``/``
    """
    label = ": ".join((tip[0], ", ".join(tip[1:]))) if len(tip) > 1 else tip[0]
    return tag(name, data_value=full(value), data_key=key, data_tip="\n".join(tip), aria_label=label, role="img",
               tabindex="-1", **{"class_": "mark", **attributes})


def full(value: object) -> str:
    """A value in full precision, as JSON writes it; null for what JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    return value if isinstance(value, str) else json.dumps(value)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1, id_: str | None = None,
          class_: str = "data") -> str:
    """A table; cells that are tuples are ``(text, value, key)``, all others text. The first ``left`` columns are text.
    """
    top = "".join(tag("th", text(cell), scope="col", class_=None if index < left else "n")
                  for index, cell in enumerate(head))
    body = "".join(tag("tr", *(_cell(cell, index, left) for index, cell in enumerate(row))) for row in rows)
    return tag("div", tag("table", tag("thead", tag("tr", top)), tag("tbody", body), class_=class_, id=id_),
               class_="scroll", tabindex="0", role="region", aria_label="table")


def behind(title: str, content: str) -> str:
    """A part that opens on demand."""
    return tag("details", tag("summary", text(title)), content, class_="behind")


def legend(items: Iterable[tuple[str, str]]) -> str:
    """Pairs of colour (CSS) and text."""
    return tag("ul", *(tag("li", tag("i", style=f"background:{colour}", aria_hidden="true"), text(words))
                       for colour, words in items), class_="legend")


def _cell(cell: object, index: int, left: int) -> str:
    css = None if index < left else "n"
    if isinstance(cell, tuple):
        words, value, key = cell
        return tag("td", text(words), class_=css, data_value=full(value), data_key=key)
    name = "th" if index == 0 else "td"
    return tag(name, text("" if cell is None else cell), class_=css, scope="row" if index == 0 else None)


def _text(value: object) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
