"""The command ``sievit sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from flows.cli_base import EXIT_MISMATCH, AsJson, app, errors, messages, progress_bars, screen, show_report
from flows.cli_options import at_least
from flows.contracts.errors import ConfigError

Values = str | None


@app.command()
def sweep(
    config: Annotated[Path | None, typer.Option(help="YAML file of the sweep, see docs/sweep.md. Default: 108 points "
                                                     "of DeiT-Tiny on two boards. Options change it.")] = None,
    models: Annotated[Values, typer.Option(help="Models, as deit_t,deit_s; these replace the file's networks.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights of the one model.")] = None,
    artifact: Annotated[list[Path] | None, typer.Option(help="Artifact of 'sievit export'; may be repeated.")] = None,
    keep_blocks: Annotated[Values, typer.Option(help="Shares of weight blocks, as 1,.75,.5.")] = None,
    keep_tokens: Annotated[Values, typer.Option(help="Shares of tokens at every drop, as 1,.7.")] = None,
    clusters: Annotated[Values, typer.Option(help="MAC clusters, as 2,4,8.")] = None,
    groups: Annotated[Values, typer.Option(help="Token groups, as 1,2.")] = None,
    hardware: Annotated[list[str] | None, typer.Option("--set", help="Hardware field and values, as bus_bits=128,256; "
                                                                     "may be repeated.")] = None,
    boards: Annotated[Values, typer.Option(help="Boards, as kv260,zcu102; 'none' for none in particular.")] = None,
    limit: Annotated[list[str] | None, typer.Option(help="Share of a resource that may be used, as lut=.6; may be "
                                                         "repeated.")] = None,
    method: Annotated[Values, typer.Option(help="grid, random, or halving: a bound on the cycles for all points, the "
                                                "cycle model for the best.")] = None,
    samples: Annotated[int | None, typer.Option(help="Points that random or halving draw from the grid.")] = None,
    eta: Annotated[int | None, typer.Option(help="Halving goes on with one point in that many.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draw.")] = None,
    images: Annotated[Path | None, typer.Option(help="Labelled images to measure accuracy on: a pack (.npz), or a "
                                                     "folder with a subfolder per class. Default: a proxy.")] = None,
    score: Annotated[int | None, typer.Option(help="So many of the images. Default: 256.")] = None,
    engine: Annotated[Values, typer.Option(help="What computes the integers on them: golden (NumPy) or hls (compiled "
                                                "C++, faster).")] = None,
    simulate: Annotated[int | None, typer.Option(help="Points of the Pareto set to run in RTL.")] = None,
    workers: Annotated[int | None, typer.Option(help="Parallel processes. Default: one per core.")] = None,
    dask: Annotated[Values, typer.Option(help="Run the jobs on the Dask scheduler at this address (tcp://host:port), "
                                              "or 'local': a cluster of --workers on this machine.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the result as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Networks, hardware and boards against each other: cycle model and resources for all points, RTL for the best.

    Results are kept by content: a second run takes what the first computed, and one that was interrupted goes on.
    """
    with errors():
        from flows.eval_workers import cores
        from flows.runs import keep
        from flows.sweep import sweep as look
        from flows.sweep.engine import open_engine
        from flows.sweep.plan import plan_of, read_plan
        from flows.sweep.table import sweep_tables

        content = read_plan(config)
        content |= _networks(models, weights, artifact, keep_blocks, keep_tokens)
        content |= _hardware(content, clusters, groups, hardware)
        content |= _given({"boards": _boards(boards), "images": images, "score": score, "engine": engine,
                           "simulate": simulate})
        content |= _search(content, {"method": method, "samples": samples, "eta": eta, "seed": seed})
        if limit:
            content["limits"] = dict(_pair("--limit", item) for item in limit)
        plan = plan_of(content, "sweep")
        count = cores() if workers is None else at_least("workers", workers, 1)
        with progress_bars(quiet=as_json) as show, open_engine(count, dask) as runs:
            result = look(plan, runs, show)
        names = list(dict.fromkeys(point["model"] for point in result["points"]))
        folder = keep(result, "-".join(names), result["grid"])
        if show_report(result, sweep_tables, out, as_json=as_json):
            screen.print(f"kept for reports and dashboards in {escape(str(folder))}", soft_wrap=True)
        for point in result["points"]:
            if point.get("mismatch"):
                messages.print(f"mismatch: {point['network']}: {point['mismatch']}", markup=False, highlight=False,
                               soft_wrap=True)
        if any(point.get("mismatch") for point in result["points"]):
            raise typer.Exit(EXIT_MISMATCH)


def _networks(models: str | None, weights: Path | None, artifacts: list[Path] | None, keep_blocks: str | None,
              keep_tokens: str | None) -> dict[str, Any]:
    """The networks that options describe; nothing when no option is about networks."""
    if models is None and weights is None and not artifacts and keep_blocks is None and keep_tokens is None:
        return {}
    names = _texts(models) or ([] if artifacts else ["deit_t"])
    if weights is not None and len(names) != 1:
        raise ConfigError("--weights are of one model; name it with --models")
    tokens = _given({"keep_tokens": _numbers("--keep-tokens", keep_tokens)})
    shares = _given({"keep_blocks": _numbers("--keep-blocks", keep_blocks), "weights": weights}) | tokens
    if artifacts and not names and keep_blocks is not None:
        raise ConfigError("--keep-blocks does not change an artifact; leave it out, or name --models")
    return {"networks": [*({"model": name, **shares} for name in names),
                         *({"artifact": path, **tokens} for path in artifacts or [])]}


def _hardware(content: dict[str, Any], clusters: str | None, groups: str | None, items: list[str] | None
              ) -> dict[str, Any]:
    """The file's hardware with the fields that options name."""
    changes = _given({"clusters": _numbers("--clusters", clusters), "groups": _numbers("--groups", groups)})
    for item in items or []:
        name, sign, text = item.partition("=")
        if not sign or not _texts(text):
            raise ConfigError(f"--set {item}: give a field and its values, as bus_bits=128,256")
        changes[name] = [_value(part) for part in _texts(text)]
    return {"hardware": dict(content.get("hardware", {})) | changes} if changes else {}


def _search(content: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    changes = _given(given)
    if not changes:
        return {}
    # Another method does not take the samples of the file's.
    before = {} if "method" in changes else dict(content.get("search", {}))
    return {"search": before | changes}


def _boards(text: str | None) -> list[str | None] | None:
    return None if text is None else [None if name == "none" else name for name in _texts(text)]


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _texts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    values = [_value(part) for part in _texts(text)]
    if not values or any(isinstance(value, str) for value in values):
        raise ConfigError(f"{option} takes numbers such as 1,2, not {text!r}")
    return values


def _pair(option: str, item: str) -> tuple[str, Any]:
    name, sign, text = item.partition("=")
    value = _value(text)
    if not sign or isinstance(value, str):
        raise ConfigError(f"{option} {item}: write resource=share, as lut=.6")
    return name, value


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
