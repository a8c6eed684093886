"""Slot sequencer: starts steps and slots and counts tokens through them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import HardwareConfig
from flows.contracts.program import Drop, Post, Source, Tile
from rtl.packets import slot_layout, step_layout

__all__ = ["MIN_SLOT", "Sequencer", "token_control_layout"]

MIN_SLOT = 16
"""Shortest slot in cycles: above the accumulators' read-to-write distance and the number of clusters."""


def token_control_layout(clusters: int) -> data.StructLayout:
    """What travels with a token from the memories to the drain.

    ``token``: row, token ``row * groups + group``; ``start``: first row of the slot; ``fused``: the extra row after
    the last token that stands for the fused token; ``fresh`` and ``active``: one bit per cluster; ``drain``: this slot
    finishes the column of cluster ``drain_cluster``; ``merge``: whose other half is in cluster ``merge_cluster``;
    ``source`` and ``unsigned``: of the step, what is streamed.
    """
    return data.StructLayout({
        "token": 9,
        "start": 1,
        "fused": 1,
        "drain": 1,
        "drain_cluster": 4,
        "merge": 1,
        "merge_cluster": 4,
        "fresh": clusters,
        "active": clusters,
        "source": Source,
        "unsigned": 1,
    })


class Sequencer(wiring.Component):
    """One rule: all clusters change block together, once a slot.

    A slot starts when the decoder holds it, the one before has issued its last token, the columns it reads exist, and,
    if it drains while tokens are dropped, the selection is done.

    A step may start while the last column of the step before is still on its way to memory: it reads the rows in the
    order in which they are written, so it is enough that its first row finds the first one written. The front of the
    pipeline then works on ``current``, the drain still on ``draining``, and no slot of the new step drains before the
    old one has left. Steps that need more than the rows in their order wait until everything is written: key tiles,
    another number of tokens.

    Parameters
    ----------
    config : HardwareConfig
    drain_cycles : dict
        Cycles from the last token of a step until everything it wrote can be read, by ``Post``.
    norm_cycles : int
        Further cycles before a norm pass may start, from a row's statistics.
    read_cycles : int
        Cycles from the last token of a step until the norm pass may read the residual memory.

    Members
    -------
    clear : :py:`In(1)`
        Forget everything, ready for a new program.
    step : :py:`In(stream.Signature(step_layout))`
    slot : :py:`In(stream.Signature(slot_layout(config)))`
    columns : :py:`In(8)`
        Columns available of the step's norm pass or image.
    norm_busy : :py:`In(1)`
        The norm pass, or loading the image, is not finished. A step can need fewer slots than its norm pass, when no
        block reads the last columns.
    select_busy : :py:`In(1)`
    new_tokens : :py:`In(9)`
        Tokens alive after the running step if it drops tokens.
    go : :py:`Out(1)`
        A step starts; ``current`` and ``tokens`` are valid from the next cycle on.
    started : :py:`Out(1)`
        The cycle after ``go``.
    current : :py:`Out(step_layout)`
        The step whose slots run.
    draining : :py:`Out(step_layout)`, draining_started : :py:`Out(1)`
        The step whose columns drain, and its first cycle as such.
    tokens : :py:`Out(9)`
        Tokens alive.
    take : :py:`Out(1)`
        A slot starts with the next cycle.
    taken : :py:`Out(slot_layout(config))`
        The running slot.
    valid : :py:`Out(groups)`, control : :py:`Out(token_control_layout(clusters))`
        The row to issue, and the groups that have a token in it.
    running : :py:`Out(1)`
        A slot runs.
    idle : :py:`Out(1)`
        No slot runs and the pipeline has drained.
    wait_step, wait_columns, wait_select : :py:`Out(1)`
        Why no slot runs, for the stall counters.
    """

    START_CYCLES = 3
    """From ``go`` until the first row is issued, at least."""

    def __init__(self, config: HardwareConfig, drain_cycles: dict[Post, int], norm_cycles: int,
                 read_cycles: int) -> None:
        self.config = config
        self.drain_cycles = drain_cycles
        self.norm_cycles = norm_cycles
        self.read_cycles = read_cycles
        self.slot_layout = slot_layout(config)
        super().__init__({
            "clear": In(1),
            "step": In(stream.Signature(step_layout)),
            "slot": In(stream.Signature(self.slot_layout)),
            "columns": In(8),
            "norm_busy": In(1),
            "select_busy": In(1),
            "new_tokens": In(9),
            "go": Out(1),
            "started": Out(1),
            "current": Out(step_layout),
            "draining": Out(step_layout),
            "draining_started": Out(1),
            "tokens": Out(9),
            "take": Out(1),
            "taken": Out(self.slot_layout),
            "valid": Out(config.groups),
            "control": Out(token_control_layout(config.clusters)),
            "running": Out(1),
            "idle": Out(1),
            "wait_step": Out(1),
            "wait_columns": Out(1),
            "wait_select": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        running = self.running
        last_cycle = Signal()
        self._steps(m, running)
        self._start(m, running, last_cycle)
        self._count(m, running, last_cycle)
        self._issue(m)
        with m.If(self.clear):
            m.d.sync += [running.eq(0), self.started.eq(0)]
        return m

    def _steps(self, m: Module, running: Signal) -> None:
        """Barrier between steps: how long ago the last slot began and ended, against what the next step needs."""
        longest = max(self.drain_cycles.values()) + self.norm_cycles
        begun, quiet = Signal(range(longest + 1)), Signal(range(longest + 1))
        m.d.sync += [
            begun.eq(Mux(self.take, 0, Mux(begun == longest, begun, begun + 1))),
            quiet.eq(Mux(running, 0, Mux(quiet == longest, quiet, quiet + 1))),
        ]
        needed, needed_norm, drain_cycles = self._needs(m, longest)
        step = self.step.payload
        whole, drained, busy = Signal(), Signal(), Signal()
        since = Signal(range(longest + 1))
        left = Signal(range(longest + 1))  # until the last column of the step before is written
        m.d.comb += [
            busy.eq(self.select_busy | self.norm_busy),
            whole.eq((step.tokens != 0) | (self.current.drop != Drop.NONE) | (step.tile == Tile.KEY)),
            since.eq(Mux(whole, quiet, begun)),
            # The pending step may have come only now: what it needs must not be a cycle old.
            drained.eq(~running & ~busy & (left == 0) & (since >= Mux(step.norm, needed_norm, needed))
                       & (~step.norm | (quiet >= self.read_cycles))),
            self.idle.eq(~running & (quiet == longest) & ~busy & (left == 0)),
            self.go.eq(self.step.valid & drained),
            self.step.ready.eq(drained),
        ]
        m.d.sync += self.started.eq(self.go)
        with m.If(self.go):
            m.d.sync += self.current.eq(step)
            with m.If(step.tokens != 0):
                m.d.sync += self.tokens.eq(step.tokens)
            with m.Elif(self.current.drop != Drop.NONE):
                m.d.sync += self.tokens.eq(self.new_tokens)
        self._drain_step(m, left, quiet, drain_cycles)
        with m.If(self.clear):
            # Nothing has run, and no step has dropped tokens.
            m.d.sync += [quiet.eq(longest), begun.eq(longest), self.current.eq(0), self.tokens.eq(0)]

    def _needs(self, m: Module, longest: int) -> tuple[Signal, Signal, Signal]:
        """Cycles that the next step has to wait after the last one; with a norm pass; and until all is written."""
        needed, needed_norm = Signal(range(longest + 1)), Signal(range(longest + 1))
        drain_cycles = Signal(range(longest + 1))
        drained_at = Signal(range(longest + 1))
        with m.Switch(self.current.post):
            for post, cycles in self.drain_cycles.items():
                with m.Case(post):
                    m.d.comb += drained_at.eq(cycles)
        m.d.sync += [needed.eq(drained_at - (self.START_CYCLES - 1)),
                     needed_norm.eq(drained_at + self.norm_cycles - self.START_CYCLES),
                     drain_cycles.eq(drained_at)]
        return needed, needed_norm, drain_cycles

    def _drain_step(self, m: Module, left: Signal, quiet: Signal, drain_cycles: Signal) -> None:
        """The drain changes to the new step when the old one has left it."""
        written = quiet >= drain_cycles
        self._drain_busy = Signal()
        m.d.comb += self._drain_busy.eq(self.started | (left != 0))
        m.d.sync += [
            left.eq(Mux(self.go & ~written, drain_cycles - quiet, Mux(left == 0, 0, left - 1))),
            self.draining_started.eq((self.go & written) | (left == 1)),
        ]
        with m.If(self.draining_started):
            m.d.sync += self.draining.eq(self.current)
        with m.If(self.clear):
            m.d.sync += [left.eq(0), self.draining_started.eq(0), self.draining.eq(0)]

    def _start(self, m: Module, running: Signal, last_cycle: Signal) -> None:
        """When the next slot may start."""
        slot, step = self.slot.payload, self.current
        counted = step.norm | step.image
        columns_ok = Signal()
        # A cycle old. The pending slot is the same then, as it is held before it is valid; a norm pass may just begin.
        enough = Signal()
        m.d.sync += enough.eq((self.columns >= slot.need_columns) & ~(self.started & step.norm))
        select_ok = Signal()
        drain_ok = Signal()
        free = Signal()
        m.d.comb += [
            columns_ok.eq(~counted | enough),
            select_ok.eq(~(slot.drain & (step.drop != Drop.NONE) & self.select_busy)),
            drain_ok.eq(~(slot.drain & self._drain_busy)),
            free.eq(~self.step.valid & ~self.started & (~running | last_cycle)),
            self.slot.ready.eq(free & columns_ok & select_ok & drain_ok),
            self.take.eq(self.slot.valid & self.slot.ready),
            self.wait_step.eq(~running & (self.step.valid | (self.slot.valid & free & ~drain_ok))),
            self.wait_columns.eq(~running & self.slot.valid & free & drain_ok & ~columns_ok),
            self.wait_select.eq(~running & self.slot.valid & free & drain_ok & columns_ok & ~select_ok),
        ]
        with m.If(self.take):
            m.d.sync += [running.eq(1), self.taken.eq(slot)]
        with m.Elif(last_cycle):
            m.d.sync += running.eq(0)

    def _count(self, m: Module, running: Signal, last_cycle: Signal) -> None:
        """Cycle within the slot, and its length."""
        groups = self.config.groups
        group_bits = groups.bit_length() - 1
        row_cycles = self.config.row_cycles
        cycle = Signal(range(512 * row_cycles))
        rows = Signal(range(512))
        streaming = rows if row_cycles == 1 else rows * row_cycles
        before_last = Signal(range(512 * row_cycles))  # cycle
        ending = Signal()  # this is the last one
        m.d.sync += [
            rows.eq(((self.tokens + groups - 1) >> group_bits)
                    + Mux(self.current.drop != Drop.NONE, 1 + self.config.fuse_stages, 0)),
            before_last.eq(Mux(streaming < MIN_SLOT, MIN_SLOT, streaming) - 2),
            ending.eq((cycle == before_last) & ~self.take),
            cycle.eq(Mux(self.take, 0, cycle + 1)),
        ]
        m.d.comb += last_cycle.eq(running & ending)
        within = row_cycles.bit_length() - 1
        self._row, self._rows = cycle if row_cycles == 1 else cycle[within:], rows
        # A row stays for all its cycles and is issued in the first one.
        self._issues = running if row_cycles == 1 else running & (cycle[:within] == 0)

    def _issue(self, m: Module) -> None:
        """Token control, and which clusters start a column with this block."""
        clusters = self.config.clusters
        active = Cat(self.slot.payload.clusters[c].valid for c in range(clusters))
        opened = Signal(clusters)  # a column is under way
        fresh = Signal(clusters)
        closing = Signal(clusters)
        slot = self.slot.payload
        halves = (1 << slot.drain_cluster) | Mux(slot.merge, 1 << slot.merge_cluster, 0)
        m.d.comb += closing.eq(Mux(slot.drain, halves, 0))
        with m.If(self.take):
            m.d.sync += [fresh.eq(~opened), opened.eq((opened | active) & ~closing)]
        with m.If(self.clear):
            m.d.sync += opened.eq(0)
        taken = self.taken
        group_bits = self.config.groups.bit_length() - 1
        fused = self.control.fused
        for group in range(self.config.groups):
            # The fused token is appended by group 0; the groups' parts of it are joined there.
            token = Cat(Const(group, group_bits), self._row)
            exists = (token < self.tokens) | (fused if group == 0 else 0)
            m.d.comb += self.valid[group].eq(self._issues & exists)
        m.d.comb += [
            self.control.token.eq(self._row),
            self.control.start.eq(self._row == 0),
            self.control.fused.eq((self.current.drop != Drop.NONE) & (self._row == self._rows - 1)),
            self.control.drain.eq(taken.drain),
            self.control.drain_cluster.eq(taken.drain_cluster),
            self.control.merge.eq(taken.merge),
            self.control.merge_cluster.eq(taken.merge_cluster),
            self.control.fresh.eq(fresh),
            self.control.active.eq(Cat(taken.clusters[c].valid for c in range(clusters))),
            self.control.source.eq(self.current.source),
            self.control.unsigned.eq(self.current.unsigned),
        ]
