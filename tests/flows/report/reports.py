"""Reports of every kind for tests: those of the simulator by hand, with the keys of the real ones, the others real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from boards.catalog import load_board
from flows.accuracy import measure_artifact
from flows.bench import Array, BenchOptions, bench_rows
from flows.breakdown import PARTS, report
from flows.compile import config_for
from flows.contracts.artifact import SparseVit, load_artifact
from flows.contracts.hardware import HardwareConfig
from flows.eval_report import report_of as eval_report
from flows.hls_record import hls_record
from flows.published import load_published
from flows.resources.model import counts_of, shares_of
from flows.resources.report import estimate_of
from flows.runs import stamp
from flows.search import search
from flows.sim_report import board_keys
from flows.sweep import sweep
from flows.sweep.engine import open_engine
from flows.sweep.plan import plan_of
from flows.vendor import vivado_record
from tests.deliver.test_reports import reported
from tests.flows.coarse_parts import coarse_parts

CSYNTH = Path(__file__).resolve().parents[2] / "hls" / "csynth.xml"
BEST = {"class": 3, "name": "bee | wasp", "logit": 4321, "probability": .75}


def simulated(kind: str, artifact: SparseVit, clusters: int = 2, cycles: int = 12_345, board: str | None = None
              ) -> dict[str, Any]:
    """A report of ``sievit sim``: ``sim``, ``batch`` or ``hls``."""
    config = HardwareConfig(clusters=clusters)
    common = {
        **stamp(kind, artifact=artifact, config=config), **board_keys(load_board(board) if board else None),
        "model": "tiny", "weights": "synthetic (seed 0)", "bit_exact": True, "mismatch": "", "checkpoints": 7,
        "integers_compared": 1234, "constant_checkpoints": [], "milliseconds": cycles / 200_000,
        "expected_cycles": cycles + 5, "lower_bound_cycles": cycles - 1000,
        "cycles_over_lower_bound": cycles / (cycles - 1000), "useful_macs": 1_000_000,
        "peak_macs_per_cycle": config.macs_per_cycle, "utilization": 1_000_000 / (config.macs_per_cycle * cycles),
        "tokens": [17, 12, 12], "top5": [BEST], "golden_top5": [BEST], "hardware": config.to_dict(),
        "weight_bits": {}, "weight_bytes": 999, "program_bytes": 4096, "registers": {"SLOTS": 5}, "wall_seconds": 2.5}
    image = {name: common[name] for name in ("bit_exact", "mismatch", "checkpoints", "integers_compared", "tokens",
                                             "constant_checkpoints", "useful_macs", "top5", "golden_top5")}
    images = [{"image": f"some/{name}.png", "cycles": cycles, **image} for name in ("one", "two")]
    if kind == "hls":
        return {**common, "engine": "hls", "cycles": None, "images": images, "engine_seconds": .5,
                "engine_images_per_second": 4.0}
    parts = dict.fromkeys(PARTS, 0) | {"slots": cycles - 300, "barrier": 300}
    stalls = {"memory": 20, "load": 30}
    common |= {"cycles": cycles, "images_per_second": 200e6 / cycles, "stalls": stalls, "stall_cycles": 50,
               "waveform": None, "simulation_seconds": 1.5}
    if kind == "batch":
        return {**common, "images": images, "steady_cycles_per_image": cycles / 2, "steady_utilization": .5}
    steps = [{"name": name, "slots": 3, "lower_bound_slots": 3, "lower_bound_cycles": 40, "tokens": 17,
              "expected_cycles": 50, "cycles": 51} for name in ("embed", "head")]
    return {**common, "image": "some/one.png", "breakdown": report(parts), "steps": steps}


def all_kinds(artifact_file: Path, pack: Path, evaluated: SparseVit) -> dict[str, dict[str, Any]]:
    """A report of every kind."""
    artifact = load_artifact(artifact_file)
    config, board = config_for(artifact, clusters=2), load_board("kv260")
    fixed = {"clusters": 2, "groups": 1, "stream_bits": 256, "uram_words": 0}
    found = search(artifact, board, fixed=fixed, parts_of=coarse_parts)
    rows = bench_rows(BenchOptions(models=("vit_micro",), quick=True, synthetic=True, arrays=(Array(1),),
                                   sparsities=((.5, .7),)))
    with open_engine() as engine:
        swept = sweep(plan_of({"networks": {"artifact": artifact_file}, "hardware": {"clusters": [1, 2]}}, "x"), engine)
    assert found.choice is not None
    return {
        **{kind: simulated(kind, artifact) for kind in ("sim", "batch", "hls")},
        "eval": eval_report(measure_artifact(evaluated, pack, images=8, workers=1)),
        "resources": estimate_of(shares_of(config), counts_of(config), config, "ultrascale+", board),
        "search": {**stamp("search", artifact=artifact, config=found.choice.config), **found.to_dict()},
        "bench": {**stamp("bench"), "rows": rows, "published": [system.as_dict() for system in load_published()]},
        "sweep": swept,
        "vivado": vivado_record(reported(pack.parent / "deliverable")),
        "vitis_hls": hls_record(CSYNTH)}
