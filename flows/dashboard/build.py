"""Making the dashboard: read the store, draw every run, write the files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows.contracts.errors import ConfigError
from flows.contracts.files import replacing
from flows.dashboard.data import run_view
from flows.dashboard.index import index_page
from flows.dashboard.pages import run_page
from flows.published import load_published
from flows.runs import Kept, find, runs_folder

INDEX = "index.html"


@dataclass(frozen=True)
class Built:
    """What was written.

    Attributes
    ----------
    index : page over all runs
    pages : page by name of the run
    figures : files for papers
    left_out : runs whose reports are not as expected, with the reason
    """

    index: Path
    pages: dict[str, Path]
    figures: tuple[Path, ...]
    left_out: dict[str, str]


def build_dashboard(out: Path, runs: Path | None = None, *, figures: bool = True,
                    report: Callable[[str, float], None] | None = None) -> Built:
    """Write a page per run, an index, and figures for papers.

    Parameters
    ----------
    out : folder to write to
    runs : the store, by default that of the commands
    figures : also draw SVG and PNG files
    report : called with a stage and the finished share of it

    Raises
    ------
    ConfigError
        When there are no runs, or the folder cannot be written.
    """
    show = report or (lambda stage, share: None)
    store = store_of(runs)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from None
    systems = load_published()
    views, pages, drawn, left_out = [], {}, [], {}
    for number, kept in enumerate(store):
        show("pages", number / len(store))
        try:
            view = run_view(kept, store, systems)
            pages[kept.name] = _write(out / view.file, run_page(view))
            views.append(view)
        except (AttributeError, ConfigError, IndexError, KeyError, TypeError, ValueError) as error:
            left_out[kept.name] = f"{type(error).__name__}: {error}"
    if not views:
        name, reason = next(iter(left_out.items()))
        raise ConfigError(f"no run can be drawn; {name}: {reason}; run its command again")
    show("pages", 1.0)
    for number, view in enumerate(views if figures else ()):
        from flows.dashboard.figures import draw_figures

        show("figures", number / len(views))
        drawn += draw_figures(view, out / "figures" / view.kept.name)
    if figures:
        show("figures", 1.0)
    return Built(_write(out / INDEX, index_page(views)), pages, tuple(drawn), left_out)


def store_of(runs: Path | None) -> list[Kept]:
    """All runs.

    Raises
    ------
    ConfigError
        When there are none.
    """
    folder = runs or runs_folder()
    found = find(folder)
    if not found:
        raise ConfigError(f"no runs in {folder}; run 'make sim' first, or name the folder with --runs")
    return found


def _write(path: Path, text: str) -> Path:
    with replacing(path) as part:
        part.write_text(text)
    return path
