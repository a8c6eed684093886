"""Figures of several images in one run: the report file and the tables on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from flows.batch_flow import BatchOutcome
from flows.runs import stamp
from flows.sim_report import (
    best_classes,
    board_keys,
    board_row,
    figures_table,
    hardware_row,
    viewers,
    wave_rows,
    work_of,
)


def report_of_batch(outcome: BatchOutcome) -> dict[str, Any]:
    """Everything a run of several images shows, as JSON can hold it.

    Keys that a single image's report has too mean the same, for the run as a whole. ``steady_cycles_per_image`` is
    the mean ``cycles`` of the images after the first; ``images_per_second`` (at the target clock) and
    ``steady_utilization`` (their useful MACs over what the array could have done in their cycles) follow from it. See
    :class:`sim.accelerator.Batch` for where an image's cycles begin: start and end of the run are the last image's.
    """
    first, batch = outcome.images[0], outcome.batch
    config, rows = first.config, image_rows(outcome)
    later = rows[1:]
    cycles, macs = sum(row["cycles"] for row in later), sum(row["useful_macs"] for row in rows)
    steady = cycles / len(later)
    stalls = first.run.stalls
    return {
        **stamp("batch", artifact=first.artifact, config=config),
        "model": first.artifact.model,
        **board_keys(first.board),
        "weights": first.artifact.weights,
        "bit_exact": all(row["bit_exact"] for row in rows),
        "mismatch": outcome.mismatch,
        "checkpoints": sum(row["checkpoints"] for row in rows),
        "integers_compared": sum(row["integers_compared"] for row in rows),
        "images": rows,
        "cycles": batch.cycles,
        "milliseconds": batch.cycles / (config.clock_mhz * 1000),
        "steady_cycles_per_image": steady,
        "images_per_second": config.clock_mhz * 1e6 / steady,
        "steady_utilization": sum(row["useful_macs"] for row in later) / (config.macs_per_cycle * cycles),
        "useful_macs": macs,
        "peak_macs_per_cycle": config.macs_per_cycle,
        "utilization": macs / (config.macs_per_cycle * batch.cycles),
        "stall_cycles": sum(stalls.values()),
        "stalls": stalls,
        "hardware": {**config.to_dict(), "config_hash": f"{config.config_hash():08x}"},
        "program_bytes": first.program.stream.size,
        "registers": batch.registers,
        "waveform": str(batch.wave) if batch.wave else None,
        "wave_viewers": viewers(batch.wave),
        "simulation_seconds": batch.wall_seconds,
        "stage_seconds": outcome.seconds,
        "wall_seconds": sum(outcome.seconds.values()),
    }


def image_rows(outcome: BatchOutcome) -> list[dict[str, Any]]:
    """Each image in the order of execution; keys as in the report of a single one."""
    return [{
        "image": str(path),
        "bit_exact": image.comparison is not None,
        "mismatch": image.mismatch,
        "checkpoints": len(image.comparison.checkpoints) if image.comparison else 0,
        "integers_compared": image.comparison.integers if image.comparison else 0,
        "constant_checkpoints": list(image.comparison.constant) if image.comparison else [],
        "cycles": image.run.cycles,
        "useful_macs": work_of(image)[0],
        "tokens": [image.artifact.tokens, *image.golden.tokens],
        "top5": best_classes(image.artifact, image.run.logits),
        "golden_top5": best_classes(image.artifact, image.golden.logits),
    } for path, image in zip(outcome.pictures, outcome.images, strict=True)]


def batch_tables(report: Mapping[str, Any]) -> Group:
    """What ``sievit sim`` prints for several images, from its report."""
    return Group(_images(report), _figures(report))


def _images(report: Mapping[str, Any]) -> Table:
    table = Table(title=f"{report['model']}: {len(report['images'])} images in one run of the hardware",
                  title_justify="left")
    table.add_column("", justify="right")
    table.add_column("image")
    table.add_column("best class")
    table.add_column("probability", justify="right")
    table.add_column("bit exact")
    table.add_column("cycles", justify="right")
    table.add_column("tokens alive")
    for number, row in enumerate(report["images"], 1):
        best = row["top5"][0]
        table.add_row(str(number), escape(Path(row["image"]).name), escape(best["name"]),
                      f"{100 * best['probability']:.1f} %", "[green]yes[/]" if row["bit_exact"] else "[bold red]no[/]",
                      f"{row['cycles']:,}", " ".join(map(str, row["tokens"])))
    return table


def _figures(report: Mapping[str, Any]) -> Table:
    images = report["images"]
    verdict = (f"[bold green]yes[/], all images: {report['checkpoints']} checkpoints, "
               f"{report['integers_compared']:,} integers"
               if report["bit_exact"] else f"[bold red]no[/]: {escape(report['mismatch'])}")
    causes = ", ".join(f"{name} {count:,}" for name, count in report["stalls"].items())
    rows = {
        "bit exact": verdict,
        "weights": escape(report["weights"]),
        **board_row(report),
        **hardware_row(report),
        "cycles": f"{report['cycles']:,}, {report['milliseconds']:.3f} ms for {len(images)} images",
        "cycles per image": f"{report['steady_cycles_per_image']:,.0f} in the steady state (mean of images 2 on)",
        "images per second": f"{report['images_per_second']:,.1f} at {report['hardware']['clock_mhz']:g} MHz "
                             "(target clock, not placed and routed)",
        "useful MACs / peak": f"{100 * report['steady_utilization']:.1f} % in the steady state, "
                              f"{100 * report['utilization']:.1f} % of the whole run",
        "stall cycles": f"{report['stall_cycles']:,}  ({causes})",
        "wall clock": f"{report['wall_seconds']:.1f} s, of it simulation {report['simulation_seconds']:.1f} s",
    }
    constant = sorted({name for row in images for name in row["constant_checkpoints"]})
    if constant:
        rows["constant data"] = f"[yellow]{', '.join(constant)}"
    if report["waveform"]:
        rows |= wave_rows(report)
    return figures_table(rows)
