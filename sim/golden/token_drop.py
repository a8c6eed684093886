"""Token drop: select by the CLS row's attention, fuse the rest into one token (``docs/numerics.md`` section 5).

After EViT (Liang et al. 2022, *Not All Patches are What You Need*, section 3.2): tokens that the class token attends to
are kept in their order, the others are summed, weighted by that attention, into one more token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flows.contracts.artifact import TokenDrop
from flows.contracts.numerics import FUSE_SHIFT, inverse_heads
from sim.golden.requant import rnd, saturate


def scores(cls_exponentials: NDArray[np.uint8], mant: ArrayLike, q: ArrayLike) -> NDArray[np.int64]:
    """Attention probability of the CLS row, 16 fraction bits, summed over heads.

    Parameters
    ----------
    cls_exponentials : uint8 ``(H, N)``, row 0 of every head's exponentials
    mant, q : reciprocals of those rows' sums, ``(H,)``

    Returns
    -------
    ``(N,)``, 21 bits. Entry 0 is that of the CLS token, which takes no part in the selection.
    """
    product = cls_exponentials.astype(np.int64) * np.asarray(mant, np.int64)[:, None]
    return (product >> (15 + np.asarray(q, np.int64)[:, None])).sum(0)


def weights(score: NDArray[np.int64], heads: int) -> NDArray[np.int64]:
    """Mean over heads of ``score`` as 16 bit weight: ``min(65535, (score * I + 2**15) >> 16)``."""
    return np.minimum(65535, rnd(score * inverse_heads(heads), 16))


def select(score: NDArray[np.int64], drop: TokenDrop) -> NDArray[np.bool_]:
    """Which tokens stay.

    Parameters
    ----------
    score : ``(N,)`` as :func:`scores` returns it
    drop : top-k keeps the ``keep`` largest scores, of equal scores the lower index; threshold keeps all scores that
        are not below ``threshold``

    Returns
    -------
    bool ``(N,)``; entry 0 (CLS) is always true
    """
    if drop.mode == "threshold":
        kept = score >= drop.threshold
    else:
        kept = np.zeros(score.shape, bool)
        # A stable sort of the negated scores puts the lower index first among equals.
        kept[1 + np.argsort(-score[1:], kind="stable")[: drop.keep]] = True
    kept[0] = True
    return kept


def fuse(x: NDArray[np.int16], kept: NDArray[np.bool_], weight: NDArray[np.int64]) -> NDArray[np.int16]:
    """``[x_0, kept tokens in their order, sat16(rnd(sum of weight_j * x_j over the dropped, 16))]``.

    Parameters
    ----------
    x : int16 ``(N, D)``
    kept : bool ``(N,)``
    weight : ``(N,)``, 0..65535

    Returns
    -------
    int16 ``(1 + kept patches + 1, D)``, or ``x`` itself when nothing is dropped
    """
    if kept.all():
        return x
    total = (weight[~kept, None] * x[~kept].astype(np.int64)).sum(0)
    return np.concatenate([x[kept], saturate(rnd(total, FUSE_SHIFT), 16)[None]])
