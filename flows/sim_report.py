"""Figures of a simulated run: the report file and the table on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from boards.board import Board
from flows import breakdown
from flows.contracts.artifact import SparseVit
from flows.contracts.hardware import BLOCK, ceil_div
from flows.runs import stamp
from flows.sim_flow import Outcome
from sim.compare import step_cycles
from sim.golden.network import Result
from sim.wave_files import Views

TOP = 5


def report_of(outcome: Outcome) -> dict[str, Any]:
    """Everything a run shows, as JSON can hold it.

    ``useful_macs`` counts kept blocks times tokens alive, no padding; ``utilization`` is that over what the array
    could have done in ``cycles``; ``lower_bound_cycles`` is what no schedule can beat.
    """
    run, config = outcome.run, outcome.config
    macs, bound = work_of(outcome)
    stalls = run.stalls
    return {
        **stamp("sim", artifact=outcome.artifact, config=config),
        "image": str(outcome.picture),
        "model": outcome.artifact.model,
        **board_keys(outcome.board),
        "weights": outcome.artifact.weights,
        "bit_exact": outcome.comparison is not None,
        "mismatch": outcome.mismatch,
        "checkpoints": len(outcome.comparison.checkpoints) if outcome.comparison else 0,
        "integers_compared": outcome.comparison.integers if outcome.comparison else 0,
        "constant_checkpoints": list(outcome.comparison.constant) if outcome.comparison else [],
        "cycles": run.cycles,
        "milliseconds": milliseconds(outcome),
        "images_per_second": 1000 / milliseconds(outcome),
        "expected_cycles": outcome.estimate.total,
        "lower_bound_cycles": bound,
        "cycles_over_lower_bound": run.cycles / bound,
        "useful_macs": macs,
        "peak_macs_per_cycle": config.macs_per_cycle,
        "utilization": macs / (config.macs_per_cycle * run.cycles),
        "stall_cycles": sum(stalls.values()),
        "stalls": stalls,
        "breakdown": breakdown.report(breakdown.measured(run.records, run.cycles, outcome.estimate)),
        "steps": step_rows(outcome),
        "tokens": [outcome.artifact.tokens, *outcome.golden.tokens],
        "top5": best_classes(outcome.artifact, run.logits),
        "golden_top5": best_classes(outcome.artifact, outcome.golden.logits),
        "hardware": {**config.to_dict(), "config_hash": f"{config.config_hash():08x}"},
        "weight_bits": outcome.artifact.weight_bits,
        "weight_bytes": outcome.artifact.packed_weight_bytes,
        "program_bytes": outcome.program.stream.size,
        "registers": run.registers,
        "waveform": str(run.wave) if run.wave else None,
        "wave_viewers": viewers(run.wave),
        "simulation_seconds": run.wall_seconds,
        "stage_seconds": outcome.seconds,
        "wall_seconds": sum(outcome.seconds.values()),
    }


def step_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Each step of the program with the cycles it took beside those of the cycle model."""
    measured = step_cycles(outcome.run.records, outcome.run.cycles)
    keys = ("name", "slots", "lower_bound_slots", "lower_bound_cycles")
    return [{key: entry[key] for key in keys} | {"tokens": tokens_in(entry["name"], outcome.golden, outcome.artifact),
                                                 "expected_cycles": model.cycles, "cycles": cycles}
            for entry, model, cycles in zip(outcome.program.manifest["steps"], outcome.estimate.steps, measured,
                                            strict=False)]


def milliseconds(outcome: Outcome) -> float:
    """Time of the run at the target clock."""
    return outcome.run.cycles / (outcome.config.clock_mhz * 1000)


def best_classes(artifact: SparseVit, logits: np.ndarray, count: int = TOP) -> list[dict[str, Any]]:
    """The classes with the highest logits and their softmax probabilities; of equal logits the lower class."""
    real = logits.astype(np.float64) * artifact.scales.get("logits", 1.0)
    shares = np.exp(real - real.max())
    shares /= shares.sum()
    return [{"class": int(index), "name": _name(artifact, int(index)), "logit": int(logits[index]),
             "probability": float(shares[index])} for index in np.argsort(-real, kind="stable")[:count]]


def _name(artifact: SparseVit, index: int) -> str:
    return artifact.class_names[index] if index < len(artifact.class_names) else str(index)


def work_of(outcome: Outcome) -> tuple[int, int]:
    """Useful MACs and lower bound in cycles.

    The compiler counts both; where the number of tokens depends on the image it counts the largest possible one, and
    the counts are scaled to the tokens that were alive.
    """
    macs = bound = 0
    for entry in outcome.program.manifest["steps"]:
        alive, tiles = tokens_in(entry["name"], outcome.golden, outcome.artifact), 1.0
        assumed = entry["tokens"]
        part = alive / assumed
        if ".score" in entry["name"] or ".context" in entry["name"]:
            tiles = ceil_div(alive, BLOCK) / ceil_div(assumed, BLOCK)
            macs += round(entry["useful_macs"] * part * part)
        else:
            macs += round(entry["useful_macs"] * part)
        bound += round(entry["lower_bound_cycles"] * part * tiles)
    return macs, bound


def tokens_in(step: str, golden: Result, artifact: SparseVit) -> int:
    """Tokens alive in a step; the drop takes effect after the projection."""
    if step == "head":
        return 1
    if step == "embed":
        return artifact.tokens
    block, kind = step.removeprefix("block").split(".")[:2]
    entering = [artifact.tokens, *golden.tokens][int(block)]
    return golden.tokens[int(block)] if kind in ("fc1", "fc2") else entering


def viewers(wave: Path | None) -> dict[str, str]:
    """Commands that open a waveform with its signals grouped by unit; none without a waveform."""
    if wave is None:
        return {}
    views = Views.of(wave)
    return {"GTKWave": f"gtkwave {views.gtkwave}", "Surfer": f"surfer --command-file {views.surfer} {wave}"}


def wave_rows(report: Mapping[str, Any]) -> dict[str, str]:
    """Rows that name the waveform and say how to open it."""
    return {"waveform": escape(report["waveform"]),
            **{f"open in {name}": escape(command) for name, command in report["wave_viewers"].items()}}


def tables(report: Mapping[str, Any]) -> Group:
    """What ``sievit sim`` prints, from its report."""
    return Group(classes_table(report), _figures(report), breakdown.breakdown_table(report["breakdown"]["cycles"]))


def board_keys(board: Board | None) -> dict[str, Any]:
    """Keys of a report that say which board it is about; None without one."""
    return {"board": board.name if board else None, "board_part": board.part if board else None,
            "board_memory_gbs": board.memory.usable_gbs if board else None}


def board_row(report: Mapping[str, Any]) -> dict[str, str]:
    """The row that names the board and the configuration chosen for it; empty without a board."""
    if report["board"] is None:
        return {}
    hardware = report["hardware"]
    return {"board": escape(f"{report['board']} ({report['board_part']}): {hardware['groups']} groups, "
                            f"{hardware['multiplier']}, memory of {report['board_memory_gbs']:g} GB/s")}


def hardware_row(report: Mapping[str, Any]) -> dict[str, str]:
    """The row about the array."""
    hardware = report["hardware"]
    return {"hardware": f"{hardware['clusters']} clusters, {report['peak_macs_per_cycle']} MACs per cycle, "
                        f"{hardware['bus_bits']}-bit memory"}


def classes_table(report: Mapping[str, Any], where: str = "in hardware") -> Table:
    """The best classes and their logits."""
    table = Table(title=f"{report['model']}: best classes {where}", title_justify="left")
    table.add_column("class")
    for heading in ("probability", "logit", "golden logit"):
        table.add_column(heading, justify="right")
    golden = {entry["class"]: entry["logit"] for entry in report["golden_top5"]}
    for entry in report["top5"]:
        table.add_row(escape(entry["name"]), f"{100 * entry['probability']:.1f} %", str(entry["logit"]),
                      str(golden.get(entry["class"], "not among the best")))
    return table


def figures_table(rows: Mapping[str, str]) -> Table:
    """Figures with their names."""
    table = Table(show_header=False)
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _figures(report: Mapping[str, Any]) -> Table:
    verdict = (f"[bold green]yes[/]: {report['checkpoints']} checkpoints, {report['integers_compared']:,} integers"
               if report["bit_exact"] else f"[bold red]no[/]: {escape(report['mismatch'])}")
    causes = ", ".join(f"{name} {count:,}" for name, count in report["stalls"].items())
    rows = {
        "bit exact": verdict,
        "weights": escape(report["weights"]),
        **board_row(report),
        **hardware_row(report),
        "cycles": f"{report['cycles']:,} (model: {report['expected_cycles']:,})",
        "time": f"{report['milliseconds']:.3f} ms, {report['images_per_second']:,.1f} images/s one by one at "
                f"{report['hardware']['clock_mhz']:g} MHz (target clock, not placed and routed)",
        "useful MACs / peak": f"{100 * report['utilization']:.1f} %  ({report['useful_macs']:,} MACs)",
        "cycles / lower bound": f"{report['cycles_over_lower_bound']:.3f}  (bound {report['lower_bound_cycles']:,})",
        "tokens alive": " ".join(map(str, report["tokens"])),
        "stall cycles": f"{report['stall_cycles']:,}  ({causes})",
        "wall clock": f"{report['wall_seconds']:.1f} s, of it simulation {report['simulation_seconds']:.1f} s",
    }
    if report["constant_checkpoints"]:
        rows["constant data"] = f"[yellow]{', '.join(report['constant_checkpoints'])}"
    if report["waveform"]:
        rows |= wave_rows(report)
    return figures_table(rows)
