"""``docs/numerics.md`` once more, in plain Python integers and loops, as slow and as literal as possible.

Shares no code with ``sim.golden`` or ``flows.contracts.numerics``: only the artifact it reads is the same.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from hypothesis import settings

from flows.contracts.artifact import Block, Linear, Norm, SparseVit

Row = list[int]
Matrix = list[list[int]]

DETERMINISTIC = settings(derandomize=True, deadline=None, database=None, max_examples=200)
"""Hypothesis settings of all tests: the same examples on every run."""


def rnd(x: int, s: int) -> int:
    return (x + 2 ** (s - 1)) // 2**s


def sat8(x: int) -> int:
    return max(-127, min(127, x))


def sat16(x: int) -> int:
    return max(-32768, min(32767, x))


def sat18(x: int) -> int:
    return max(-131072, min(131071, x))


def requant(acc: int, bias: int, m: int, s: int, bits: int) -> int:
    return {8: sat8, 16: sat16}[bits](rnd((acc + bias) * m, s))


def rsqrt_table() -> Row:
    with localcontext() as context:
        context.prec = 60
        return [min(65535, int((Decimal(2**23) / ((Decimal(64 + i) + Decimal("0.5")) * 256).sqrt())
                               .quantize(Decimal(1), ROUND_HALF_EVEN))) for i in range(192)]


RSQRT = rsqrt_table()


def rsqrt(v: int) -> tuple[int, int]:
    e = (v.bit_length() - 15) // 2
    vm = v // 4**e if e >= 0 else v * 4**-e
    assert 2**14 <= vm < 2**16
    r0 = RSQRT[vm // 256 - 64]
    t = vm * r0 // 2**15
    u = t * r0 // 2**15
    return min(65535, r0 * (3 * 2**16 - u) // 2**17), e


def layer_norm(x: Row, gamma: Row, beta: Row, s: int) -> Row:
    d = len(x)
    s1 = sum(x)
    s2 = sum(value * value for value in x)
    r, e = rsqrt(max(d * s2 - s1 * s1, 1))
    z = [sat18(rnd((d * value - s1) * r, 11 + e)) for value in x]
    return [sat8(rnd(zi * gi + bi, s)) for zi, gi, bi in zip(z, gamma, beta, strict=True)]


def reciprocal(total: int) -> tuple[int, int]:
    q = total.bit_length() - 16
    m = total // 2**q if q >= 0 else total * 2**-q
    assert 2**15 <= m < 2**16
    return min(65535, 2**31 // m), q


def select(score: Row, mode: str, keep: int, threshold: int) -> list[int]:
    """Indices of the patch tokens that stay; ``score[0]`` belongs to CLS."""
    patches = range(1, len(score))
    if mode == "threshold":
        return [j for j in patches if score[j] >= threshold]
    return [j for j in patches
            if sum(score[i] > score[j] or (score[i] == score[j] and i < j) for i in patches) < keep]


def weight(score: int, heads: int) -> int:
    inverse = (65536 + heads // 2) // heads
    return min(65535, (score * inverse + 2**15) // 2**16)


def fuse(x: Matrix, kept: list[int], weights: Row) -> Matrix:
    dropped = [j for j in range(1, len(x)) if j not in kept]
    if not dropped:
        return x
    fused = [sat16(rnd(sum(weights[j] * x[j][i] for j in dropped), 16)) for i in range(len(x[0]))]
    return [x[0]] + [x[j] for j in kept] + [fused]


def product(codes: Matrix, weights: Matrix) -> Matrix:
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in weights] for row in codes]


def linear(codes: Matrix, layer: Linear, bits: int) -> Matrix:
    bias, mult = ints(layer.bias), ints(layer.mult)
    return [[requant(acc, bias[i], mult[i], layer.shift, bits) for i, acc in enumerate(row)]
            for row in product(codes, ints(layer.weight))]


def norm_rows(x: Matrix, norm: Norm) -> Matrix:
    return [layer_norm(row, ints(norm.gamma), ints(norm.beta), norm.shift) for row in x]


def add(x: Matrix, y: Matrix) -> Matrix:
    return [[sat16(a + b) for a, b in zip(row, other, strict=True)] for row, other in zip(x, y, strict=True)]


def attention(codes: Matrix, block: Block, heads: int) -> tuple[dict[str, Any], Row]:
    """Checkpoints query, key, value, score, context, and the drop score of every token."""
    n, width = len(codes), len(codes[0])
    d = width // heads
    qkv = linear(codes, block.qkv, 8)
    names = ("query", "key", "value")
    parts = {name: [row[i * width : (i + 1) * width] for row in qkv] for i, name in enumerate(names)}
    exp = ints(block.exp)
    scores: list[Matrix] = []
    context = [[0] * width for _ in range(n)]
    drop_score = [0] * n
    for h in range(heads):
        q, k, v = ([row[h * d : (h + 1) * d] for row in parts[name]] for name in ("query", "key", "value"))
        sc = [[requant(acc, 0, block.score_mult, block.score_shift, 8) for acc in row] for row in product(q, k)]
        scores.append(sc)
        for i in range(n):
            e = [exp[max(sc[i]) - value] for value in sc[i]]
            r, shift = reciprocal(sum(e))
            for c in range(d):
                p = rnd(sum(e[j] * v[j][c] for j in range(n)) * r, 23 + shift)
                context[i][h * d + c] = requant(p, 0, block.context_mult, block.context_shift, 8)
            if i == 0:
                drop_score = [total + e[j] * r // 2 ** (15 + shift) for j, total in enumerate(drop_score)]
    return {**parts, "score": scores, "context": context}, drop_score


def network(artifact: SparseVit, patches: Any) -> dict[str, Any]:
    """Every checkpoint of the golden model, as nested lists."""
    out: dict[str, Any] = {}
    x = add(ints(artifact.residual_init), linear(ints(patches), artifact.embed, 16))
    out["embed"] = x
    for index, block in enumerate(artifact.blocks):
        found: dict[str, Any] = {"norm1": norm_rows(x, block.norm1)}
        parts, score = attention(found["norm1"], block, artifact.heads)
        found.update(parts)
        x = add(x, linear(found["context"], block.proj, 16))
        if block.drop is not None:
            kept = select(score, block.drop.mode, block.drop.keep, block.drop.threshold)
            x = fuse(x, kept, [weight(value, artifact.heads) for value in score])
        found["proj"] = x
        found["norm2"] = norm_rows(x, block.norm2)
        gelu = ints(block.gelu)
        found["hidden"] = [[gelu[code + 128] for code in row] for row in linear(found["norm2"], block.fc1, 8)]
        x = add(x, linear(found["hidden"], block.fc2, 16))
        found["mlp"] = x
        out.update({f"block{index}.{name}": value for name, value in found.items()})
    out["norm"] = norm_rows(x[:1], artifact.norm)
    out["logits"] = linear(out["norm"], artifact.head, 16)[0]
    return out


def ints(array: Any) -> Any:
    """Nested lists of Python integers."""
    return array.tolist()
