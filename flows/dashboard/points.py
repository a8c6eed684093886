"""Scatters: accuracy over latency of a sweep, and share of the board over latency of sweeps and searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.dashboard import match, numbers
from flows.dashboard.accuracy import accuracy_of
from flows.dashboard.match import number
from flows.dashboard.parts import Headline
from flows.pareto import front
from flows.runs import Kept

PROXY = "A proxy of quality: no labelled images were given."
SHARES = ("accuracy", "share", "quality/agreement")
"""Measures that are shares of 1, shown in percent."""
WORDS = {"snr_db": "SNR / dB", "agreement": "same class as the reference"}
"""Proxies whose names a reader would not guess."""


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
        sign = -1 if self.up else 1
        found = front(self.points, lambda point: point.x if point.fits else None, lambda point: sign * point.y)
        return tuple(self.points[index] for index in found)


def clouds_of(kept: Kept, store: Sequence[Kept]) -> tuple[Cloud, ...]:
    """Scatters for a page: a sweep's or search's own, or for a run of a network the sweeps of its model."""
    if kept.kind == "sweep":
        return _of_sweep(kept, None, own=True)
    if kept.kind == "search":
        return _of_search(kept)
    model = kept.content.get("model")
    sweeps = [other for other in store if other.kind == "sweep"
              and any(point.get("model") == model for point in match.points_of(other.content))]
    largest = max(sweeps, key=lambda other: (len(match.points_of(other.content)), other.name), default=None)
    return () if largest is None else _of_sweep(largest, kept, own=False)


def headlines(kept: Kept) -> list[Headline]:
    """Figures at the top of a sweep's or search's page."""
    content = kept.content
    if kept.kind == "search":
        choice = content.get("choice")
        shown = [Headline("Considered", numbers.count(content["considered"]), "configurations", content["considered"],
                      "considered"),
                 Headline("Within the limits", numbers.count(content["fitting"]), "", content["fitting"], "fitting")]
        if choice:
            shown += [Headline("Latency", f"{numbers.digits(choice['milliseconds'])} ms", "of the choice, cycle model",
                           choice["milliseconds"], "choice/milliseconds"),
                      Headline("Board fill", numbers.percent(choice["largest_share"]),
                           choice["largest_resource"].upper(), choice["largest_share"], "choice/largest_share")]
        return shown
    if kept.kind != "sweep":
        return []
    points = match.points_of(content)
    fastest = min((point for point in points if point.get("fits", True)), key=lambda point: point["milliseconds"],
                  default=None)
    shown = [
        Headline(
            "Points",
            numbers.count(len(points)),
            f"{sum(_rtl(point) for point in points)} simulated in RTL",
            len(points),
        ),
        Headline(
            "Fit",
            numbers.count(sum(bool(point.get("fits", True)) for point in points)),
            "their board, where one is given",
            sum(bool(point.get("fits", True)) for point in points),
        ),
    ]
    if fastest is not None:
        shown.append(Headline("Fastest that fits", f"{numbers.digits(fastest['milliseconds'])} ms", _label(fastest),
                          fastest["milliseconds"]))
    best = [score for point in points if (score := number(point.get("accuracy"))) is not None]
    if best:
        shown.append(Headline("Best accuracy", numbers.percent(max(best)), "top-1", max(best)))
    return shown


def _of_sweep(sweep: Kept, run: Kept | None, *, own: bool) -> tuple[Cloud, ...]:
    points = match.places_of(sweep.content)
    clouds = []
    measures = _measures([point for _, point in points])
    for name, title in measures if own else measures[:1]:
        made = [_sweep_point(point, f"points/{place}" if own else None, name, run) for place, point in points
                if _value(point, name) is not None]
        here = _here(run, name)
        clouds.append(
            Cloud(
                f"{sweep.name}-{name.replace('/', '-')}",
                f"{title[:1].upper()}{title[1:]} over latency",
                _proxy(points) if name.startswith("quality/") else "",
                "latency of an image / ms",
                title,
                name in SHARES,
                True,
                (*made, *here),
                tuple(dict.fromkeys(point.series for point in (*made, *here))),
            )
        )
    made = [_sweep_point(point, f"points/{place}" if own else None, "share", run) for place, point in points
            if _value(point, "share") is not None]
    if made:
        clouds.append(Cloud(f"{sweep.name}-share", "Share of the board over latency",
                            "the kind of resource that is used most", "latency of an image / ms",
                            "largest share of the board", True, False, tuple(made),
                            tuple(dict.fromkeys(point.series for point in made))))
    return tuple(clouds)


def _proxy(points: Sequence[tuple[int, Mapping[str, Any]]]) -> str:
    """What the proxies are, in the sweep's own words if it has any."""
    words = next((told for _, point in points if (told := (point.get("quality") or {}).get("proxy"))), None)
    return f"{PROXY} {words[:1].upper()}{words[1:]}." if isinstance(words, str) else PROXY


def _measures(points: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What is known of the points' quality: accuracy if there is any, else every proxy that tells points apart."""
    if any(number(point.get("accuracy")) is not None for point in points):
        return [("accuracy", "top-1 accuracy")]
    names: dict[str, list[float]] = {}
    for point in points:
        for name, value in (point.get("quality") or {}).items():
            if (known := number(value)) is not None:
                names.setdefault(name, []).append(known)
    return [
        (f"quality/{name}", WORDS.get(name, name.replace("_", " ")))
        for name, values in names.items()
        if len(set(values)) > 1
    ]


def _value(point: Mapping[str, Any], name: str) -> float | None:
    first, _, rest = name.partition("/")
    value = point.get(first)
    return number((value or {}).get(rest) if rest and isinstance(value, dict) else value)


def _sweep_point(point: Mapping[str, Any], key: str | None, name: str, run: Kept | None) -> Point:
    here = run is not None and all(point.get(part) is not None and point.get(part) == run.content.get(part)
                                   for part in ("artifact_hash", "config_hash"))
    rate, share = number(point.get("images_per_second")), number(point.get("share"))
    lines = [
        f"{numbers.digits(rate)} images/s" if rate else "",
        f"{point['cycles']:,} cycles" if "cycles" in point else "",
        f"largest share of the board {numbers.percent(share)}" if share is not None else "",
        "simulated RTL" if _rtl(point) else "cycle model",
        "network and configuration of this run" if here else "",
        "" if point.get("fits", True) else f"does not fit: {point.get('why') or 'the board is too small'}",
    ]
    return Point(
        _label(point),
        str(point.get("board") or "no board"),
        point["milliseconds"],
        _value(point, name) or 0.0,
        tuple(line for line in lines if line),
        bool(point.get("pareto")),
        bool(point.get("fits", True)),
        _rtl(point),
        here,
        key,
        "milliseconds",
        name,
    )


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
    scores = accuracy_of(run, ())
    if scores is None:
        return ()
    return (Point("this run", "this run", run.content["milliseconds"], scores.best.top1, (), measured=True, here=True,
                  key=None, x_name="milliseconds"),)


def _of_search(kept: Kept) -> tuple[Cloud, ...]:
    content = kept.content
    choice = content.get("choice") or {}
    points = tuple(
        Point(
            f"{point['config']['clusters']}×{point['config']['groups']} clusters",
            content["board"],
            point["milliseconds"],
            point["largest_share"],
            (
                f"{numbers.digits(point['images_per_second'])} images/s",
                f"{point['cycles']:,} cycles",
                f"largest: {point['largest_resource'].upper()}",
            ),
            True,
            True,
            False,
            point["config_hash"] == choice.get("config_hash"),
            f"pareto/{index}",
            "milliseconds",
            "largest_share",
        )
        for index, point in enumerate(content.get("pareto") or ())
    )
    if not points:
        return ()
    return (Cloud(f"{kept.name}-share", "Share of the board over latency", "configurations that none beats in both",
                  "latency of an image / ms", "largest share of a die", True, False, points, (content["board"],)),)
