"""A sweep for tests: points of the cycle and resource models, networks of random integers."""

from __future__ import annotations

import itertools
from typing import Any

from boards.catalog import load_board
from flows.compile import compile_program, config_for, estimate
from flows.contracts.artifact import TokenDrop
from flows.resources.model import resources_of
from flows.runs import stamp
from tests.factory import random_artifact

BLOCKS, TOKENS, CLUSTERS, BOARDS = (1.0, 0.8, 0.6, 0.45, 0.3), (1.0, 0.7, 0.5), (1, 2), ("zcu102", "pynq-z2")


def sweep_content(*, accuracy: bool = True) -> dict[str, Any]:
    """A sweep's report of 60 points; ``accuracy`` is made up of the shares kept, and only orders the points."""
    points = []
    for blocks, tokens in itertools.product(BLOCKS, TOKENS):
        drop = {} if tokens == 1 else {0: TokenDrop("topk", keep=round(16 * tokens))}
        artifact = random_artifact(width=64, heads=2, depth=2, hidden=128, keep_blocks=blocks, seed=3, drop=drop)
        for clusters in CLUSTERS:
            config = config_for(artifact, clusters=clusters)
            cycles = estimate(compile_program(artifact, config).stream, config).total
            points += [_point(blocks, tokens, config, cycles, board, accuracy=accuracy) for board in BOARDS]
    return {**stamp("sweep"), "points": points, "grid": {"keep_blocks": BLOCKS, "keep_tokens": TOKENS},
            "axes": ["keep_blocks", "keep_tokens", "clusters", "board"]}


def _point(blocks: float, tokens: float, config: Any, cycles: int, name: str, *, accuracy: bool) -> dict[str, Any]:
    board = load_board(name)
    total = resources_of(config, board.family)
    share = max(total.share(board.resources).values())
    made_up = 0.92 - 0.03 * (1 - blocks) ** 2 - 0.02 * (1 - tokens)
    milliseconds = cycles / (board.clock_mhz * 1000)
    return {"model": "random", "keep_blocks": blocks, "keep_tokens": tokens, "board": name,
            "hardware": config.to_dict(), "clusters": config.clusters, "groups": config.groups,
            "clock_mhz": board.clock_mhz, "cycles": cycles, "milliseconds": milliseconds,
            "images_per_second": 1000 / milliseconds, "accuracy": made_up if accuracy else None,
            "quality": {"agreement": made_up + 0.01, "note": "text is ignored", "constant": 1.0},
            "resources": total.to_dict(), "share": share, "fits": share <= 0.8,
            "why": "" if share <= 0.8 else "too few LUTs", "source": "rtl" if blocks == 0.3 else "model",
            "pareto": False}
