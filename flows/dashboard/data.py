"""What a page shows of a run, apart from how: typed views made of the reports in the store.

A figure that stands in the run's own report names the place (``key``, parts joined by ``/``), so that a page can be
checked against it; figures of other reports name those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.dashboard import accuracy, fill, match, numbers, photo, points, roofline, slots, vendor
from flows.dashboard.accuracy import Accuracy
from flows.dashboard.fill import Fill
from flows.dashboard.parts import Headline, Step
from flows.dashboard.photo import Photo
from flows.dashboard.points import Cloud
from flows.dashboard.roofline import Roofline
from flows.dashboard.slots import Matrix, Timeline
from flows.dashboard.vendor import Reported
from flows.published import System, load_published
from flows.runs import KINDS, Kept

PARTS = {
    "slots": "rows streamed in slots", "short_slots": "slots longer than their rows",
    "first_fill": "before the first slot", "memory": "waiting for the program stream",
    "load": "waiting for blocks to load", "barrier": "barrier between steps",
    "column": "waiting for layer-norm or image columns", "select": "waiting for token selection",
    "output": "start, last drain, logits to memory"}
"""Parts of a run's cycles, as :data:`flows.breakdown.PARTS` names them."""


@dataclass(frozen=True)
class Part:
    """A part of the run's cycles."""

    name: str
    text: str
    cycles: int
    share: float


@dataclass(frozen=True)
class Beside:
    """A row of the table beside published accelerators: this run, or one of them.

    ``figures`` are by the names of :data:`flows.published.FIGURES`; ``derived`` were computed here, ``unverified`` were
    not found in the source itself.
    """

    system: str
    venue: str
    source: str
    model: str
    precision: str
    platform: str
    figures: Mapping[str, float | None]
    derived: Mapping[str, str] = field(default_factory=dict)
    unverified: Sequence[str] = ()
    note: str = ""
    here: bool = False


@dataclass(frozen=True)
class RunView:
    """A page. What a kind of run does not have is None or empty.

    Attributes
    ----------
    kept : the run
    title, subtitle : of the page
    verdict : ``(good, text)`` of the comparison with the golden model
    facts : pairs of name and text about network, hardware and memory
    headline, steps, parts, beside : as their classes say
    classes : best classes, as in the report
    timeline, matrices, photo : from the run's details
    roofline, fill, accuracy : None where they cannot be had
    clouds : scatters of sweeps and searches
    vendor : what the vendor's tools reported about the same configuration
    """

    kept: Kept
    title: str
    subtitle: str
    verdict: tuple[bool, str] | None
    facts: tuple[tuple[str, str], ...]
    headline: tuple[Headline, ...]
    steps: tuple[Step, ...] = ()
    parts: tuple[Part, ...] = ()
    classes: tuple[dict[str, Any], ...] = ()
    images: tuple[dict[str, Any], ...] = ()
    timeline: Timeline | None = None
    matrices: tuple[Matrix, ...] = ()
    photo: Photo | None = None
    roofline: Roofline | None = None
    fill: Fill | None = None
    accuracy: Accuracy | None = None
    clouds: tuple[Cloud, ...] = ()
    beside: tuple[Beside, ...] = ()
    vendor: tuple[Reported, ...] = ()

    @property
    def file(self) -> str:
        """Name of its page."""
        return f"{self.kept.name}.html"


def run_view(kept: Kept, store: Sequence[Kept], systems: Sequence[System] | None = None) -> RunView:
    """The view of a run.

    Parameters
    ----------
    kept : the run
    store : all runs, among which its accuracy, resources and sweeps are looked for
    systems : published figures, by default those of ``flows/published.yaml``
    """
    content = kept.content
    published = load_published() if systems is None else systems
    details = match.details_of(kept)
    filled = fill.fill_of(kept, store)
    scores = accuracy.accuracy_of(kept, store)
    steps = steps_of(content)
    reported = vendor.reported_of(kept, store)
    # Vitis HLS makes another circuit of the same configuration.
    routed = None if kept.kind == "vitis_hls" else vendor.routed_of(reported)
    return RunView(
        kept=kept, title=title_of(kept), subtitle=subtitle_of(kept), verdict=verdict_of(content),
        facts=facts_of(content, routed), headline=headline_of(kept, filled, scores), steps=steps,
        parts=parts_of(content), classes=tuple(content.get("top5") or ()), images=tuple(images_of(content)),
        timeline=slots.timeline_of(details, content), matrices=slots.matrices_of(details),
        photo=photo.photo_of(kept, details), roofline=roofline.roofline_of(content, steps), fill=filled,
        accuracy=scores, clouds=points.clouds_of(kept, store), beside=beside_of(content, filled, published, routed),
        vendor=reported)


def title_of(kept: Kept) -> str:
    """Network and where it runs."""
    content = kept.content
    model = str(content.get("model") or "")
    hardware = content.get("hardware") or {}
    if kept.kind == "sweep":
        return "Sweep of " + (
            ", ".join(sorted({str(point.get("model")) for point in match.points_of(content)})) or "nothing"
        )
    if kept.kind == "bench":
        return "Benchmark"
    if kept.kind in vendor.RECORDS:
        return vendor.title_of(kept)
    if kept.kind == "resources":
        board = content.get("board") or {}
        return f"Resources{' on ' + board['name'] if board else ''}, {content.get('family', '')}"
    place = content.get("board") or ""
    if hardware and not content.get("board"):
        place = f"{match.config_of(hardware).macs_per_cycle:,} MACs per cycle"
    return f"{model} on {place}" if place else model


def subtitle_of(kept: Kept) -> str:
    """What kind of run it is."""
    return KINDS[kept.kind]


def verdict_of(content: Mapping[str, Any]) -> tuple[bool, str] | None:
    """Bit exact or not; None for runs that compare nothing."""
    if "bit_exact" not in content:
        return None
    if content["bit_exact"]:
        return True, (f"bit exact: {content.get('integers_compared', 0):,} integers at "
                      f"{content.get('checkpoints', 0):,} checkpoints")
    return False, f"not bit exact: {content.get('mismatch', '')}"


def facts_of(content: Mapping[str, Any], routed: Reported | None = None) -> tuple[tuple[str, str], ...]:
    """The line of facts below the title; ``routed`` is what a vendor's tool made of the circuit."""
    hardware, facts = content.get("hardware") or {}, []
    if hardware:
        groups = f" × {hardware['groups']} groups" if hardware["groups"] > 1 else ""
        each = match.config_of(hardware).macs_per_cycle // (hardware["clusters"] * hardware["groups"])
        facts += [
            ("array", f"{hardware['clusters']} clusters{groups} × {each} MACs per cycle"),
            ("multipliers", hardware["multiplier"]),
            ("target clock", f"{hardware['clock_mhz']:g} MHz{'' if routed else ', not placed and routed'}"),
            ("memory bus", f"{hardware['bus_bits']} bits"),
        ]
    if routed is not None:
        facts.append((routed.design.tool, vendor.routed_words(routed)))
    if content.get("weights"):
        facts.append(("weights", str(content["weights"])))
    if content.get("weight_bits"):
        facts.append(("weight bits", ", ".join(f"{name} {bits}" for name, bits in content["weight_bits"].items())))
    for name in ("artifact_hash", "config_hash"):
        if content.get(name):
            facts.append((name.removesuffix("_hash").replace("artifact", "network").replace("config", "configuration"),
                          content[name]))
    return tuple(facts)


def headline_of(kept: Kept, filled: Fill | None, scores: Accuracy | None) -> tuple[Headline, ...]:
    """The figures at the top, as far as the run has them."""
    content, shown = kept.content, []
    hardware = content.get("hardware") or {}
    clock = f"at {hardware['clock_mhz']:g} MHz (target clock)" if "clock_mhz" in hardware else ""
    modelled = "" if kept.kind != "hls" else ", cycle model"
    if kept.kind in ("sim", "hls"):
        cycles = "cycles" if content.get("cycles") is not None else "expected_cycles"
        shown += [Headline("Latency", f"{numbers.digits(content['milliseconds'])} ms", f"{clock}{modelled}",
                           content["milliseconds"], "milliseconds"),
                  _frames(content),
                  Headline("Cycles", numbers.count(content[cycles]),
                           f"{content['cycles_over_lower_bound']:.3f} × lower bound", content[cycles], cycles)]
    if kept.kind == "batch":
        shown += [Headline("Throughput", f"{numbers.digits(content['images_per_second'])} images/s",
                           f"steady state {clock}", content["images_per_second"], "images_per_second"),
                  Headline("Cycles per image", numbers.count(content["steady_cycles_per_image"]),
                           "mean of images 2 on", content["steady_cycles_per_image"], "steady_cycles_per_image"),
                  Headline("Whole run", f"{numbers.digits(content['milliseconds'])} ms",
                           f"{numbers.count(content['cycles'])} cycles, {len(content['images'])} images",
                           content["milliseconds"], "milliseconds")]
    if "utilization" in content:
        name = "steady_utilization" if "steady_utilization" in content else "utilization"
        shown.append(Headline("Useful MACs / peak", numbers.percent(content[name]),
                              f"{content['useful_macs'] / 1e6:,.1f} M MACs, padding not counted", content[name], name))
    if scores is not None:
        shown.append(accuracy.headline(scores, kept))
    elif kept.kind in ("sim", "hls", "batch"):
        shown.append(Headline("Accuracy", "not measured", "sievit eval PACK measures it for this network"))
    if filled is not None:
        shown.append(
            Headline(
                "Board fill",
                numbers.percent(filled.largest.share),
                f"{filled.largest.title} of {filled.board}{'' if filled.chosen else ', the smallest with room'}, "
                f"{filled.short_source}",
                filled.largest.share,
                filled.key_of(filled.largest),
            )
        )
    shown += points.headlines(kept) + vendor.headlines(kept)
    return tuple(shown)


def _frames(content: Mapping[str, Any]) -> Headline:
    if "images_per_second" in content:
        return Headline("Frames", f"{numbers.digits(content['images_per_second'])} images/s", "one by one",
                        content["images_per_second"], "images_per_second")
    rate = 1000 / content["milliseconds"]
    return Headline("Frames", f"{numbers.digits(rate)} images/s", "one by one, cycle model", rate)


def steps_of(content: Mapping[str, Any]) -> tuple[Step, ...]:
    """Steps in their order; empty for runs without."""
    rows = content.get("steps") or ()
    return tuple(Step(index, row["name"], row["tokens"], row["expected_cycles"], row.get("cycles"), row["slots"],
                      row["lower_bound_cycles"], row.get("useful_macs"), row.get("memory_bytes"))
                 for index, row in enumerate(rows))


def parts_of(content: Mapping[str, Any]) -> tuple[Part, ...]:
    """Where the cycles go; empty for runs that do not say."""
    parts: dict[str, Any] = content.get("breakdown") or {}
    return tuple(Part(name, str(PARTS.get(name, name)), cycles, parts["shares"][name])
                 for name, cycles in parts.get("cycles", {}).items())


def images_of(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a run of several images."""
    images = content.get("images")
    return list(images) if isinstance(images, list) else []


def beside_of(content: Mapping[str, Any], filled: Fill | None, systems: Sequence[System],
              routed: Reported | None = None) -> tuple[Beside, ...]:
    """This run first, then the published ones; empty for what is no run of a network."""
    if "milliseconds" not in content or not content.get("hardware"):
        return ()
    return (_here(content, filled, routed), *(_published(system) for system in systems))


def _published(system: System) -> Beside:
    fields = system.model_dump()
    figures = {name: fields[name] for name in (
        "clock_mhz", "dsps", "gops", "gops_per_dsp", "macs_per_dsp_cycle", "utilization", "milliseconds",
        "images_per_second")}
    return Beside(system.system, system.venue, system.source, system.model, system.precision, system.platform, figures,
                  system.derived, system.unverified, system.note)


def _here(content: Mapping[str, Any], filled: Fill | None, routed: Reported | None) -> Beside:
    hardware = content["hardware"]
    rate = content.get("images_per_second") or 1000 / content["milliseconds"]
    images = (
        len(content["images"]) if isinstance(content.get("images"), list) and "steady_utilization" in content else 1
    )
    gops = 2 * content["useful_macs"] / images * rate / 1e9
    dsps = filled.total("dsp") if filled else None
    used = content.get("steady_utilization", content["utilization"])
    figures: dict[str, float | None] = {
        "clock_mhz": hardware["clock_mhz"], "dsps": dsps, "gops": gops, "gops_per_dsp": gops / dsps if dsps else None,
        "macs_per_dsp_cycle": gops * 1e3 / 2 / dsps / hardware["clock_mhz"] if dsps else None, "utilization": used,
        "milliseconds": content["milliseconds"] / images, "images_per_second": rate}
    placed = "not placed and routed" if routed is None else f"{routed.design.tool}: {vendor.routed_words(routed)}"
    return Beside(
        "this run", "sievit", f"simulated RTL at a target clock, {placed}", str(content.get("model")),
        _precision(content), content.get("board") or "no board", figures,
        note="DSP slices by the resource model." if dsps else "", here=True)


def _precision(content: Mapping[str, Any]) -> str:
    bits = sorted(set((content.get("weight_bits") or {}).values()) | {8})
    return "int8" if bits == [8] else f"w{bits[0]}..{bits[-1]} a8"
