"""Executes a program stream as ``docs/program.md`` says, packet by packet, and checks every rule on the way.

Shares no code with the compiler: it has its own decoder and arithmetic. Memories start with random contents, so that
reading what was never written shows.
"""

from __future__ import annotations

import numpy as np

from flows.contracts.hardware import HardwareConfig
from flows.contracts.program import (
    CLUSTER,
    HELLO,
    MAGIC,
    SLOT,
    STEP,
    VERSION,
    WRITE,
    Dest,
    Drop,
    Kind,
    Post,
    Source,
    Target,
    Tile,
    fields_width,
    unpack,
)
from tests.compile import integers


class RuleBrokenError(AssertionError):
    """The program breaks a rule of the format or of the schedule."""


def rule(ok: object, text: str) -> None:
    """Complain with ``text`` unless ``ok``."""
    if not ok:
        raise RuleBrokenError(text)


class Interpreter:
    """One run of one program. ``run()`` returns the tensors of each step by step index."""

    def __init__(self, stream: np.ndarray, image: np.ndarray, config: HardwareConfig, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)

        def memory(*shape: int) -> np.ndarray:
            return rng.integers(-128, 128, shape).astype(np.int64)

        self.words, self.config, self.position = stream.reshape(-1, config.stream_bits // 8), config, 0
        self.image = image.reshape(-1, config.stream_bits // 8).view(np.int8)
        tokens = config.max_tokens
        self.x = memory(config.x_cols, tokens, 16)
        self.a = memory(config.act_cols, tokens, 16)
        self.s = memory(config.score_cols, tokens, 16)
        self.kv = memory(config.kv_cols, tokens, 16)
        self.r = memory(config.residual_cols, tokens, 16)
        self.logits = memory(config.class_cols, 16)
        self.row_max = memory(config.score_heads, tokens)
        self.exp, self.gelu = memory(256), memory(256)
        self.beta, self.gamma = (memory(2 * config.max_width // 16, 16) for _ in range(2))
        self.cls_exp: dict[int, dict[int, np.ndarray]] = {}
        self.cls_recip: dict[int, tuple[int, int]] = {}
        self.tokens = 0
        self.step: dict[str, int] | None = None
        self.results: dict[int, dict] = {}
        self.slots = self.skipped = self.merged = 0

    def take(self, count: int) -> np.ndarray:
        """Next ``count`` words."""
        rule(self.position + count <= len(self.words), "stream ends within a packet")
        self.position += count
        return self.words[self.position - count:self.position]

    def run(self) -> dict[int, dict]:
        """Execute up to END; returns per step: tokens before and after, and the memories it wrote."""
        self._hello()
        while True:
            kind = int(self.words[self.position][0]) & 15
            if kind == Kind.END:
                break
            {Kind.STEP: self._step, Kind.SLOT: self._slot, Kind.WRITE: self._write}[Kind(kind)]()
        self.take(1)
        self._close()
        rule(not self.words[self.position:].any(), "something follows the end packet")
        rule(self.words.size % 4096 == 0, "stream is not padded")
        return self.results

    def _hello(self) -> None:
        hello = unpack(HELLO, int.from_bytes(self.take(1).tobytes(), "little"))
        rule(hello["kind"] == Kind.HELLO and hello["magic"] == MAGIC and hello["version"] == VERSION, "bad hello")
        rule(hello["words"] == len(self.words), "hello counts other words")
        rule(hello["config_hash"] == self.config.config_hash(), "other configuration")
        tokens, parts, wide = hello["image_tokens"], hello["image_words"], self.config.stream_bits // 128
        rule(len(self.image) == tokens * parts, "image has another size")
        columns = self.image.reshape(parts, tokens, wide, 16).transpose(0, 2, 1, 3).reshape(-1, tokens, 16)
        self.image_columns = min(parts * wide, self.config.act_cols)
        self.a[:self.image_columns, :tokens] = columns[:self.image_columns]

    def _close(self) -> None:
        """End of a step: every run has drained, results are kept, tokens are dropped."""
        if self.step is None:
            return
        step, before = self.step, self.tokens
        rule(all(acc is None for acc in self.acc), "a column was left without drain")
        if step["post"] == Post.RESIDUAL:
            rule(self.stats_last, "token statistics were not completed")
            if step["drop"]:
                self._drop()
        snapshot = {name: getattr(self, name).copy() for name in ("x", "a", "s", "kv", "r", "logits")}
        self.results[step["index"]] = {"before": before, "after": self.tokens, "drained": self.drained, **snapshot}

    def _step(self) -> None:
        self._close()
        self.previous = self.step
        step = unpack(STEP, int.from_bytes(self.take(1).tobytes(), "little"))
        rule(step["index"] == len(self.results), "steps are not numbered in order")
        self.step = step
        self.tokens = step["tokens"] or self.tokens
        self.acc: list[np.ndarray | None] = [None] * self.config.clusters
        self.row_sum = [np.zeros(0, np.int64)] * self.config.clusters
        self.open: list[tuple[int, int, int] | None] = [None] * self.config.clusters
        self.drained: list[tuple[int, int]] = []
        self.stats_last = False
        self.slots_of_step = 0
        if step["post"] == Post.SCORE:
            self.row_max[:, :] = -128
        if step["norm"]:
            rule(step["source"] == Source.X, "norm pass of a step that does not read X")
            self._norm(step)
        if step["drop"]:
            self._select(step)

    def _norm(self, step: dict[str, int]) -> None:
        columns, n = step["norm_columns"], self.tokens
        rule(columns * 16 == step["width"], "norm over another width")
        base = step["norm_half"] * self.config.max_width // 16
        x = self.r[:columns, :n].transpose(1, 0, 2).reshape(n, -1)
        gamma, beta = (memory[base:base + columns].reshape(-1) for memory in (self.gamma, self.beta))
        y = integers.layer_norm(x, gamma, beta, step["norm_shift"])
        self.x[:columns, :n] = y.reshape(n, columns, 16).transpose(1, 0, 2)

    def _write(self) -> None:
        header = unpack(WRITE, int.from_bytes(self.take(1).tobytes(), "little"))
        data = self.take(header["words"])
        target, address, step = header["target"], header["address"], self.step
        assert step is not None
        rule(self.slots_of_step or step["index"] == 0, "a table is written before the step's first slot")
        running = [step]
        if self.slots_of_step < 2 and self.previous is not None:
            running.append(self.previous)  # its last slot may still run while the second one of this step is loaded
        if target in (Target.EXP, Target.GELU):
            used = [other["source"] == Source.S if target == Target.EXP else other["post"] == Post.GELU
                    for other in running]
            rule(not any(used), "a table is overwritten while in use")
            values = data.reshape(-1).astype(np.int64)
            (self.exp if target == Target.EXP else self.gelu)[address:address + values.size] = values
        elif target == Target.NORM:
            rule(data.size == self._parameter_bytes(), "norm parameters are those of one column")
            half = address // (self.config.max_width // 16)
            used = [other["norm"] and other["norm_half"] == half for other in running]
            rule(not any(used), "norm parameters are overwritten while in use")
            self.beta[address] = data.reshape(-1)[:64].view("<i4")
            self.gamma[address] = data.reshape(-1)[64:96].view("<i2")
        else:
            rule(step["index"] == 0 and not self.drained, "residual written after the first drain")
            column, token = divmod(address, self.config.max_tokens)
            rows = np.ascontiguousarray(data).view("<i2").reshape(-1, 16)
            spare = self.config.stream_bits // 256 - 1  # the last word of a column may hold a token that does not exist
            rule(token + len(rows) <= self.tokens + spare, "residual written beyond the tokens")
            self.r[column, token:token + len(rows)] = rows

    def _slot(self) -> None:
        step, config = self.step, self.config
        assert step is not None
        bits = fields_width(SLOT) + config.clusters * fields_width(CLUSTER)
        header = int.from_bytes(self.take(-(-bits // config.stream_bits)).tobytes(), "little")
        slot = unpack(SLOT, header)
        entries = [unpack(CLUSTER, header >> (fields_width(SLOT) + c * fields_width(CLUSTER)))
                   for c in range(config.clusters)]
        tiles = step["tile"] != Tile.STREAM
        rule(any(entry["valid"] for entry in entries), "a slot without work")
        blocks = {c: self.take(2048 // config.stream_bits).reshape(16, 16).view(np.int8).astype(np.int64)
                  for c, entry in enumerate(entries) if entry["valid"] and not tiles}
        parameters = self.take(self._parameter_bytes() * 8 // config.stream_bits) if slot["drain"] else None
        valid = [c for c, entry in enumerate(entries) if entry["valid"]
                 and not (tiles and entry["key_block"] >= -(-self.tokens // 16))]
        drains = slot["drain"] and slot["drain_cluster"] in valid
        rule(not (slot["drain"] and not entries[slot["drain_cluster"]]["valid"]), "an idle cluster drains")
        rule(slot["drain"] or not slot["merge"], "halves are merged without a drain")
        rule(slot["merge"] or not slot["merge_cluster"], "a cluster is named for a merge that is none")
        if slot["merge"]:
            rule(slot["merge_cluster"] != slot["drain_cluster"], "a cluster is merged with itself")
            rule({slot["merge_cluster"], slot["drain_cluster"]} <= set(valid), "an idle cluster is merged")
            self.merged += 1
        if not valid:
            self.skipped += 1
            return
        self.slots += 1
        self.slots_of_step += 1
        self._check_banks(slot, [entries[c]["source_column"] for c in valid])
        for c in valid:
            self._accumulate(c, entries[c], blocks.get(c))
        if drains:
            assert parameters is not None
            self._drain(slot, parameters)

    def _parameter_bytes(self) -> int:
        """Those of a column: 96 bytes, in whole words."""
        word = self.config.stream_bits // 8
        return -(-96 // word) * word

    def _check_banks(self, slot: dict[str, int], sources: list[int]) -> None:
        step, distinct = self.step, set(sources)
        assert step is not None
        rule(len({source % self.config.banks for source in distinct}) == len(distinct), "bank conflict")
        if step["norm"]:
            rule(max(distinct) < slot["need_columns"] <= step["norm_columns"], "norm column used before it is there")
        elif step["image"]:
            rule(max(distinct) < slot["need_columns"] <= self.image_columns, "image column used before it is there")
        else:
            rule(slot["need_columns"] == 0, "waits for columns that nobody produces")

    def _accumulate(self, c: int, entry: dict[str, int], block: np.ndarray | None) -> None:
        step, n = self.step, self.tokens
        assert step is not None
        column, key = entry["source_column"], entry["key_block"]
        if step["source"] == Source.S:
            codes = self._exponentials(column, entry)
        else:
            codes = (self.x if step["source"] == Source.X else self.a)[column, :n]
            codes = codes & 255 if step["unsigned"] else codes
        if step["tile"] == Tile.KEY:
            block = self.kv[entry["tile_column"], key * 16:key * 16 + 16]
        elif step["tile"] == Tile.VALUE:
            block = self.kv[entry["tile_column"], key * 16:key * 16 + 16].T
        assert block is not None
        rule(block.min() >= -127 or step["tile"] != Tile.STREAM, "weight code -128")
        identity = (entry["local_head"], entry["head"], entry["capture"])
        acc = self.acc[c]
        if acc is None:
            acc, self.row_sum[c], self.open[c] = np.zeros((n, 16), np.int64), np.zeros(n, np.int64), identity
        rule(self.open[c] == identity, "two columns are mixed in a cluster")
        self.acc[c] = acc + codes @ block.T
        self.row_sum[c] = self.row_sum[c] + codes.sum(1)

    def _exponentials(self, column: int, entry: dict[str, int]) -> np.ndarray:
        n, key = self.tokens, entry["key_block"]
        rule(column == entry["local_head"] * self.config.score_stride + key, "scores of another head or key block")
        codes = self.exp[self.row_max[entry["local_head"], :n, None] - self.s[column, :n]]
        codes = np.where(np.arange(16) + key * 16 < n, codes, 0)
        if entry["capture"]:
            self.cls_exp.setdefault(entry["head"], {})[key] = codes[0].copy()
        return codes

    def _drain(self, slot: dict[str, int], parameters: np.ndarray) -> None:
        step, n, c = self.step, self.tokens, slot["drain_cluster"]
        assert step is not None
        acc, row_sum, opened = self._half(c)
        if slot["merge"]:
            other, other_sum, other_opened = self._half(slot["merge_cluster"])
            rule(other_opened == opened, "halves of two columns are merged")
            acc, row_sum = acc + other, row_sum + other_sum
        bias = parameters.reshape(-1)[:64].view("<i4").astype(np.int64)
        mult = parameters.reshape(-1)[64:96].view("<u2").astype(np.int64)
        post, dest, column = step["post"], slot["dest"], slot["dest_column"]
        if step["tile"] != Tile.STREAM:
            rule((slot["local_head"], slot["head"]) == opened[:2], "drained column has another head")
        rule((dest, column) not in self.drained, "a column is drained twice")
        self.drained.append((dest, column))
        rule(not self.stats_last, "a column drains after the last one")
        self.stats_last = bool(slot["stats_last"])
        if post == Post.CONTEXT:
            acc = self._normalise(acc, row_sum, slot)
        y = integers.requant(acc, bias, mult, step["shift"], 16 if post in (Post.RESIDUAL, Post.LOGIT) else 8)
        if post == Post.RESIDUAL:
            rule(dest == Dest.R, "residual goes elsewhere")
            self.r[column, :n] = np.clip(self.r[column, :n] + y, -32768, 32767)
        elif post == Post.SCORE:
            self._store_scores(slot, y)
        elif post == Post.LOGIT:
            rule(dest == Dest.L, "logits go elsewhere")
            self.logits[column] = y[0]
        else:
            rule(dest in (Dest.A, Dest.KV), "activations go elsewhere")
            memory = self.a if dest == Dest.A else self.kv
            memory[column, :n] = self.gelu[y + 128] if post == Post.GELU else y

    def _half(self, c: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int]]:
        """What a cluster has summed; it is done with that column."""
        acc, opened = self.acc[c], self.open[c]
        assert acc is not None and opened is not None
        self.acc[c] = None
        return acc, self.row_sum[c], opened

    def _store_scores(self, slot: dict[str, int], y: np.ndarray) -> None:
        n, key, local = self.tokens, slot["key_block"], slot["local_head"]
        rule(slot["dest"] == Dest.S, "scores go elsewhere")
        rule(slot["dest_column"] == local * self.config.score_stride + key, "scores of another head or key block")
        y = np.where(np.arange(16) + key * 16 < n, y, -128)
        self.s[slot["dest_column"], :n] = y
        self.row_max[local, :n] = np.maximum(self.row_max[local, :n], y.max(1))

    def _normalise(self, acc: np.ndarray, row_sum: np.ndarray, slot: dict[str, int]) -> np.ndarray:
        pairs = [integers.reciprocal(int(total)) for total in row_sum]
        if slot["capture"]:
            self.cls_recip[slot["head"]] = pairs[0]
        return np.stack([integers.rnd(row * mant, 23 + q) for row, (mant, q) in zip(acc, pairs, strict=True)])

    def _select(self, step: dict[str, int]) -> None:
        """Scores from what was captured in the attention just before; forgotten afterwards."""
        n, heads = self.tokens, step["heads"]
        rule(set(self.cls_exp) == set(self.cls_recip) == set(range(heads)), "not every head was captured")
        scores = [0] * (n - 1)
        for head in range(heads):
            mant, q = self.cls_recip[head]
            e = np.concatenate([self.cls_exp[head][key] for key in range(-(-n // 16))])
            for j in range(1, n):
                scores[j - 1] += (int(e[j]) * mant) >> (15 + q)
        self.cls_exp, self.cls_recip = {}, {}
        rule(step["inverse_heads"] == (65536 + heads // 2) // heads, "inverse of another number of heads")
        self.weights = [min(65535, (score * step["inverse_heads"] + 2**15) >> 16) for score in scores]
        if step["drop"] == Drop.TOPK:
            rule(step["keep"] < n - 1 or n < self.config.max_tokens, "top-k keeps all tokens")
        self.kept = integers.selection(scores, step["drop"], step["keep"], step["threshold"])

    def _drop(self) -> None:
        """Compaction of the whole residual stream; the hardware does it while the columns drain."""
        if all(self.kept):
            return
        stay = [0, *(j + 1 for j, kept in enumerate(self.kept) if kept)]
        gone = [j + 1 for j, kept in enumerate(self.kept) if not kept]
        total = sum(self.weights[j - 1] * self.r[:, j] for j in gone)
        fused = np.clip(integers.rnd(np.asarray(total), 16), -32768, 32767)
        rows = np.concatenate([self.r[:, stay], fused[:, None]], axis=1)
        self.tokens = rows.shape[1]
        self.r[:, :self.tokens] = rows
