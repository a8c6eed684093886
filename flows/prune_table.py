"""Accuracy of the training-free pruning methods at the same number of multiplications."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from flows.cache import file_hash
from flows.contracts.errors import ConfigError
from flows.contracts.files import replacing

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class TableOptions:
    """What to measure.

    Attributes
    ----------
    model, weights, seed : the dense network
    pack : labelled images to score
    calibration, calibration_images : what methods look at
    budgets : shares of the dense network's multiplications
    methods : names, None for all
    images : score only that many images
    fresh : measure rows again that the file holds
    """

    model: str
    weights: Path | None
    pack: Path
    calibration: Path | None
    calibration_images: int | None = None
    budgets: tuple[float, ...] = (0.9, 0.8, 0.7)
    methods: tuple[str, ...] | None = None
    images: int | None = None
    seed: int = 0
    fresh: bool = False


def measure_table(options: TableOptions, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Prune by every method to every budget, and score the results.

    ``out`` (JSON, and a Markdown table beside it) is written after every row, so that a run can be stopped and goes on
    where it was. All rows are measured again when the images, the weights or the options have changed, and when
    ``options.fresh`` says so, as after a change of a method. Accuracy is that of the float network under bfloat16
    autocast.

    Raises
    ------
    ConfigError
        For unknown methods, or labels that do not fit the classes.
    WeightsError, ImageError
        When weights or images are unusable.
    """
    from algo.prune import method_names, method_spec

    report = progress or (lambda stage, share: None)
    specs = [method_spec(name) for name in options.methods or method_names()]
    skipped = {spec.name: "needs training" for spec in specs if spec.needs == "training"}
    skipped |= {spec.name: "not for plain ViTs" for spec in specs if "vit" not in spec.architectures}
    runner = _Runner(options, report)
    old = {} if options.fresh else _old_rows(out, runner.key)
    rows = [old.get(("dense", 1.0)) or runner.dense()]
    content: dict[str, Any] = {
        "key": runner.key, "command": command_line(options, out),
        "model": options.model, "weights": runner.origin, "pack": options.pack.name,
        "calibration": options.calibration.name if options.calibration else "photographs of scikit-image",
        "calibration_images": len(runner.subject.pixels), "images": len(runner.images), "seed": options.seed,
        "skipped": skipped, "rows": rows}
    chosen = [spec for spec in specs if spec.name not in skipped]
    for number, spec in enumerate(chosen):
        family, prepare = None, 0.0
        for budget in options.budgets:
            row = old.get((spec.name, budget))
            if row is None:
                if family is None:
                    start = time.process_time()
                    family = runner.family(spec)
                    prepare = time.process_time() - start
                row = {**runner.row(spec.name, family, budget), "scoring_seconds": prepare}
            rows.append(row)
            _write(content, out)
        del family
        gc.collect()
        report("methods", (number + 1) / len(chosen))
    _write(content, out)
    return content


class _Runner:
    """The dense network, its images, and one row at a time."""

    def __init__(self, options: TableOptions, report: Progress) -> None:
        from algo.data import load_pack
        from algo.macs import count_work
        from algo.models import vit_spec
        from algo.prune.subject import load_subject
        from flows.accuracy import choose_images, labels_in

        vit_spec(options.model)
        self.report = report
        self.pack = load_pack(options.pack)
        self.images = choose_images(self.pack, options.images, options.seed)
        self.subject, self.origin, _ = load_subject(
            options.model, options.weights, options.calibration, images=options.calibration_images, seed=options.seed,
            progress=report)
        self.labels = labels_in(options.model, self.subject.model.num_classes, (), self.pack)[self.images]
        self.heads = self.subject.model.blocks[0].attn.num_heads
        self.dense_work = count_work(self.subject.model.state_dict(), self.heads)
        self.key = {
            "model": options.model, "weights": file_hash(options.weights) if options.weights else self.origin,
            "pack": file_hash(options.pack), "seed": options.seed, "images": len(self.images),
            "calibration": file_hash(options.calibration) if options.calibration else "",
            "calibration_images": len(self.subject.pixels)}

    def family(self, spec: Any) -> Any:
        """The method's plans."""
        from algo.export import one_thread

        with one_thread():
            return spec.function(self.subject)

    def dense(self) -> dict[str, Any]:
        """Row of the network that has not been pruned."""
        return {"method": "dense", "budget": 1.0, **self._figures(dict(self.subject.model.state_dict())),
                "seconds": 0.0, "scoring_seconds": 0.0}

    def row(self, name: str, family: Any, budget: float) -> dict[str, Any]:
        """Row of a method at a budget; without accuracy where the budget is out of its reach."""
        from algo.export import one_thread
        from algo.macs import count_work
        from algo.prune.budget import fit

        start = time.process_time()
        try:
            with one_thread():
                fitted = fit(family, lambda pruned: count_work(pruned.state, self.heads).macs,
                             budget * self.dense_work.macs, unit="MACs")
        except ConfigError as error:
            return {"method": name, "budget": budget, "error": str(error),
                    "seconds": time.process_time() - start}
        seconds = time.process_time() - start
        return {"method": name, "budget": budget, **self._figures(fitted.pruned.state), "seconds": seconds}

    def _figures(self, state: dict[str, Any]) -> dict[str, Any]:
        from algo.accuracy import network_logits
        from algo.macs import count_work
        from algo.models import build_like
        from flows.accuracy import rows_of

        model = build_like(self.subject.name, state)
        model.load_state_dict(state)
        logits = network_logits(model, self.pack, self.images, self.subject.mean, self.subject.std,
                                progress=lambda share: self.report("score", share))
        accuracy = dataclasses.asdict(rows_of({"float": logits}, self.labels)["float"])
        del accuracy["agreement"]  # with itself
        work = count_work(state, self.heads)
        return {"macs": work.macs, "macs_share": work.macs / self.dense_work.macs, "parameters": work.parameters,
                **accuracy}


def command_line(options: TableOptions, out: Path) -> str:
    """The command that measures the table; files below the folder ``SIEVIT_DATA`` are written as such."""
    flags = {
        "model": options.model, "weights": options.weights and _portable(options.weights),
        "calibration": options.calibration and _portable(options.calibration),
        "calibration-images": options.calibration_images, "macs": ",".join(f"{share:g}" for share in options.budgets),
        "methods": ",".join(options.methods or ("all",)), "images": options.images, "seed": options.seed,
        "out": _portable(out)}
    words = [f"--{name} {value}" for name, value in flags.items() if value is not None]
    return " ".join(["sievit prune-table", _portable(options.pack), *words])


def _portable(path: Path) -> str:
    folder = os.environ.get("SIEVIT_DATA")
    if folder and path.resolve().is_relative_to(Path(folder).resolve()):
        return f"$SIEVIT_DATA/{path.resolve().relative_to(Path(folder).resolve())}"
    return str(path)


def _old_rows(out: Path, key: Mapping[str, Any]) -> dict[tuple[str, float], dict[str, Any]]:
    """Rows of an earlier run with the same key."""
    try:
        content = json.loads(out.read_text())
        if content["key"] != key:
            return {}
        return {(row["method"], row["budget"]): row for row in content["rows"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(content: Mapping[str, Any], out: Path) -> None:
    with replacing(out) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")
    with replacing(out.with_suffix(".md")) as part:
        part.write_text(markdown(content))


COLUMNS = ("method", "MACs", "of dense", "parameters", "top-1 %", "95 % interval", "top-5 %", "seconds")


def table_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """Cells of the table, budgets in turn, best method first."""
    rows: Sequence[Mapping[str, Any]] = content["rows"]
    ordered = sorted(rows, key=lambda row: (-row["budget"], -row.get("top1", -1.0), row["method"]))
    return [_cells(row) for row in ordered]


def _cells(row: Mapping[str, Any]) -> list[str]:
    if "error" in row:
        return [row["method"], "", f"{row['budget']:.0%}", "", "out of reach", "", "", f"{row['seconds']:.0f}"]
    low, high = row["top1_interval"]
    return [row["method"], f"{row['macs'] / 1e9:.3f} G", f"{row['macs_share']:.1%}", f"{row['parameters'] / 1e6:.2f} M",
            f"{100 * row['top1']:.1f}", f"{100 * low:.1f} .. {100 * high:.1f}", f"{100 * row['top5']:.1f}",
            f"{row['scoring_seconds'] + row['seconds']:.0f}"]


def markdown(content: Mapping[str, Any]) -> str:
    """The table and its circumstances as Markdown."""
    lines = ["# Training-free pruning", "",
             (f"{content['model']}, weights: {content['weights']}. {content['images']} images of {content['pack']}; "
              f"calibrated on {content['calibration_images']} images of {content['calibration']}; seed "
              f"{content['seed']}. Float network under bfloat16 autocast. Seconds of one core: scores, and this "
              "row's plan and weights."), "",
             "<!-- test: skip needs the images and weights that it names, and an hour -->", "",
             f"    {content['command']}", "",
             "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells) + " |" for cells in table_rows(content)]
    lines += ["", *(f"Not measured: {name} ({reason})." for name, reason in sorted(content["skipped"].items()))]
    return "\n".join(lines).rstrip() + "\n"


def rich_table(content: Mapping[str, Any]) -> Table:
    """The table for the screen."""
    table = Table(title=f"{content['model']}, {content['images']} images")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "method" else "right")
    for cells in table_rows(content):
        table.add_row(*cells)
    for name, reason in sorted(content["skipped"].items()):
        table.add_row(name, *[""] * 3, reason, *[""] * 3)
    return table

