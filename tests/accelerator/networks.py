"""The networks of the sweep: sizes, token counts, pruning and token drops at their limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.contracts.artifact import SparseVit, TokenDrop
from tests.factory import random_artifact

SCORE_ONE = 1 << 16
"""A probability of 1 in token scores; they are summed over the heads."""


def topk(keep: int) -> TokenDrop:
    """Keep the best ``keep`` tokens."""
    return TokenDrop("topk", keep=keep)


def threshold(share: float, tokens: int, heads: int) -> TokenDrop:
    """Keep tokens whose attention, averaged over heads, is at least ``share`` of the mean over tokens."""
    return TokenDrop("threshold", threshold=round(share * heads * SCORE_ONE / tokens))


@dataclass(frozen=True)
class Case:
    """A network, and the images to run (seeds).

    Attributes
    ----------
    options : of :func:`tests.factory.random_artifact`
    images : seeds
    """

    options: Mapping[str, Any]
    images: tuple[int, ...] = field(default=(0,))

    def artifact(self) -> SparseVit:
        """Make the network."""
        return random_artifact(**self.options)


def case(*, images: tuple[int, ...] = (0,), **options: Any) -> Case:
    """A case from options of the network."""
    return Case(options, images)


ALL_COLUMNS = tuple(range(64))
"""More block columns than any layer has: everything is pruned."""

SWEEP: dict[str, dict[str, Case]] = {
    "one": {
        "five tokens": case(width=64, heads=4, hidden=64, tokens=5, depth=3, classes=5, seed=1),
        "two tokens": case(width=32, heads=1, hidden=32, tokens=2, depth=1, classes=3, seed=2),
        "one head of 64, dense": case(width=64, heads=1, hidden=128, tokens=17, depth=1, keep_blocks=1.0, seed=3),
        "everything pruned": case(width=64, heads=2, hidden=64, tokens=17, depth=1, empty_columns=ALL_COLUMNS, seed=4),
        "drops in a row to none": case(width=64, heads=2, hidden=64, tokens=50, depth=3, patch_inputs=192, seed=5,
                                       drop={0: topk(20), 1: topk(3), 2: topk(0)}),
        "narrow": case(width=16, heads=1, hidden=16, tokens=33, depth=1, classes=16, seed=6, drop={0: topk(1)}),
        "full of tokens": case(width=48, heads=3, hidden=48, tokens=64, depth=1, classes=40, seed=7,
                               drop={0: topk(62)}),
    },
    "two": {
        "eight heads in three groups": case(width=128, heads=8, hidden=256, tokens=17, depth=1, classes=40, seed=11,
                                            drop={0: topk(8)}),
        "four heads in two groups": case(width=128, heads=4, hidden=128, tokens=50, depth=2, keep_blocks=0.4, seed=12,
                                         drop={0: topk(30), 1: topk(1)}),
        "heads of 64, a pruned head": case(width=128, heads=2, hidden=256, tokens=50, depth=1, seed=13,
                                           empty_heads=(1,), empty_columns=(2, ("fc1", 5), ("proj", 0))),
        "257 tokens": case(width=64, heads=2, hidden=64, tokens=257, depth=2, patch_inputs=192, keep_blocks=0.3,
                           seed=14, drop={0: topk(40)}),
        # The norm pass makes all columns and takes longer than the step, in which no block reads but the first ones.
        "hidden narrower than width": case(width=128, heads=4, hidden=16, tokens=30, depth=2, keep_blocks=0.2, seed=19,
                                           empty_columns=[("fc1", 0)]),
        "threshold": case(width=64, heads=2, hidden=64, tokens=65, depth=2, seed=15, images=(0, 1, 2),
                          drop={0: threshold(0.8, 65, 2)}),
        "threshold that drops nothing": case(width=64, heads=2, hidden=64, tokens=37, depth=1, seed=16,
                                             drop={0: TokenDrop("threshold", threshold=0)}),
        "threshold that drops everything": case(width=64, heads=4, hidden=64, tokens=37, depth=2, seed=17,
                                                drop={0: TokenDrop("threshold", threshold=4 * SCORE_ONE)}),
        "top-k after a threshold": case(width=64, heads=2, hidden=64, tokens=50, depth=3, seed=18, images=(0, 1),
                                        drop={0: threshold(0.9, 50, 2), 1: topk(24), 2: topk(40)}),
    },
    "eight": {
        "six columns, dense": case(width=96, heads=3, hidden=192, tokens=50, depth=1, patch_inputs=192, keep_blocks=1.0,
                                   seed=41, drop={0: topk(20)}),
        "six columns, pruned": case(width=96, heads=6, hidden=192, tokens=65, depth=2, keep_blocks=0.5, seed=42,
                                    drop={1: topk(30)}),
        "two columns": case(width=32, heads=2, hidden=96, tokens=33, depth=2, keep_blocks=0.7, seed=43),
        "threshold": case(width=96, heads=3, hidden=96, tokens=65, depth=2, keep_blocks=0.6, seed=44, images=(0, 1),
                          drop={0: threshold(0.9, 65, 3)}),
    },
    "four": {
        "five tokens": case(width=192, heads=3, hidden=192, tokens=5, depth=1, classes=70, seed=21),
        "six heads of 32 in two groups": case(width=192, heads=6, hidden=384, tokens=50, depth=1, keep_blocks=0.5,
                                              seed=22, drop={0: topk(25)}),
        "197 tokens": case(width=192, heads=3, hidden=192, tokens=197, depth=1, patch_inputs=768, keep_blocks=0.4,
                           classes=70, seed=23, drop={0: topk(100)}),
        "fewer columns than clusters": case(width=32, heads=2, hidden=32, tokens=50, depth=2, seed=24,
                                            drop={1: topk(0)}),
        "twelve heads in three groups": case(width=192, heads=12, hidden=192, tokens=17, depth=2, keep_blocks=0.3,
                                             seed=25, empty_heads=(0, 11), drop={0: threshold(1.0, 17, 12)}),
    },
}
"""By hardware, see :mod:`tests.accelerator.hardware`. Small, so that all of it takes a minute."""

LARGE: dict[str, dict[str, Case]] = {
    "two": {
        "257 tokens, eight heads": case(width=128, heads=8, hidden=256, tokens=257, depth=2, patch_inputs=192, seed=31,
                                        classes=40, drop={0: topk(128)}),
        "257 tokens, threshold": case(width=128, heads=2, hidden=256, tokens=257, depth=3, keep_blocks=0.5, seed=32,
                                      images=(0, 1), drop={0: threshold(0.7, 257, 2), 1: topk(60),
                                                           2: threshold(1.0, 60, 2)}),
    },
    "four": {
        "197 tokens, depth 3": case(width=192, heads=3, hidden=384, tokens=197, depth=3, patch_inputs=768, seed=33,
                                    classes=70, drop={0: topk(137), 2: topk(95)}),
        "197 tokens, dense, six heads": case(width=192, heads=6, hidden=384, tokens=197, depth=1, keep_blocks=1.0,
                                             seed=34),
    },
}
"""Too long for every test run."""

for _grouped in ("two_groups", "four_groups", "dies"):
    SWEEP[_grouped], LARGE[_grouped] = SWEEP["two"], LARGE["two"]

SWEEP["every_four"] = SWEEP["two"]
SWEEP["narrow"] = SWEEP["one"] | {
    "threshold": case(width=64, heads=2, hidden=64, tokens=50, depth=2, seed=45, images=(0, 1),
                      drop={0: threshold(0.9, 50, 2)}),
}
