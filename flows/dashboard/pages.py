"""Pages: what is on them, in which order, and the one file that each becomes."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from flows.dashboard import palette
from flows.dashboard.charts import (
    accuracy,
    bench,
    beside,
    breakdown,
    classes,
    cycles,
    images,
    photograph,
    resources,
    roofline,
    scatter,
    sparsity,
    timeline,
    vendor,
)
from flows.dashboard.charts.headline import headline
from flows.dashboard.charts.raw import raw_report
from flows.dashboard.data import RunView
from flows.dashboard.markup import tag
from flows.dashboard.vendor import Reported, routed_of

TEMPLATES = Path(__file__).with_name("templates")
COUNTED = "Cycles were counted in simulated RTL unless a figure says otherwise. Clock rates are targets"
TARGETS = f"{COUNTED}: nothing was placed and routed, and no board was run."
ROUTED = f"{COUNTED}; the panels of vendor tools have what place and route made of them. No board was run."


@dataclass(frozen=True)
class Panel:
    """A part of a page.

    Attributes
    ----------
    name, short, title, note : anchor, word in the list of panels, heading, and a line below it
    body : markup, empty when the run does not have it
    size : class that says how much of a row it takes
    """

    name: str
    short: str
    title: str
    note: str
    body: str
    size: str = ""


def run_page(view: RunView) -> str:
    """A run's page as one HTML file."""
    data: dict[str, Any] = {}
    if view.timeline is not None:
        data["timeline"] = timeline.timeline_data(view.timeline)
    if view.matrices:
        data["matrices"] = sparsity.sparsity_data(view.matrices)
    if view.photo is not None:
        data["photo"] = photograph.photograph_data(view.photo)
    return render(title=view.title, crumb=view.subtitle, home="index.html", verdict=view.verdict, facts=view.facts,
                  headline=headline(view.headline), panels=panels_of(view), data=data, foot=footer(view.vendor))


def footer(reported: Sequence[Reported]) -> str:
    """The line at the foot of a page: where cycles and clocks come from."""
    return TARGETS if routed_of(reported) is None else ROUTED


def render(*, title: str, crumb: str, home: str, verdict: tuple[bool, str] | None,
           facts: Sequence[tuple[str, str]], headline: str, panels: Sequence[Panel], data: Mapping[str, Any],
           foot: str) -> str:
    """Any page."""
    shown = [Panel(panel.name, panel.short, panel.title, panel.note, Markup(panel.body), panel.size)
             for panel in panels if panel.body]
    return _environment().get_template("page.html.j2").render(
        title=title, crumb=crumb, home=home, verdict=verdict, facts=facts, headline=Markup(headline), panels=shown,
        footer=foot, style=Markup(_style()), script=Markup((TEMPLATES / "script.js").read_text()),
        # a closing tag within a string would end the element
        data=Markup(json.dumps(data, separators=(",", ":")).replace("</", "<\\/")))


def panels_of(view: RunView) -> list[Panel]:
    """All panels in reading order; those of which the run has nothing are empty."""
    return [
        Panel(
            "photograph",
            "photograph",
            "What it saw",
            "Dropped patches are dark; step through the encoder blocks.",
            photograph.photograph(view.photo),
            "less",
        ),
        Panel(
            "cycles",
            "cycles",
            "Cycles per layer and step",
            "Thick bars were measured, thin ones are the cycle model's." if view.kept.kind == "sim" else "",
            cycles.cycles_chart(view.steps),
            "more",
        ),
        Panel("images", "images", "Images", "", images.images_chart(view.images), "more"),
        Panel(
            "answer",
            "answer",
            _answer_title(view),
            "" if view.accuracy is None else f"Accuracy on {view.accuracy.images:,} images: {view.accuracy.source}.",
            _answer(view),
            "half" if view.photo is None else "more",
        ),
        Panel("bench", "benchmark", "Use of the array", "By network, blocks/tokens kept, and clusters × groups.",
              bench.bench_chart(view.kept.content.get("rows") or () if view.kept.kind == "bench" else ())),
        Panel(
            "timeline",
            "timeline",
            "Slot timeline",
            "Which step every cluster works on; a number pair is the source and output column of blocks."
            + (" Of the first image." if view.images else ""),
            timeline.timeline_chart(view.timeline),
        ),
        Panel(
            "balance",
            "load balance",
            "Load balance",
            "Cycles in which a cluster multiplies rows.",
            timeline.balance_chart(view.timeline),
            "half",
        ),
        Panel("breakdown", "where cycles go", "Where the cycles go", "", breakdown.breakdown_chart(view.parts), "half"),
        Panel("roofline", "roofline", "Roofline", _roof_note(view), roofline.roofline_chart(view.roofline), "half"),
        Panel(
            "resources", "board", _board_title(view), _board_note(view), resources.resources_chart(view.fill), "half"
        ),
        Panel("vendor", "vendor tools", "Vendor tools", _vendor_note(view), vendor.vendor_tables(view.vendor)),
        Panel(
            "sparsity",
            "sparsity",
            "Weight blocks",
            "A pixel is a block of 16 × 16 weights; rows are output columns of blocks, its colour is the cluster that "
            "executes it.",
            sparsity.sparsity_chart(view.matrices),
        ),
        *(
            Panel(
                f"scatter-{index}",
                cloud.title.lower().removesuffix(" over latency"),
                cloud.title,
                cloud.note,
                scatter.scatter_chart(cloud),
                "half" if len(view.clouds) > 1 else "",
            )
            for index, cloud in enumerate(view.clouds)
        ),
        Panel(
            "front",
            "pareto front",
            "Pareto front",
            "" if not view.clouds else f"Points that none beats in both latency and {view.clouds[0].y_title}.",
            scatter.front_table(view.clouds[0]) if view.clouds and view.kept.kind in ("sweep", "search") else "",
        ),
        Panel("beside", "other accelerators", "Beside published accelerators", "", beside.beside_table(view.beside)),
        Panel("report", "report", "The report", "Every value of report.json.", raw_report(view.kept.content)),
    ]


def _answer(view: RunView) -> str:
    parts = (classes.classes_table(view.classes),
             accuracy.accuracy_chart(view.accuracy, own=view.kept.kind == "eval"))
    return tag("div", *(tag("div", part) for part in parts if part), class_="answer") if any(parts) else ""


def _answer_title(view: RunView) -> str:
    return " and ".join(name for name, there in (("Best classes", view.classes), ("accuracy", view.accuracy)) if there
                        ).capitalize()


def _roof_note(view: RunView) -> str:
    if view.roofline is None:
        return ""
    return f"Bandwidth: {view.roofline.source}. Right of the knee the array is the limit, left of it the memory."


def _vendor_note(view: RunView) -> str:
    records = dict.fromkeys(entry.record for entry in view.vendor)
    return f"What the tools reported about this configuration: {', '.join(records)}."


def _board_title(view: RunView) -> str:
    return "Resources" if view.fill is None else f"Resources on {view.fill.title}"


def _board_note(view: RunView) -> str:
    if view.fill is None:
        return ""
    source = "By open synthesis" if view.fill.source == "open synthesis" else "By the analytical model"
    return f"{source}; dashed: what a design should take at most." + (
        "" if view.fill.chosen else " The run's own board is not in the catalogue: this is the smallest one with room."
        if view.kept.content.get("board") else " No board was chosen: this is the smallest one with room.")


@functools.cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined,
                       autoescape=select_autoescape(["html.j2", "j2"]), trim_blocks=True, lstrip_blocks=True)


@functools.cache
def _style() -> str:
    source = (TEMPLATES / "style.css.j2").read_text()
    light, dark = _variables(palette.LIGHT), _variables(palette.DARK)
    return source.replace("{{ light }}", light).replace("{{ dark }}", dark)


def _variables(theme: palette.Theme) -> str:
    names = ("page", "surface", "raised", "ink", "muted", "faint", "accent", "good", "bad", "base")
    values = [(name, getattr(theme, name)) for name in names]
    values += [(f"kind-{kind}", colour) for kind, colour in zip(palette.KINDS, theme.kinds, strict=True)]
    values += [(f"cluster-{index}", colour) for index, colour in enumerate(palette.CLUSTERS)]
    return " ".join(f"--{name}: {value};" for name, value in values)
