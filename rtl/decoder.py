"""Program decoder: turns the program stream into steps, slots, stationary blocks and table writes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, HardwareConfig, ceil_div
from flows.contracts.program import (
    MAGIC,
    VERSION,
    Kind,
    Post,
    Source,
    Target,
    Tile,
    column_parameter_words,
    slot_header_words,
)
from flows.contracts.registers import Error
from rtl.column_queue import ColumnQueue
from rtl.flow import Flow, TableWrite
from rtl.key_value import KeyValue
from rtl.packets import hello_layout, slot_layout, step_layout, write_layout

__all__ = ["BlockLoad", "Decoder", "WordWrite"]


class BlockLoad(wiring.Signature):
    """Stationary weights on their way into the clusters' shadow registers.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    enable : :py:`Out(clusters)`
        One bit per cluster.
    transposed : :py:`Out(1)`
    word : :py:`Out(stream_bits)`
    """

    def __init__(self, config: HardwareConfig) -> None:
        super().__init__({"enable": Out(config.clusters), "transposed": Out(1), "word": Out(config.stream_bits)})


class WordWrite(wiring.Signature):
    """Write of a stream word into a memory, with back-pressure.

    Parameters
    ----------
    bits : int

    Members
    -------
    valid : :py:`Out(1)`
    ready : :py:`In(1)`
    address : :py:`Out(16)`
    word : :py:`Out(2)`
        Which word of a column's norm parameters, which span several.
    data : :py:`Out(bits)`
    """

    def __init__(self, bits: int) -> None:
        super().__init__({"valid": Out(1), "ready": In(1), "address": Out(16), "word": Out(2), "data": Out(bits)})


class State(enum.Enum):
    """What the next stream word is, or what the decoder waits for."""

    IDLE = 0
    PACKET = 1
    SLOT_HEADER = 2
    SLOT_MASK = 3
    BLOCKS = 4
    TILES = 5
    PARAMETERS = 6
    TABLE_WORD = 7
    MEMORY = 8
    FINISH = 9
    FAILED = 10


class Decoder(wiring.Component):
    """Reads packets, holds a loaded slot ahead of the sequencer, and the header of the next one.

    Blocks of a slot are sent from two cycles after the slot before has been taken: they travel as long as that slot's
    first row does, and find the shadow registers free when they arrive (see :data:`rtl.core.LOAD_DELAY`).

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    program : :py:`In(stream.Signature(stream_bits))`
        The program, word by word.
    clear : :py:`In(1)`
        The stream begins anew: nothing is left of the words that HELLO has announced.
    start : :py:`In(1)`
        Expect a HELLO packet, behind what is left of the stream's padding.
    hello : :py:`Out(Flow(hello_layout))`
        An accepted HELLO.
    step : :py:`Out(stream.Signature(step_layout))`
        A step that the sequencer starts as soon as the one before has drained.
    slot : :py:`Out(stream.Signature(slot_layout(config)))`
        The next slot; valid when its blocks and parameters are loaded.
    parameters_taken : :py:`In(1)`
        The oldest column parameters have become active: there is room for one more set.
    tokens : :py:`In(9)`
        Tokens alive, for skipping key blocks.
    load : :py:`Out(BlockLoad(config))`
    tile_column, tile_key_block, tile_word : :py:`Out(...)`, tile_data : :py:`In(stream_bits)`
        Read port of the key/value memory.
    parameter_load : :py:`Out(Flow(stream_bits))`
        Column parameters of a draining slot.
    exp_table, gelu_table : :py:`Out(TableWrite())`
    norm_write, residual_write : :py:`Out(WordWrite(stream_bits))`
    finished : :py:`Out(1)`
        The END packet has been reached.
    waiting : :py:`Out(1)`
        The decoder wants a word and the stream has none.
    error : :py:`Out(4)`
        An ``Error``; other than 0, the decoder stays where it is until ``start``.

    Throughput
    ----------
    One stream word a cycle. A word of a table is written in the background, one entry a cycle.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        self.slot_layout = slot_layout(config)
        super().__init__({
            "program": In(stream.Signature(config.stream_bits)),
            "clear": In(1),
            "start": In(1),
            "hello": Out(Flow(hello_layout)),
            "step": Out(stream.Signature(step_layout)),
            "slot": Out(stream.Signature(self.slot_layout)),
            "parameters_taken": In(1),
            "tokens": In(9),
            "load": Out(BlockLoad(config)),
            "tile_column": Out(range(config.kv_cols)),
            "tile_key_block": Out(range(max(config.token_blocks, 2))),
            "tile_word": Out(range(config.block_words)),
            "tile_data": In(config.stream_bits),
            "parameter_load": Out(Flow(config.stream_bits)),
            "exp_table": Out(TableWrite()),
            "gelu_table": Out(TableWrite()),
            "norm_write": Out(WordWrite(config.stream_bits)),
            "residual_write": Out(WordWrite(config.stream_bits)),
            "finished": Out(1),
            "waiting": Out(1),
            "error": Out(4),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._state = Signal(State)
        self._word = self.program.payload
        self._take = Signal()  # consume the current word
        m.d.comb += [
            self.program.ready.eq(self._take),
            self._take.eq(0),
        ]
        wants = Signal()
        m.d.comb += self.waiting.eq(wants & ~self.program.valid)

        self._count_words(m)
        self._hold(m)
        self._skip(m)
        blocks = self._blocks(m)
        self._packets(m, wants)
        self._slots(m, wants, blocks)
        self._tables(m, wants)
        with m.If(self.start):
            m.d.sync += [self._state.eq(State.PACKET), self._expect_hello.eq(1), self.error.eq(0),
                         self._step_valid.eq(0), self._slot_valid.eq(0), self._parameter_sets.eq(0),
                         self._tile_wait.eq(0), self._part.eq(0), self._entries_left.eq(0),
                         self._writing.eq(0)]
        return m

    def _count_words(self, m: Module) -> None:
        """Count the words that HELLO announces; those that END leaves are padding, and are thrown away."""
        # One less than the words that are left: none are when it is negative, which is one bit to look at.
        left = Signal(signed(33), init=-1)
        some = ~left[-1]
        self._padding = Signal()
        self._expect_hello = Signal()
        hello = data.View(hello_layout, self._word[:hello_layout.size])
        over = (self._state == State.FINISH) | ((self._state == State.PACKET) & self._expect_hello)
        m.d.comb += self._padding.eq(over & some)
        with m.If(self._padding):
            m.d.comb += self._take.eq(1)
        with m.If(self.clear):
            m.d.sync += left.eq(-1)
        with m.Elif(self.hello.valid):
            m.d.sync += left.eq(hello.words - 2)
        with m.Elif(self.program.valid & self._take & some):
            m.d.sync += left.eq(left - 1)

    def _hold(self, m: Module) -> None:
        """Registers of the pending step and slot, and what they wait for."""
        self._step = Signal(step_layout, reset_less=True)
        self._step_valid = Signal()
        self._next = Signal(self.slot_layout, reset_less=True)  # header of the slot after the pending one
        self._slot = Signal(self.slot_layout, reset_less=True)
        self._slot_valid = Signal()
        self._parameter_sets = Signal(range(ColumnQueue.SETS + 1))  # loaded, and not yet active
        self._parameters_loaded = Signal()
        self._tile_wait = Signal()
        self._header_left = Signal(range(max(slot_header_words(self.config), 2)))
        self._part = Signal(2)  # word of a column's norm parameters
        self._entries_left = Signal(range(self.config.stream_bytes + 1))  # of a table's word
        self._writing = Signal()  # there are some
        tile = Signal(Tile)
        self._tile = tile
        m.d.comb += [
            self.step.payload.eq(self._step),
            self.step.valid.eq(self._step_valid),
            self.slot.payload.eq(self._slot),
            self.slot.valid.eq(self._slot_valid),
        ]
        m.d.sync += self._parameter_sets.eq(self._parameter_sets + self._parameters_loaded - self.parameters_taken)
        with m.If(self.slot.valid & self.slot.ready):
            m.d.sync += self._slot_valid.eq(0)
        with m.If(self.step.valid & self.step.ready):
            m.d.sync += [self._step_valid.eq(0), self._tile_wait.eq(0)]

    def _skip(self, m: Module) -> None:
        """Which clusters have work: tiles of key blocks beyond the last token do not exist."""
        last = Signal(range(ceil_div(512, BLOCK)))
        m.d.sync += last.eq((self.tokens - 1)[4:])  # the tokens change only long before tiles are read
        attention = self._tile != Tile.STREAM
        masks = []
        for cluster in range(self.config.clusters):
            entry = self._next.clusters[cluster]
            masks.append(entry.valid & ~(attention & (entry.key_block > last)))
        self._mask = Cat(masks)
        drain_valid: Value | int = 0
        for cluster, valid in enumerate(masks):
            drain_valid = drain_valid | (valid & (self._next.drain_cluster == cluster))
        self._drain_mask = self._next.drain & drain_valid

    def _blocks(self, m: Module) -> Signal:
        """Load port of the clusters: stream words pass straight on, tile words come out of a memory pipeline."""
        clusters = self.config.clusters
        todo = Signal(clusters)
        lowest = Signal(clusters)
        m.d.comb += lowest.eq(todo & (~todo + 1)[:clusters])
        count = Signal(range(self.config.block_words))
        self._todo, self._lowest, self._count = todo, lowest, count
        self._tile_issue = Signal()
        self._stream_load = Signal()

        column: Value | int = 0
        key_block: Value | int = 0
        for cluster in range(clusters):
            entry = self._slot.clusters[cluster]
            column = column | Mux(lowest[cluster], entry.tile_column, 0)
            key_block = key_block | Mux(lowest[cluster], entry.key_block, 0)
        m.d.comb += [self.tile_column.eq(column), self.tile_key_block.eq(key_block), self.tile_word.eq(count)]

        enable = Mux(self._tile_issue, lowest, 0)
        for stage in range(KeyValue.LATENCY):
            delayed = Signal(clusters, name=f"tile_enable{stage}")
            m.d.sync += delayed.eq(enable)
            enable = delayed
        self._tile_enable = enable
        # A tile comes later than a word of the stream by the latency of its memory. Exponentials take as long.
        pending = Signal(range(KeyValue.LATENCY - 1))
        m.d.sync += pending.eq(Mux(self._tile_issue, KeyValue.LATENCY - 2, Mux(pending == 0, 0, pending - 1)))
        self._tiles_pending = (pending != 0) & (self._tile == Tile.KEY)

        load_enable = Signal(clusters)
        load_word = Signal(self.config.stream_bits, reset_less=True)
        load_transposed = Signal()
        m.d.sync += [
            load_enable.eq(Mux(self._stream_load, lowest, enable)),
            load_word.eq(Mux(self._stream_load, self._word, self.tile_data)),
            load_transposed.eq(self._tile == Tile.VALUE),
        ]
        m.d.comb += [self.load.enable.eq(load_enable), self.load.word.eq(load_word),
                     self.load.transposed.eq(load_transposed)]
        with m.If(self._stream_load | self._tile_issue):
            m.d.sync += count.eq(count + 1)
            with m.If(count == self.config.block_words - 1):
                m.d.sync += todo.eq(todo & ~lowest)
        return todo

    def _fail(self, m: Module, code: Error) -> None:
        m.d.sync += [self._state.eq(State.FAILED), self.error.eq(code)]

    def _packets(self, m: Module, wants: Signal) -> None:
        """Packet headers."""
        word = self._word
        kind = word[:4]
        hello = data.View(hello_layout, word[:hello_layout.size])
        write = data.View(write_layout, word[:write_layout.size])
        m.d.comb += self.hello.payload.eq(hello)
        self._target = Signal(Target)
        self._address = Signal(16, reset_less=True)
        self._left = Signal(10, reset_less=True)
        with m.If((self._state == State.PACKET) & ~self._padding):
            m.d.comb += wants.eq(1)
            with m.If(self.program.valid):
                with m.If(self._expect_hello):
                    m.d.comb += self._take.eq(1)
                    with m.If((kind != Kind.HELLO) | (hello.magic != MAGIC)):
                        self._fail(m, Error.BAD_MAGIC)
                    with m.Elif(hello.version != VERSION):
                        self._fail(m, Error.BAD_VERSION)
                    with m.Elif(hello.config_hash != self.config.config_hash()):
                        self._fail(m, Error.CONFIG_MISMATCH)
                    with m.Elif(hello.image_tokens > self.config.max_tokens):
                        self._fail(m, Error.TOO_MANY_TOKENS)
                    with m.Else():
                        m.d.comb += self.hello.valid.eq(1)
                        m.d.sync += self._expect_hello.eq(0)
                with m.Else():
                    self._dispatch(m, kind, write)
        with m.If(self._state == State.FINISH):
            m.d.comb += self.finished.eq(~self._slot_valid & ~self._step_valid & ~self._writing)

    def _dispatch(self, m: Module, kind: Value, write: data.View) -> None:
        word = self._word
        with m.Switch(kind):
            with m.Case(Kind.STEP):
                # The pending step must be under way before the next one replaces it.
                with m.If(~self._step_valid & ~self._slot_valid):
                    step = data.View(step_layout, word[:step_layout.size])
                    m.d.comb += self._take.eq(1)
                    with m.If(step.tokens > self.config.max_tokens):
                        self._fail(m, Error.TOO_MANY_TOKENS)
                    with m.Elif((step.source > max(Source)) | (step.tile > max(Tile)) | (step.post > max(Post))):
                        self._fail(m, Error.BAD_PACKET)
                    with m.Else():
                        m.d.sync += [self._step.eq(step), self._step_valid.eq(1), self._tile.eq(step.tile),
                                     self._tile_wait.eq(step.tile == Tile.KEY)]
            with m.Case(Kind.SLOT):
                m.d.sync += self._state.eq(State.SLOT_HEADER)
                self._header_word(m, first=True)
            with m.Case(Kind.WRITE):
                m.d.comb += self._take.eq(1)
                m.d.sync += [self._target.eq(write.target), self._address.eq(write.address),
                             self._left.eq(write.words)]
                with m.If((write.target == Target.EXP) | (write.target == Target.GELU)):
                    m.d.sync += self._state.eq(State.TABLE_WORD)
                with m.Else():
                    m.d.sync += self._state.eq(State.MEMORY)
                with m.If((write.words == 0) | (write.target > max(Target))):
                    self._fail(m, Error.BAD_PACKET)
            with m.Case(Kind.END):
                m.d.comb += self._take.eq(1)
                m.d.sync += self._state.eq(State.FINISH)
            with m.Default():
                self._fail(m, Error.BAD_PACKET)

    def _header_word(self, m: Module, *, first: bool) -> None:
        """Shift a header word in; after the last one, find out which clusters have work."""
        words = slot_header_words(self.config)
        raw = self._next.as_value()
        m.d.comb += self._take.eq(1)
        m.d.sync += raw.eq(self._word if words == 1 else Cat(raw[len(self._word):], self._word))
        if words == 1:
            m.d.sync += self._state.eq(State.SLOT_MASK)
        elif first:
            m.d.sync += self._header_left.eq(words - 1)
        else:
            m.d.sync += self._header_left.eq(self._header_left - 1)
            with m.If(self._header_left == 1):
                m.d.sync += self._state.eq(State.SLOT_MASK)

    def _slots(self, m: Module, wants: Signal, todo: Signal) -> None:
        """Blocks, tiles and parameters of a slot."""
        skip = Signal()
        words = column_parameter_words(self.config)
        parameters_left = Signal(range(words + 1))
        m.d.comb += self.parameter_load.payload.eq(self._word)
        with m.Switch(self._state):
            with m.Case(State.SLOT_HEADER):
                m.d.comb += wants.eq(1)
                with m.If(self.program.valid):
                    self._header_word(m, first=False)
            with m.Case(State.SLOT_MASK):
                # In the cycle in which a slot is taken the next one does not move up yet: whether it is taken is known
                # too late in that cycle.
                with m.If(~self._tile_wait & ~self._slot_valid):
                    m.d.sync += [self._slot.eq(self._next), todo.eq(self._mask), self._count.eq(0),
                                 skip.eq(self._mask == 0),
                                 parameters_left.eq(Mux(self._next.drain, words, 0)),
                                 self._slot.drain.eq(self._drain_mask),
                                 self._state.eq(Mux(self._tile == Tile.STREAM, State.BLOCKS, State.TILES))]
                    for cluster in range(self.config.clusters):
                        m.d.sync += self._slot.clusters[cluster].valid.eq(self._mask[cluster])
            with m.Case(State.BLOCKS):
                with m.If(todo == 0):
                    self._loaded(m, parameters_left, skip)
                with m.Else():
                    m.d.comb += wants.eq(1)
                    with m.If(self.program.valid):
                        m.d.comb += [self._take.eq(1), self._stream_load.eq(1)]
                        with m.If((self._count == self.config.block_words - 1) & (todo == self._lowest)):
                            self._loaded(m, parameters_left, skip)
            with m.Case(State.TILES):
                with m.If(todo != 0):
                    m.d.comb += self._tile_issue.eq(1)
                with m.Elif(~self._tiles_pending):
                    self._loaded(m, parameters_left, skip)
            with m.Case(State.PARAMETERS):
                # Parameters of a slot that was skipped, or whose draining cluster was, are read and thrown away.
                drops = ~self._slot.drain
                with m.If(drops | (self._parameter_sets != ColumnQueue.SETS)):
                    m.d.comb += wants.eq(1)
                    with m.If(self.program.valid):
                        m.d.comb += [self._take.eq(1), self.parameter_load.valid.eq(~drops)]
                        m.d.sync += parameters_left.eq(parameters_left - 1)
                        with m.If(parameters_left == 1):
                            m.d.comb += self._parameters_loaded.eq(~drops)
                            m.d.sync += [self._state.eq(State.PACKET), self._slot_valid.eq(~skip)]

    def _loaded(self, m: Module, parameters_left: Signal, skip: Signal) -> None:
        """The blocks are on their way: go on with the parameters, or offer the slot at once if it has none."""
        with m.If(parameters_left == 0):
            m.d.sync += [self._state.eq(State.PACKET), self._slot_valid.eq(~skip)]
        with m.Else():
            m.d.sync += self._state.eq(State.PARAMETERS)

    def _tables(self, m: Module, wants: Signal) -> None:
        """WRITE payloads."""
        part = self._part
        self._table_entries(m, wants)
        for port, target in ((self.norm_write, Target.NORM), (self.residual_write, Target.RESIDUAL)):
            m.d.comb += [
                port.valid.eq((self._state == State.MEMORY) & (self._target == target) & self.program.valid),
                port.address.eq(self._address),
                port.word.eq(part),
                port.data.eq(self._word),
            ]
        with m.Switch(self._state):
            with m.Case(State.MEMORY):
                m.d.comb += wants.eq(1)
                accepted = Mux(self._target == Target.NORM, self.norm_write.ready, self.residual_write.ready)
                with m.If(self.program.valid & accepted):
                    m.d.comb += self._take.eq(1)
                    m.d.sync += self._left.eq(self._left - 1)
                    # Norm parameters of a column take several words; a residual word holds one or two tokens.
                    last = column_parameter_words(self.config) - 1
                    with m.If(self._target == Target.NORM):
                        m.d.sync += part.eq(Mux(part == last, 0, part + 1))
                        with m.If(part == last):
                            m.d.sync += self._address.eq(self._address + 1)
                    with m.Else():
                        m.d.sync += self._address.eq(self._address + self.config.tokens_per_word)
                    with m.If(self._left == 1):
                        m.d.sync += [self._state.eq(State.PACKET), part.eq(0)]

    def _table_entries(self, m: Module, wants: Signal) -> None:
        """A table's word is taken at once and written while the decoder goes on, so that only the next one may wait."""
        left, per_word = self._entries_left, self.config.stream_bytes
        entries = Signal(8 * per_word, reset_less=True)
        address = Signal(8, reset_less=True)
        target = Signal(Target, name="table_target")
        for table, wanted in ((self.exp_table, Target.EXP), (self.gelu_table, Target.GELU)):
            m.d.comb += [table.enable.eq(self._writing & (target == wanted)), table.address.eq(address),
                         table.data.eq(entries[:8])]
        m.d.sync += [entries.eq(entries[8:]), address.eq(address + 1), left.eq(Mux(self._writing, left - 1, 0)),
                     self._writing.eq(left > 1)]
        with m.If((self._state == State.TABLE_WORD) & ~self._writing):
            m.d.comb += wants.eq(1)
            with m.If(self.program.valid):
                m.d.comb += self._take.eq(1)
                m.d.sync += [entries.eq(self._word), address.eq(self._address), target.eq(self._target),
                             left.eq(per_word), self._writing.eq(1), self._address.eq(self._address + per_word),
                             self._left.eq(self._left - 1)]
                with m.If(self._left == 1):
                    m.d.sync += self._state.eq(State.PACKET)
