"""The page over all runs: a table by kind, and latency beside accuracy of everything that has both."""

from __future__ import annotations

from collections.abc import Sequence

from flows.dashboard import numbers
from flows.dashboard.charts.headline import headline
from flows.dashboard.charts.scatter import scatter_chart
from flows.dashboard.data import RunView
from flows.dashboard.markup import full, tag, text
from flows.dashboard.pages import Panel, footer, render
from flows.dashboard.parts import Headline
from flows.dashboard.points import Cloud, Point
from flows.runs import KINDS

COLUMNS = ("Latency", "Frames", "Throughput", "Cycles", "Useful MACs / peak", "Accuracy", "Board fill",
           "Reachable clock", "Worst slack", "Timing")
TITLES = {"sim": "Simulated runs", "batch": "Throughput runs", "hls": "HLS models", "eval": "Accuracy",
          "resources": "Resources", "search": "Searches", "bench": "Benchmarks", "sweep": "Sweeps",
          "vivado": "Vivado and Vitis", "vitis_hls": "Vitis HLS"}


def index_page(views: Sequence[RunView]) -> str:
    """The index as one HTML file."""
    kinds = [kind for kind in KINDS if any(view.kept.kind == kind for view in views)]
    counts = [Headline(TITLES[kind], numbers.count(sum(view.kept.kind == kind for view in views)), KINDS[kind],
                       sum(view.kept.kind == kind for view in views)) for kind in kinds]
    panels = [
        Panel(kind, TITLES[kind].lower(), TITLES[kind], "", _table([view for view in views if view.kept.kind == kind]))
        for kind in kinds
    ]
    cloud = overview(views)
    if cloud is not None:
        panels.insert(1, Panel("overview", "overview", cloud.title, cloud.note, scatter_chart(cloud)))
    return render(title="Runs", crumb="dashboard", home="index.html", verdict=None, facts=(),
                  headline=headline(counts), panels=panels, data={},
                  foot=footer([entry for view in views for entry in view.vendor]))


def overview(views: Sequence[RunView]) -> Cloud | None:
    """Accuracy over latency of the simulated runs that have both; None for fewer than three different ones."""
    points = tuple(
        Point(view.title, str(view.kept.content["model"]), float(view.kept.content["milliseconds"]),
              view.accuracy.best.top1, (view.kept.name,), measured=True)
        for view in views if view.accuracy is not None and view.kept.kind == "sim")
    if len({(point.x, point.y) for point in points}) < 3:
        return None
    return Cloud(
        "overview",
        "Accuracy over latency",
        "Images of different runs may differ.",
        "latency of an image / ms",
        "top-1 accuracy",
        True,
        True,
        points,
        tuple(dict.fromkeys(point.series for point in points)),
    )


def _table(views: Sequence[RunView]) -> str:
    columns = [name for name in COLUMNS if any(_figure(view, name) for view in views)]
    others = [] if columns else list(dict.fromkeys(item.label for view in views for item in view.headline))[:5]
    shown = columns + others
    judged = any(view.verdict for view in views)
    head = tag("tr", tag("th", "run", scope="col"), tag("th", "verdict", scope="col") if judged else "",
               *(tag("th", text(name), scope="col", class_="n") for name in shown), tag("th", "name", scope="col"))
    body = "".join(_row(view, shown, judged=judged) for view in views)
    return tag("div", tag("table", tag("thead", head), tag("tbody", body), class_="data runs"), class_="scroll",
               tabindex="0", role="region", aria_label="runs")


def _row(view: RunView, columns: Sequence[str], *, judged: bool) -> str:
    verdict = "" if view.verdict is None else "bit exact" if view.verdict[0] else "mismatch"
    css = None if view.verdict is None else "good" if view.verdict[0] else "bad"
    cells = []
    for name in columns:
        item = _figure(view, name)
        if item is None:
            cells.append(tag("td", "–", class_="n none"))
        else:
            cells.append(tag("td", text(item.text), class_="n", data_run=view.kept.name, data_key=item.key,
                             data_value=None if item.value is None else full(item.value)))
    return tag("tr", tag("th", tag("a", text(view.title), href=view.file), scope="row"),
               tag("td", verdict, class_=css) if judged else "", *cells, tag("td", text(view.kept.name), class_="dim"))


def _figure(view: RunView, name: str) -> Headline | None:
    return next((item for item in view.headline if item.label == name), None)
