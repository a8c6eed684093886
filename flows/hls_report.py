"""Figures of a run on the HLS models: what ``flows.sim_report`` shows of the RTL, as far as it needs no clock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from flows.hls_flow import HlsOutcome
from flows.runs import stamp
from flows.sim_flow import Outcome
from flows.sim_report import (
    best_classes,
    board_keys,
    board_row,
    classes_table,
    figures_table,
    hardware_row,
    work_of,
)


def report_of_hls(outcome: HlsOutcome) -> dict[str, Any]:
    """Everything a run shows, as JSON can hold it; keys are those of the RTL's report.

    ``engine_images_per_second`` is per core, by processor time. ``cycles`` is None: nothing counts them.
    ``expected_cycles`` is the cycle model's number, and ``utilization`` and ``milliseconds`` follow from it. Of several
    images these are the first one's, and ``images`` holds all of them.
    """
    first = outcome.images[0]
    config, rows = first.config, [_row(image) for image in outcome.images]
    return {
        **stamp("hls", artifact=first.artifact, config=config),
        "engine": "hls",
        "model": first.artifact.model,
        **board_keys(first.board),
        "weights": first.artifact.weights,
        **rows[0],
        "bit_exact": all(row["bit_exact"] for row in rows),
        "mismatch": outcome.mismatch,
        "images": [{"image": str(path), **row} for path, row in zip(outcome.pictures, rows, strict=True)],
        "cycles": None,
        "peak_macs_per_cycle": config.macs_per_cycle,
        "hardware": {**config.to_dict(), "config_hash": f"{config.config_hash():08x}"},
        "weight_bits": first.artifact.weight_bits,
        "weight_bytes": first.artifact.packed_weight_bytes,
        "program_bytes": first.program.stream.size,
        "registers": outcome.images[-1].run.registers,
        "engine_seconds": outcome.engine_seconds,
        "engine_images_per_second": len(rows) / outcome.engine_seconds,
        "stage_seconds": outcome.seconds,
        "wall_seconds": sum(outcome.seconds.values()),
    }


def _row(image: Outcome) -> dict[str, Any]:
    macs, bound = work_of(image)
    cycles, config = image.estimate.total, image.config
    return {
        "bit_exact": image.comparison is not None,
        "mismatch": image.mismatch,
        "checkpoints": len(image.comparison.checkpoints) if image.comparison else 0,
        "integers_compared": image.comparison.integers if image.comparison else 0,
        "constant_checkpoints": list(image.comparison.constant) if image.comparison else [],
        "expected_cycles": cycles,
        "milliseconds": cycles / (config.clock_mhz * 1000),
        "lower_bound_cycles": bound,
        "cycles_over_lower_bound": cycles / bound,
        "useful_macs": macs,
        "utilization": macs / (config.macs_per_cycle * cycles),
        "tokens": [image.artifact.tokens, *image.golden.tokens],
        "top5": best_classes(image.artifact, image.run.logits),
        "golden_top5": best_classes(image.artifact, image.golden.logits),
    }


def hls_tables(report: Mapping[str, Any]) -> Group:
    """What ``sievit sim --engine hls`` prints, from its report."""
    several = len(report["images"]) > 1
    return Group(_images(report) if several else classes_table(report, "in the HLS models"), _figures(report))


def _images(report: Mapping[str, Any]) -> Table:
    table = Table(title=f"{report['model']}: {len(report['images'])} images in the HLS models", title_justify="left")
    for heading in ("", "image", "best class", "probability", "bit exact", "tokens alive"):
        table.add_column(heading)
    for number, row in enumerate(report["images"], 1):
        best = row["top5"][0]
        table.add_row(str(number), escape(Path(row["image"]).name), escape(best["name"]),
                      f"{100 * best['probability']:.1f} %", "[green]yes[/]" if row["bit_exact"] else "[bold red]no[/]",
                      " ".join(map(str, row["tokens"])))
    return table


def _figures(report: Mapping[str, Any]) -> Table:
    images = report["images"]
    checkpoints, integers = (sum(row[name] for row in images) for name in ("checkpoints", "integers_compared"))
    verdict = (f"[bold green]yes[/]: {checkpoints} checkpoints, {integers:,} integers" if report["bit_exact"]
               else f"[bold red]no[/]: {escape(report['mismatch'])}")
    rows = {
        "bit exact": verdict,
        "weights": escape(report["weights"]),
        **board_row(report),
        **hardware_row(report),
        "cycles": f"not counted (model: {report['expected_cycles']:,})",
        "time": f"{report['milliseconds']:.3f} ms by the model at {report['hardware']['clock_mhz']:g} MHz "
                "(target clock, not placed and routed)",
        "useful MACs / peak": f"{100 * report['utilization']:.1f} % by the model  ({report['useful_macs']:,} MACs)",
        "cycles / lower bound": f"{report['cycles_over_lower_bound']:.3f} by the model  "
                                f"(bound {report['lower_bound_cycles']:,})",
        "tokens alive": " ".join(map(str, report["tokens"])),
        "speed": f"{report['engine_images_per_second']:.1f} images/s of the HLS models on this machine, per core "
                 "(processor time)",
        "wall clock": f"{report['wall_seconds']:.1f} s",
    }
    if constant := sorted({name for row in images for name in row["constant_checkpoints"]}):
        rows["constant data"] = f"[yellow]{', '.join(constant)}"
    return figures_table(rows)
