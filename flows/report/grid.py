"""Tables of the terminal as plain rows of text, for files: there is one function per table, whatever it is shown in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Grid:
    """A table without its drawing.

    Attributes
    ----------
    title : may be empty
    headings : of the columns; all empty where the table shows none
    right : which columns are numbers, set to the right
    rows : cells, as many per row as there are headings
    caption : may be empty
    """

    title: str
    headings: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


def parts_of(shown: RenderableType) -> Iterator[Grid | str]:
    """The tables and lines of what a command prints, in order."""
    if isinstance(shown, Group):
        for part in shown.renderables:
            yield from parts_of(part)
    elif isinstance(shown, Table):
        yield grid_of(shown)
    else:
        yield _plain(shown)


def grid_of(table: Table) -> Grid:
    """The cells of a table."""
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    headings = tuple(_plain(column.header) if table.show_header else "" for column in table.columns)
    return Grid(_plain(table.title or ""), headings, tuple(column.justify == "right" for column in table.columns),
                tuple(zip(*columns, strict=True)), _plain(table.caption or ""))


def markdown_of(shown: RenderableType) -> str:
    """What a command prints, as Markdown."""
    return "\n\n".join(_markdown_table(part) if isinstance(part, Grid) else _escaped(part)
                       for part in parts_of(shown)) + "\n"


def _markdown_table(grid: Grid) -> str:
    lines = [_row(grid.headings), "|" + "|".join("---:" if right else "---" for right in grid.right) + "|",
             *(_row(row) for row in grid.rows)]
    text = "\n".join(lines)
    text = f"**{_escaped(grid.title)}**\n\n{text}" if grid.title else text
    return f"{text}\n\n{_escaped(grid.caption)}" if grid.caption else text


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is; ``- `` at the start of a line stays a list."""
    for sign in ("\\", "|", "*", "<"):
        text = text.replace(sign, f"\\{sign}")
    return text


def _plain(cell: RenderableType) -> str:
    """Text without colours and line breaks."""
    text = cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain
    return " ".join(text.replace("/\n", "/").split())
