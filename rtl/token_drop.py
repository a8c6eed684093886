"""Token drop: choose tokens by the CLS row's attention, fuse the others (``docs/numerics.md`` section 5).

After EViT (Liang et al. 2022, *Not All Patches are What You Need*, section 3.2).
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, HardwareConfig, ceil_div
from flows.contracts.numerics import DROP_SCORE_BITS, DROP_WEIGHT_BITS, FUSE_SHIFT
from flows.contracts.program import Drop
from rtl.delay import delayed
from rtl.fixed_point import balanced_sum, shift_coarse, shift_fine
from rtl.flow import Flow, lanes
from rtl.pipeline import Pipeline
from rtl.row_parts import any_part, join_row, part_lanes, split_row
from rtl.softmax import EXP_BITS, EXP_MIN, MANT_BITS

__all__ = ["Fuse", "Select"]

TOKEN_BITS = 9
HEAD_BITS = 5
PRODUCT_BITS = 8 + MANT_BITS
ALL_TIES = (1 << TOKEN_BITS) - 1
"""More ties than there can be tokens."""


class _State:
    """Registers of a selection that its passes share."""

    def __init__(self) -> None:
        # Sampled with start.
        self.mode = Signal(2, reset_less=True)
        self.keep = Signal(TOKEN_BITS, reset_less=True)
        self.heads = Signal(HEAD_BITS, reset_less=True)
        self.inverse_heads = Signal(17, reset_less=True)
        self.tokens = Signal(TOKEN_BITS, reset_less=True)
        # What the passes step through, and the cycles that a pass still needs after its last item.
        self.block = Signal(TOKEN_BITS - 4, reset_less=True)
        self.head = Signal(HEAD_BITS, reset_less=True)
        self.bit = Signal(DROP_SCORE_BITS, reset_less=True)
        self.token = Signal(TOKEN_BITS, reset_less=True)
        self.drain = Signal(3, reset_less=True)
        # Scores that reach the candidate; kept tokens so far.
        self.count = Signal(TOKEN_BITS, reset_less=True)
        self.index = Signal(TOKEN_BITS, reset_less=True)
        # The choice: keep scores above the pivot, and the first ``quota`` of those equal to it.
        self.pivot = Signal(DROP_SCORE_BITS, reset_less=True)
        self.quota = Signal(TOKEN_BITS, reset_less=True)


class Select(wiring.Component):
    """Scores the tokens of an image, chooses which to keep, and writes a map with an entry per token.

    Three passes, each a short pipeline: scores of 16 tokens and a head in ``row_cycles`` cycles; the threshold of
    top-k, the k-th largest score found bit by bit from the top by counting how many scores reach a candidate (no
    sorter, no exchange of data); then the map, a token a cycle.

    Parameters
    ----------
    config : HardwareConfig
        ``max_tokens`` and ``max_width`` size the memories, ``row_cycles`` the multipliers.

    Members
    -------
    capture : :py:`In(Flow(Select.CAPTURE))`
        Exponentials ``e`` of the CLS row for the 16 keys of ``key_block``. Every (head, key block) below the tokens
        alive must arrive before ``start``.
    recip : :py:`In(Flow(Select.RECIP))`
        Reciprocal of the CLS row's sum of a head, before ``start``.
    start : :py:`In(1)`
        Begin. ``mode`` (:class:`flows.contracts.program.Drop`), ``keep`` (top-k), ``threshold``, ``heads`` (at least
        1), ``inverse_heads`` and ``tokens`` (CLS included, at least 1) are sampled with it. Ignored while busy.
    busy : :py:`Out(1)`
        From the cycle after ``start``, for ``Select.cycles(tokens, heads, mode, row_cycles)`` cycles.
    new_tokens : :py:`Out(9)`
        Tokens after the drop: CLS, kept and fused; ``tokens`` when nothing is dropped. Valid from the end of busy to
        the next start, as are ``dropped`` and the map.
    dropped : :py:`Out(1)`
        Some token is dropped, so there is a fused one.
    map_write : :py:`Out(Flow(Select.MAP_WRITE))`
        Once per token while ``busy``: ``keep``, and ``index`` after the drop of a kept token, or ``weight`` of a
        dropped one. :class:`TokenMap` holds them.

    Latency
    -------
    :meth:`cycles`.

    Throughput
    ----------
    One selection at a time.
    """

    CAPTURE = data.StructLayout({"head": 4, "key_block": 5, "e": lanes(8, is_signed=False)})
    RECIP = data.StructLayout({"head": 4, "mant": MANT_BITS, "exp": signed(EXP_BITS)})
    MAP = data.StructLayout({"keep": 1, "index": TOKEN_BITS, "weight": DROP_WEIGHT_BITS})
    MAP_WRITE = data.StructLayout({"token": TOKEN_BITS, "place": MAP})

    # Cycles from the last item of a pass until its result is in place.
    SCORE_LATENCY = 5
    COUNT_LATENCY = 4
    CHOOSE_LATENCY = 4

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        super().__init__({
            "capture": In(Flow(self.CAPTURE)),
            "recip": In(Flow(self.RECIP)),
            "start": In(1),
            "mode": In(2),
            "keep": In(TOKEN_BITS),
            "threshold": In(DROP_SCORE_BITS),
            "heads": In(HEAD_BITS),
            "inverse_heads": In(17),
            "tokens": In(TOKEN_BITS),
            "busy": Out(1),
            "new_tokens": Out(TOKEN_BITS),
            "dropped": Out(1),
            "map_write": Out(Flow(self.MAP_WRITE)),
        })

    @staticmethod
    def cycles(tokens: int, heads: int, mode: int, row_cycles: int = 1) -> int:
        """Cycles of ``busy``: they depend on nothing else, in particular not on the scores."""
        blocks = ceil_div(tokens, BLOCK)
        score = row_cycles * blocks * heads + Select.SCORE_LATENCY + int(row_cycles > 1)
        search = DROP_SCORE_BITS * (blocks + Select.COUNT_LATENCY)
        final = tokens + Select.CHOOSE_LATENCY
        return (score if mode != Drop.NONE else 0) + (search if mode == Drop.TOPK else 0) + final

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s = _State()
        scores = memory.Memory(shape=lanes(DROP_SCORE_BITS, is_signed=False), depth=max(2, self.config.token_blocks),
                               init=[])
        m.submodules.scores = scores
        read = scores.read_port()
        score, count, choose = Signal(), Signal(), Signal()
        m.d.comb += [read.en.eq(1), read.addr.eq(Mux(choose, s.token[4:], s.block))]
        self._control(m, s, score, count, choose)
        self._score(m, s, score, scores.write_port())
        self._count(m, s, count, read.data)
        self._choose(m, s, choose, read.data)
        return m

    def _control(self, m: Module, s: _State, score: Signal, count: Signal, choose: Signal) -> None:
        """The passes one after the other; ``score``, ``count`` and ``choose`` are high while a pass issues items."""
        last_block = ((s.block + 1) << 4) >= s.tokens
        last_head = s.head + 1 == s.heads
        drained = s.drain == 1
        m.d.sync += s.drain.eq(s.drain - 1)
        with m.FSM():
            with m.State("IDLE"):
                self._sample(m, s)
                with m.If(self.start):
                    m.d.sync += self.busy.eq(1)
                    m.next = "SCORE"
                    with m.If(self.mode == Drop.NONE):
                        m.next = "CHOOSE"
            with m.State("SCORE"):
                self._next_score(m, s, score, last_head, last_block)
            with m.State("SCORE DRAIN"):
                m.d.sync += s.block.eq(0)
                with m.If(drained):
                    m.next = "CHOOSE"
                    with m.If(s.mode == Drop.TOPK):
                        m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += count.eq(1)
                m.d.sync += [s.block.eq(s.block + 1), s.drain.eq(self.COUNT_LATENCY)]
                with m.If(last_block):
                    m.next = "COUNT DRAIN"
            with m.State("COUNT DRAIN"):
                m.d.sync += s.block.eq(0)
                with m.If(drained):
                    self._decide_bit(m, s)
                    m.next = "COUNT"
                    with m.If(s.bit[0]):
                        m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.d.comb += choose.eq(1)
                m.d.sync += [s.token.eq(s.token + 1), s.drain.eq(self.CHOOSE_LATENCY)]
                with m.If(s.token + 1 == s.tokens):
                    m.next = "CHOOSE DRAIN"
            with m.State("CHOOSE DRAIN"), m.If(drained):
                dropped = s.index != s.tokens
                m.d.sync += [self.dropped.eq(dropped), self.new_tokens.eq(s.index + dropped), self.busy.eq(0)]
                m.next = "IDLE"

    def _next_score(self, m: Module, s: _State, score: Signal, last_head: Value, last_block: Value) -> None:
        """Issue an item of the score pass, and go on to the next one when all its cycles are over."""
        cycles = self.config.row_cycles
        following = [s.head.eq(Mux(last_head, 0, s.head + 1)), s.block.eq(s.block + last_head),
                     s.drain.eq(self.SCORE_LATENCY + int(cycles > 1))]
        if cycles == 1:
            m.d.comb += score.eq(1)
            m.d.sync += following
            with m.If(last_head & last_block):
                m.next = "SCORE DRAIN"
            return
        cycle = Signal(range(cycles))  # from 0 to 0 in every item
        m.d.comb += score.eq(cycle == 0)
        m.d.sync += cycle.eq(cycle + 1)
        with m.If(cycle == cycles - 1):
            m.d.sync += following
            with m.If(last_head & last_block):
                m.next = "SCORE DRAIN"

    def _sample(self, m: Module, s: _State) -> None:
        """Take over the parameters. Threshold mode keeps every tie, and so does no drop, with a pivot of 0."""
        m.d.sync += [
            s.mode.eq(self.mode), s.keep.eq(self.keep), s.heads.eq(self.heads), s.inverse_heads.eq(self.inverse_heads),
            s.tokens.eq(self.tokens), s.block.eq(0), s.head.eq(0), s.token.eq(0), s.count.eq(0), s.index.eq(0),
            s.bit.eq(1 << DROP_SCORE_BITS - 1), s.pivot.eq(Mux(self.mode == Drop.THRESHOLD, self.threshold, 0)),
            s.quota.eq(Mux(self.mode == Drop.TOPK, self.keep, ALL_TIES)),
        ]

    def _decide_bit(self, m: Module, s: _State) -> None:
        """End of a count: at least ``keep`` scores reach the candidate when its bit belongs to the k-th largest.

        Otherwise the candidate is too high. The last such candidate is the final pivot plus 1, so its count is the
        number of scores above the pivot, and what is missing to ``keep`` is the number of ties to keep.
        """
        enough = s.count >= s.keep
        m.d.sync += [
            s.pivot.eq(Mux(enough, s.pivot | s.bit, s.pivot)), s.quota.eq(Mux(enough, s.quota, s.keep - s.count)),
            s.bit.eq(s.bit >> 1), s.count.eq(0),
        ]

    def _captured(self, m: Module, s: _State) -> tuple[Any, Any]:
        """Memories of the captured exponentials and reciprocals; what they hold for the current block and head."""
        heads = max(1, min(16, self.config.max_width // BLOCK))
        block_bits = (self.config.token_blocks - 1).bit_length()
        exponentials = memory.Memory(shape=self.CAPTURE["e"].shape, depth=max(2, heads << block_bits), init=[])
        reciprocals = memory.Memory(shape=self.RECIP, depth=16, init=[])
        m.submodules.exponentials, m.submodules.reciprocals = exponentials, reciprocals
        write, read = exponentials.write_port(), exponentials.read_port()
        recip_write, recip_read = reciprocals.write_port(), reciprocals.read_port()
        e, r = self.capture.payload, self.recip.payload
        m.d.comb += [
            write.en.eq(self.capture.valid), write.addr.eq(Cat(e.key_block[:block_bits], e.head)), write.data.eq(e.e),
            read.en.eq(1), read.addr.eq(Cat(s.block[:block_bits], s.head)),
            recip_write.en.eq(self.recip.valid), recip_write.addr.eq(r.head), recip_write.data.eq(r),
            recip_read.en.eq(1), recip_read.addr.eq(s.head),
        ]
        return read.data, recip_read.data

    def _score(self, m: Module, s: _State, issue: Value, write: memory.WritePort) -> None:
        """Pass 1: ``score = sum over heads of (e * mant) >> (15 + exp)``, heads of a block one after the other."""
        e, recip = self._captured(m, s)
        p = Pipeline(m, issue)
        v = p.stage(block=s.block, first=s.head == 0, last=s.head + 1 == s.heads)
        if self.config.row_cycles > 1:
            p, v, e, recip = self._parts(m, p, v, e, recip)
        at_once = part_lanes(self.config.row_cycles)
        v = p.stage(block=v.block, first=v.first, last=v.last, product=[e[k] * recip.mant for k in range(at_once)],
                    amount=(recip.exp - EXP_MIN)[:EXP_BITS])
        v = p.stage(block=v.block, first=v.first, last=v.last, amount=v.amount,
                    product=[shift_coarse(x, v.amount) for x in v.product])
        # Alive are the tokens but CLS, whose score of 0 keeps it out of every count.
        left = s.tokens - (v.block << 4)
        v = p.stage(block=v.block, first=v.first, last=v.last, product=[shift_fine(x, v.amount) for x in v.product],
                    alive=[(v.block != 0) if k == 0 else (k < left) for k in range(BLOCK)])
        total = [Signal(DROP_SCORE_BITS, name=f"total_{k}", reset_less=True) for k in range(BLOCK)]
        # The totals of the part at work are the first ones; all turn, and are in their places after the last part.
        sums = [Mux(v.first, 0, total[k]) + v.product[k] for k in range(at_once)]
        turned = total[at_once:] + sums
        adding = any_part(m, p.valid, self.config.row_cycles)
        m.d.sync += [total[k].eq(Mux(adding, turned[k], total[k])) for k in range(BLOCK)]
        v = p.stage(block=v.block, last=v.last, alive=v.alive)
        complete = delayed(m, p.valid, self.config.row_cycles - 1, "complete", reset_less=False)
        m.d.comb += [
            write.en.eq(complete & v.last), write.addr.eq(v.block),
            *(write.data[k].eq(Mux(v.alive[k], total[k], 0)) for k in range(BLOCK)),
        ]
        assert p.latency == self.SCORE_LATENCY - int(self.config.row_cycles > 1)

    def _parts(self, m: Module, p: Pipeline, v: Any, e: Any, recip: Any) -> tuple[Pipeline, Any, Any, Any]:
        """The item in parts, a cycle later."""
        layout = data.StructLayout({"e": self.CAPTURE["e"].shape, "recip": self.RECIP, "block": len(v.block),
                                    "first": 1, "last": 1})
        row = Signal(layout, name="scored_row")
        m.d.comb += [row.e.eq(e), row.recip.eq(recip), row.block.eq(v.block), row.first.eq(v.first),
                     row.last.eq(v.last)]
        valid, parts = split_row(m, p.valid, row, self.config.row_cycles)
        return Pipeline(m, valid), parts, parts.e, parts.recip

    def _count(self, m: Module, s: _State, issue: Value, scores: Any) -> None:
        """Pass 2: how many scores reach the candidate, the pivot so far with the current bit set."""
        p = Pipeline(m, issue)
        p.stage()
        v = p.stage(reach=[scores[k] >= (s.pivot | s.bit) for k in range(BLOCK)])
        v = p.stage(reach=balanced_sum(v.reach))
        with m.If(p.valid):
            m.d.sync += s.count.eq(s.count + v.reach)
        assert p.latency + 1 == self.COUNT_LATENCY

    def _choose(self, m: Module, s: _State, issue: Value, scores: Any) -> None:
        """Pass 3: keep or drop, new index and weight of a token a cycle."""
        p = Pipeline(m, issue)
        v = p.stage(token=s.token)
        v = p.stage(token=v.token, score=scores[v.token[:4]])
        v = p.stage(token=v.token, above=v.score > s.pivot, equal=v.score == s.pivot,
                    product=v.score * s.inverse_heads)
        first = v.token == 0
        tie = v.equal & (s.quota != 0) & ~first
        keep = first | v.above | tie
        with m.If(p.valid):
            m.d.sync += [s.quota.eq(s.quota - tie), s.index.eq(s.index + keep)]
        v = p.stage(token=v.token, keep=keep, index=s.index, weight=(v.product + (1 << 15)) >> 16)
        large = v.weight[DROP_WEIGHT_BITS:].any()
        entry = self.map_write.payload
        m.d.comb += [
            self.map_write.valid.eq(p.valid), entry.token.eq(v.token), entry.place.keep.eq(v.keep),
            entry.place.index.eq(v.index),
            entry.place.weight.eq(Mux(large, (1 << DROP_WEIGHT_BITS) - 1, v.weight)),
        ]
        assert p.latency == self.CHOOSE_LATENCY


class TokenMap(wiring.Component):
    """Where the tokens of one group go, kept from a selection until the next.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    group : :py:`In(range(groups))`
        Which tokens to keep: those with ``token mod groups == group``.
    write : :py:`In(Flow(Select.MAP_WRITE))`
    row : :py:`In(9)`
        Token ``row * groups + group``.
    place : :py:`Out(Select.MAP)`

    Latency
    -------
    1 cycle from ``row`` to ``place``.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        super().__init__({
            "group": In(range(max(config.groups, 2))),
            "write": In(Flow(Select.MAP_WRITE)),
            "row": In(TOKEN_BITS),
            "place": Out(Select.MAP),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.config.groups.bit_length() - 1
        m.submodules.memory = places = memory.Memory(shape=Select.MAP, depth=self.config.group_tokens, init=[])
        write, read = places.write_port(), places.read_port()
        token = self.write.payload.token
        m.d.comb += [
            write.en.eq(self.write.valid & (token[:bits] == self.group[:bits])),
            write.addr.eq(token[bits:]),
            write.data.eq(self.write.payload.place),
            read.en.eq(1),
            read.addr.eq(self.row),
            self.place.eq(read.data),
        ]
        return m


class Fuse(wiring.Component):
    """Sixteen channels of the fused token, ``sat16(rnd(sum of weight * x over the dropped, 16))``, as columns pass by.

    Parameters
    ----------
    shared : bool
        Several groups have a part of the fused token.
    row_cycles : int
        Cycles from vector to vector: 16 / ``row_cycles`` lanes do their work. Only 1 when ``shared``.

    Members
    -------
    i : :py:`In(Flow(Fuse.LAYOUT))`
        A token's channels ``x`` (int16). ``first``: start a new sum, with this token. ``dropped``: add ``weight * x``
        to it. ``fused``: the token is the fused one; its ``x`` is ignored. A column may follow the one before it
        without a gap.
    part : :py:`Out(lanes(SUM_BITS))`, total : :py:`In(lanes(SUM_BITS))`
        Only with ``shared``: this group's sums, and those of all groups together, which the fused token uses.
    o : :py:`Out(Flow(lanes(16)))`
        The sum since ``first`` for the fused token, ``x`` for every other, the dropped ones included.

    Latency
    -------
    ``LATENCY`` = 4 cycles: product, sum, rounding, saturation; and ``part_cycles``.

    Throughput
    ----------
    One vector of 16 every ``row_cycles`` cycles.
    """

    LATENCY = 4
    LAYOUT = data.StructLayout({
        "x": lanes(16), "weight": DROP_WEIGHT_BITS, "dropped": 1, "first": 1, "fused": 1})
    SUM_BITS = 16 + DROP_WEIGHT_BITS + TOKEN_BITS

    def __init__(self, *, shared: bool = False, row_cycles: int = 1) -> None:
        self.shared, self.row_cycles = shared, row_cycles
        ports = {"part": Out(lanes(self.SUM_BITS)), "total": In(lanes(self.SUM_BITS))} if shared else {}
        super().__init__({"i": In(Flow(self.LAYOUT)), "o": Out(Flow(lanes(16))), **ports})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes_at_once = part_lanes(self.row_cycles)
        each = range(lanes_at_once)
        valid, i = split_row(m, self.i.valid, self.i.payload, self.row_cycles)
        p = Pipeline(m, valid)
        s = p.stage(x=[i.x[k] for k in each], term=[i.x[k] * i.weight for k in each], dropped=i.dropped, first=i.first,
                    fused=i.fused)
        # The sums of the part at work are the first ones; all turn, and the part's new sums become the last ones.
        total = [Signal(signed(self.SUM_BITS), name=f"total_{k}", reset_less=True) for k in range(BLOCK)]
        sums = [Mux(s.first, 0, total[k]) + Mux(s.dropped, s.term[k], 0) for k in each]
        turned = total[lanes_at_once:] + sums
        adding = any_part(m, p.valid, self.row_cycles)
        m.d.sync += [total[k].eq(Mux(adding, turned[k], total[k])) for k in range(BLOCK)]
        total = total[-lanes_at_once:]
        s = p.stage(x=s.x, fused=s.fused)
        if self.shared:
            m.d.comb += [self.part[k].eq(total[k]) for k in each]
            total = [self.total[k] for k in each]
        # The next column may overwrite the sum from here on: the fused token has it in its own registers.
        s = p.stage(x=s.x, fused=s.fused,
                    total=[(total[k] + (1 << FUSE_SHIFT - 1)) >> FUSE_SHIFT for k in each])
        low, high = -(1 << 15), (1 << 15) - 1
        s = p.stage(y=[Mux(s.fused, Mux(s.total[k] > high, high, Mux(s.total[k] < low, low, s.total[k])), s.x[k])
                       for k in each])
        valid, row = join_row(m, p.valid, s.y, self.row_cycles, "result")
        m.d.comb += [self.o.valid.eq(valid), *(lane.eq(y) for lane, y in zip(self.o.payload, row, strict=True))]
        return m
