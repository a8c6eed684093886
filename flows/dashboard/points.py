"""Scatters: accuracy over latency of a sweep, and share of the board over latency of sweeps and searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows.dashboard import match, numbers
from flows.dashboard.match import number
from flows.runs import Kept

if TYPE_CHECKING:
    from flows.dashboard.data import Headline

PROXY = "quality proxy, no labelled images"


@dataclass(frozen=True)
class Point:
    """A mark of a scatter.

    Attributes
    ----------
    label : what a person would call it
    series : what decides its colour and shape: a board, or ``"this run"``
    x, y : its place, full precision
    lines : more to say about it
    pareto, fits, measured : on the Pareto front; fits its board; simulated RTL rather than the models
    key : path of the point in the report of its page, None for points of other reports
    x_name, y_name : keys below ``key``
    """

    label: str
    series: str
    x: float
    y: float
    lines: tuple[str, ...] = ()
    pareto: bool = False
    fits: bool = True
    measured: bool = False
    here: bool = False
    key: str | None = None
    x_name: str = ""
    y_name: str = ""


@dataclass(frozen=True)
class Cloud:
    """A scatter.

    Attributes
    ----------
    name, title, note : short name, heading, and what has to be known
    x_title, y_title : of the axes; x is logarithmic
    y_share : y is a share of 1, shown in percent
    up : larger y is better
    points : in the order of the report
    """

    name: str
    title: str
    note: str
    x_title: str
    y_title: str
    y_share: bool
    up: bool
    points: tuple[Point, ...]
    series: tuple[str, ...] = field(default=())

    @property
    def front(self) -> tuple[Point, ...]:
        """Points that none is faster and better than, fastest first."""
        best: list[Point] = []
        sign = 1 if self.up else -1
        for point in sorted((point for point in self.points if point.fits), key=lambda item: (item.x, -sign * item.y)):
            if not best or sign * point.y > sign * best[-1].y:
                best.append(point)
        return tuple(best)


def clouds_of(kept: Kept, store: Sequence[Kept]) -> tuple[Cloud, ...]:
    """Scatters for a page: a sweep's or search's own, or for a run of a network the sweeps of its model."""
    if kept.kind == "sweep":
        return _of_sweep(kept, None, own=True)
    if kept.kind == "search":
        return _of_search(kept)
    model = kept.content.get("model")
    sweeps = [other for other in store if other.kind == "sweep"
              and any(point.get("model") == model for point in match.points_of(other.content))]
    return tuple(cloud for other in sweeps[:1] for cloud in _of_sweep(other, kept, own=False))


def headlines(kept: Kept, make: Callable[..., Headline]) -> list[Headline]:
    """Figures at the top of a sweep's or search's page."""
    content = kept.content
    if kept.kind == "search":
        choice = content.get("choice")
        shown = [make("Considered", numbers.count(content["considered"]), "configurations", content["considered"],
                      "considered"),
                 make("Within the limits", numbers.count(content["fitting"]), "", content["fitting"], "fitting")]
        if choice:
            shown += [make("Latency", f"{numbers.digits(choice['milliseconds'])} ms", "of the choice, cycle model",
                           choice["milliseconds"], "choice/milliseconds"),
                      make("Board fill", numbers.percent(choice["largest_share"]), choice["largest_resource"].upper(),
                           choice["largest_share"], "choice/largest_share")]
        return shown
    if kept.kind != "sweep":
        return []
    points = match.points_of(content)
    fastest = min((point for point in points if point.get("fits", True)), key=lambda point: point["milliseconds"],
                  default=None)
    shown = [make("Points", numbers.count(len(points)), f"{sum(_rtl(point) for point in points)} simulated in RTL",
                  len(points)),
             make("Fit their board", numbers.count(sum(bool(point.get("fits", True)) for point in points)), "",
                  sum(bool(point.get("fits", True)) for point in points))]
    if fastest is not None:
        shown.append(make("Fastest that fits", f"{numbers.digits(fastest['milliseconds'])} ms", _label(fastest),
                          fastest["milliseconds"]))
    best = [score for point in points if (score := number(point.get("accuracy"))) is not None]
    if best:
        shown.append(make("Best accuracy", numbers.percent(max(best)), "top-1", max(best)))
    return shown


def _of_sweep(sweep: Kept, run: Kept | None, *, own: bool) -> tuple[Cloud, ...]:
    listed = sweep.content.get("points") or []
    points = [(place, point) for place, point in enumerate(listed) if point in match.points_of(sweep.content)]
    clouds = []
    for name, title, share in _measures([point for _, point in points]):
        made = [_sweep_point(point, f"points/{place}" if own else None, name) for place, point in points
                if _value(point, name) is not None]
        here = _here(run, name)
        clouds.append(Cloud(
            f"{sweep.name}-{name.replace('/', '-')}", f"{title[:1].upper()}{title[1:]} over latency",
            PROXY if name.startswith("quality/") else "", "latency of an image / ms", title, share, True,
            (*made, *here), tuple(dict.fromkeys(point.series for point in (*made, *here)))))
    made = [_sweep_point(point, f"points/{place}" if own else None, "share") for place, point in points
            if _value(point, "share") is not None]
    if made:
        clouds.append(Cloud(f"{sweep.name}-share", "Share of the board over latency",
                            "the kind of resource that is used most", "latency of an image / ms",
                            "largest share of the board", True, False, tuple(made),
                            tuple(dict.fromkeys(point.series for point in made))))
    return tuple(clouds)


def _measures(points: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, bool]]:
    """What is known of the points' quality: accuracy first, else every proxy."""
    if any(number(point.get("accuracy")) is not None for point in points):
        return [("accuracy", "top-1 accuracy", True)]
    names: dict[str, list[float]] = {}
    for point in points:
        for name, value in (point.get("quality") or {}).items():
            if (known := number(value)) is not None:
                names.setdefault(name, []).append(known)
    return [(f"quality/{name}", name.replace("_", " "), all(0 <= value <= 1 for value in values))
            for name, values in names.items() if len(set(values)) > 1]


def _value(point: Mapping[str, Any], name: str) -> float | None:
    first, _, rest = name.partition("/")
    value = point.get(first)
    return number((value or {}).get(rest) if rest and isinstance(value, dict) else value)


def _sweep_point(point: Mapping[str, Any], key: str | None, name: str) -> Point:
    rate, share = number(point.get("images_per_second")), number(point.get("share"))
    lines = [f"{numbers.digits(rate)} images/s" if rate else "", f"{point['cycles']:,} cycles" if "cycles" in point else "",
             f"largest share of the board {numbers.percent(share)}" if share is not None else "",
             "simulated RTL" if _rtl(point) else "cycle model",
             "" if point.get("fits", True) else f"does not fit: {point.get('why') or 'the board is too small'}"]
    return Point(_label(point), str(point.get("board") or "no board"), point["milliseconds"], _value(point, name) or 0.0,
                 tuple(line for line in lines if line), bool(point.get("pareto")), bool(point.get("fits", True)),
                 _rtl(point), False, key, "milliseconds", name)


def _label(point: Mapping[str, Any]) -> str:
    parts = [str(point.get("model", "?"))]
    for name, title in (("keep_blocks", "blocks"), ("keep_tokens", "tokens")):
        if (value := number(point.get(name))) is not None:
            parts.append(f"{title} {value:g}")
    if point.get("clusters"):
        parts.append(f"{point['clusters']}×{point.get('groups', 1)} clusters")
    return ", ".join(parts)


def _rtl(point: Mapping[str, Any]) -> bool:
    return point.get("source") == "rtl"


def _here(run: Kept | None, name: str) -> tuple[Point, ...]:
    """The page's run among the points of a sweep, where its accuracy is on record."""
    if run is None or name != "accuracy" or number(run.content.get("milliseconds")) is None:
        return ()
    from flows.dashboard.accuracy import accuracy_of

    scores = accuracy_of(run, ())
    if scores is None:
        return ()
    return (Point("this run", "this run", run.content["milliseconds"], scores.best.top1, (), measured=True, here=True,
                  key=None, x_name="milliseconds"),)


def _of_search(kept: Kept) -> tuple[Cloud, ...]:
    content = kept.content
    choice = content.get("choice") or {}
    points = tuple(Point(
        f"{point['config']['clusters']}×{point['config']['groups']} clusters", content["board"], point["milliseconds"],
        point["largest_share"], (f"{numbers.digits(point['images_per_second'])} images/s", f"{point['cycles']:,} cycles",
                                 f"largest: {point['largest_resource'].upper()}"),
        True, True, False, point["config_hash"] == choice.get("config_hash"), f"pareto/{index}", "milliseconds",
        "largest_share") for index, point in enumerate(content.get("pareto") or ()))
    if not points:
        return ()
    return (Cloud(f"{kept.name}-share", "Share of the board over latency", "configurations that none beats in both",
                  "latency of an image / ms", "largest share of a die", True, False, points, (content["board"],)),)
