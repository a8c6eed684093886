"""Runs of one kind beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from flows.breakdown import PARTS
from flows.contracts.resources import KINDS as RESOURCES
from flows.report.views import incomplete
from flows.runs import KINDS, Kept
from flows.vendor import Design, designs_of, furthest

Content = Mapping[str, Any]
BESIDE = 4
"""Simulations beside each other in one table."""


def overview(runs: Sequence[Kept]) -> Table:
    """A row per run with the figures that matter most; all runs are of one kind.

    Raises
    ------
    ConfigError
        When a report lacks a figure.
    """
    kind = runs[0].kind
    headings, row_of = _OVERVIEWS[kind]
    table = Table(title=f"{kind}: {KINDS[kind]}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("run", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _TEXTS else "right")
    for run in runs:
        try:
            table.add_row(escape(run.name), *(escape(cell) for cell in row_of(run.content)))
        except (KeyError, TypeError, ValueError) as error:
            raise incomplete(run, error) from None
    return table


def beside(runs: Sequence[Kept]) -> list[Table]:
    """Simulations side by side, a column each, a few per table.

    Raises
    ------
    ConfigError
        When a report lacks a figure.
    """
    return [_beside(runs[start:start + BESIDE]) for start in range(0, len(runs), BESIDE)]


def _beside(runs: Sequence[Kept]) -> Table:
    table = Table(title="simulations side by side", title_justify="left")
    table.add_column("")
    columns = []
    for run in runs:
        table.add_column(escape(run.name.removeprefix("sim-")), justify="right", overflow="fold")
        try:
            columns.append(_figures(run.content))
        except (KeyError, TypeError, ValueError) as error:
            raise incomplete(run, error) from None
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(escape(column.get(name, "")) for column in columns))
    return table


def _figures(content: Content) -> dict[str, str]:
    hardware, cycles = content["hardware"], content["cycles"]
    shares = content["breakdown"]["shares"]
    return {
        "model": content["model"], "weights": content["weights"], "board": content["board"] or "none",
        "clusters x groups": _size(hardware), "MACs per cycle": f"{content['peak_macs_per_cycle']:,}",
        "target clock MHz": f"{hardware['clock_mhz']:g}", "bit exact": _exact(content),
        "cycles": f"{cycles:,}", "cycles of the model": f"{content['expected_cycles']:,}",
        "model's error": f"{content['expected_cycles'] / cycles - 1:+.2%}", "ms": f"{content['milliseconds']:.3f}",
        "images/s": f"{content['images_per_second']:,.1f}", "useful MACs": f"{content['useful_macs']:,}",
        "useful MACs / peak": f"{content['utilization']:.1%}",
        "cycles / lower bound": f"{content['cycles_over_lower_bound']:.3f}",
        "tokens alive at last": str(content["tokens"][-1]), "program bytes": f"{content['program_bytes']:,}",
        "best class": content["top5"][0]["name"],
        **{text: f"{shares[part]:.2%}" for part, text in PARTS.items()},
    }


def _size(hardware: Content) -> str:
    return f"{hardware['clusters']} x {hardware['groups']}"


def _exact(content: Content) -> str:
    return "yes" if content["bit_exact"] else "NO"


def _sim(content: Content) -> list[str]:
    return [content["model"], content["board"] or "none", _size(content["hardware"]), _exact(content),
            f"{content['cycles']:,}", f"{content['milliseconds']:.3f}", f"{content['images_per_second']:,.0f}",
            f"{content['utilization']:.1%}"]


def _batch(content: Content) -> list[str]:
    return [content["model"], content["board"] or "none", _size(content["hardware"]), _exact(content),
            str(len(content["images"])), f"{content['steady_cycles_per_image']:,.0f}",
            f"{content['images_per_second']:,.0f}", f"{content['steady_utilization']:.1%}"]


def _hls(content: Content) -> list[str]:
    return [content["model"], content["board"] or "none", _size(content["hardware"]), _exact(content),
            str(len(content["images"])), f"{content['expected_cycles']:,}",
            f"{content['engine_images_per_second']:.1f}"]


def _eval(content: Content) -> list[str]:
    networks = content["networks"]
    return [content["model"], f"{content['images']:,}",
            *(f"{networks[name]['top1']:.2%}" if name in networks else "" for name in ("float", "integer")),
            f"{content['macs']:,}", f"{content['cycles']:,}" if "cycles" in content else ""]


def _resources(content: Content) -> list[str]:
    board = content.get("board")
    shares = [share for share in board["share"].values() if share is not None] if board else []
    return [board["name"] if board else content["family"], content["source"], _size(content["hardware"]),
            *(f"{content['total'][kind]:,.0f}" for kind in RESOURCES), f"{max(shares):.0%}" if shares else ""]


def _search(content: Content) -> list[str]:
    choice = content["choice"]
    if choice is None:
        return [content["model"], content["board"], "none", "", "", ""]
    return [content["model"], content["board"], _size(choice["config"]), f"{choice['milliseconds']:.3f}",
            f"{choice['images_per_second']:,.0f}", f"{choice['largest_share']:.0%}"]


def _bench(content: Content) -> list[str]:
    rows = content["rows"]
    return [", ".join(dict.fromkeys(row["model"] for row in rows)), str(len(rows)),
            str(sum(row["source"] == "rtl" for row in rows)), *(
                f"{part(row['utilization'] for row in rows):.1%}" for part in (min, max)),
            f"{min(row['milliseconds'] for row in rows):.3f}"]


def _sweep(content: Content) -> list[str]:
    points = content["points"]
    return [", ".join(content["axes"]["model"]), str(len(points)), *(
        str(sum(map(bool, (point[name] for point in points)))) for name in ("fits", "pareto")),
        str(sum(point["source"] == "rtl" for point in points)),
        f"{min((point['milliseconds'] for point in points if point['fits']), default=float('nan')):.3f}",
        "proxy" if content["axes"]["quality"]["proxy"] else "accuracy"]


def _vivado(content: Content) -> list[str]:
    """Figures of the design that is nearest to hardware."""
    design = furthest(designs_of(content))
    return [content["model"] or "", content["board"] or "", design.name, *_of_design(design)]


def _vitis_hls(content: Content) -> list[str]:
    (design,) = designs_of(content)
    return [content["part"].split("-")[0], *_of_design(design)]


def _of_design(design: Design) -> list[str]:
    """Resources but for registers, largest share, clock that can be reached and the one asked for, verdict."""
    amounts = [design.amounts.get(kind) for kind in _MOST]
    shares = [amount.share.value for amount in design.amounts.values() if amount.share is not None]
    return [*("" if amount is None else f"{amount.used.value:,.10g}" for amount in amounts),
            f"{max(shares):.0%}" if shares else "", _clock(design), design.verdict]


def _clock(design: Design) -> str:
    reachable, target = design.reachable_mhz, design.target_mhz
    return "/".join("?" if figure is None else format(figure.value, style)
                      for figure, style in ((reachable, ".1f"), (target, "g"))) if reachable or target else ""


_MOST = tuple(kind for kind in RESOURCES if kind != "ff")
_TOOL = (*_MOST, "largest share", "MHz/\nasked for", "timing")
_PLACE = ("model", "board", "clusters x groups", "bit exact")
_TEXTS = {"model", "models", "board", "source", "board or family", "bit exact", "quality", "design", "part", "timing"}
_OVERVIEWS: dict[str, tuple[tuple[str, ...], Callable[[Content], list[str]]]] = {
    "sim": ((*_PLACE, "cycles", "ms", "images/s", "useful/peak"), _sim),
    "batch": ((*_PLACE, "images", "cycles/image", "images/s", "useful/peak"), _batch),
    "hls": ((*_PLACE, "images", "cycles of the model", "models' images/s"), _hls),
    "eval": (("model", "images", "float top-1", "integer top-1", "MACs", "cycles"), _eval),
    "resources": (("board or family", "source", "clusters x groups", *RESOURCES, "largest share"), _resources),
    "search": (("model", "board", "clusters x groups", "ms", "images/s", "largest share"), _search),
    "bench": (("models", "rows", "in RTL", "least useful/peak", "most useful/peak", "least ms"), _bench),
    "sweep": (("models", "points", "fit", "Pareto", "in RTL", "least ms", "quality"), _sweep),
    "vivado": (("model", "board", "design", *_TOOL), _vivado),
    "vitis_hls": (("part", *_TOOL), _vitis_hls),
}
