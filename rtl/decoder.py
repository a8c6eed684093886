"""Program decoder: turns the program stream into steps, slots, stationary blocks and table writes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK, WORD_BITS, HardwareConfig, ceil_div
from flows.contracts.program import (
    BLOCK_WORDS,
    COLUMN_PARAMETER_WORDS,
    MAGIC,
    VERSION,
    Kind,
    Post,
    Source,
    Target,
    Tile,
    slot_header_words,
)
from flows.contracts.registers import Error
from rtl.flow import Flow, TableWrite
from rtl.key_value import KeyValue
from rtl.packets import hello_layout, slot_layout, step_layout, write_layout

__all__ = ["BlockLoad", "Decoder", "WordWrite"]

TABLE_ENTRIES_PER_WORD = WORD_BITS // 8


class BlockLoad(wiring.Signature):
    """Stationary weights on their way into the clusters' shadow registers.

    Members
    -------
    enable : :py:`Out(clusters)`
        One bit per cluster.
    transposed : :py:`Out(1)`
    word : :py:`Out(256)`
    """

    def __init__(self, clusters: int) -> None:
        super().__init__({"enable": Out(clusters), "transposed": Out(1), "word": Out(WORD_BITS)})


class WordWrite(wiring.Signature):
    """Write of a stream word into a memory, with back-pressure.

    Members
    -------
    valid : :py:`Out(1)`
    ready : :py:`In(1)`
    address : :py:`Out(16)`
    word : :py:`Out(2)`
        Which word of the packet, counted up to 3 (norm parameters span three words).
    data : :py:`Out(256)`
    """

    def __init__(self) -> None:
        super().__init__({"valid": Out(1), "ready": In(1), "address": Out(16), "word": Out(2),
                          "data": Out(WORD_BITS)})


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
    TABLE_ENTRIES = 8
    MEMORY = 9
    FINISH = 10
    FAILED = 11


class Decoder(wiring.Component):
    """Reads packets, holds one decoded slot ahead of the sequencer, and loads its blocks meanwhile.

    Parameters
    ----------
    config : HardwareConfig

    Members
    -------
    program : :py:`In(stream.Signature(256))`
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
    swapped : :py:`In(1)`
        The blocks of the slot taken last have become active: shadow registers are free.
    parameters_taken : :py:`In(1)`
        The column parameters of the slot taken last have become active.
    tokens : :py:`In(9)`
        Tokens alive, for skipping key blocks.
    load : :py:`Out(BlockLoad(clusters))`
    tile_column, tile_key_block, tile_word : :py:`Out(...)`, tile_data : :py:`In(256)`
        Read port of the key/value memory.
    parameter_load : :py:`Out(Flow(256))`
        Column parameters, three words per draining slot.
    exp_table, gelu_table : :py:`Out(TableWrite())`
    norm_write, residual_write : :py:`Out(WordWrite())`
    finished : :py:`Out(1)`
        The END packet has been reached.
    waiting : :py:`Out(1)`
        The decoder wants a word and the stream has none.
    error : :py:`Out(4)`
        An ``Error``; other than 0, the decoder stays where it is until ``start``.

    Throughput
    ----------
    One stream word a cycle, one table entry a cycle.
    """

    def __init__(self, config: HardwareConfig) -> None:
        self.config = config
        self.slot_layout = slot_layout(config)
        super().__init__({
            "program": In(stream.Signature(WORD_BITS)),
            "clear": In(1),
            "start": In(1),
            "hello": Out(Flow(hello_layout)),
            "step": Out(stream.Signature(step_layout)),
            "slot": Out(stream.Signature(self.slot_layout)),
            "swapped": In(1),
            "parameters_taken": In(1),
            "tokens": In(9),
            "load": Out(BlockLoad(config.clusters)),
            "tile_column": Out(range(config.kv_cols)),
            "tile_key_block": Out(range(max(config.token_blocks, 2))),
            "tile_word": Out(3),
            "tile_data": In(WORD_BITS),
            "parameter_load": Out(Flow(WORD_BITS)),
            "exp_table": Out(TableWrite()),
            "gelu_table": Out(TableWrite()),
            "norm_write": Out(WordWrite()),
            "residual_write": Out(WordWrite()),
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
                         self._step_valid.eq(0), self._slot_valid.eq(0), self._shadow_busy.eq(0),
                         self._parameters_busy.eq(0), self._tile_wait.eq(0), self._part.eq(0)]
        return m

    def _count_words(self, m: Module) -> None:
        """Count the words that HELLO announces; those that END leaves are padding, and are thrown away."""
        left = Signal(32)
        self._padding = Signal()
        self._expect_hello = Signal()
        hello = data.View(hello_layout, self._word[:hello_layout.size])
        over = (self._state == State.FINISH) | ((self._state == State.PACKET) & self._expect_hello)
        m.d.comb += self._padding.eq(over & (left != 0))
        with m.If(self._padding):
            m.d.comb += self._take.eq(1)
        with m.If(self.clear):
            m.d.sync += left.eq(0)
        with m.Elif(self.hello.valid):
            m.d.sync += left.eq(hello.words - 1)
        with m.Elif(self.program.valid & self._take & (left != 0)):
            m.d.sync += left.eq(left - 1)

    def _hold(self, m: Module) -> None:
        """Registers of the pending step and slot, and what they wait for."""
        self._step = Signal(step_layout, reset_less=True)
        self._step_valid = Signal()
        self._slot = Signal(self.slot_layout, reset_less=True)
        self._slot_valid = Signal()
        self._shadow_busy = Signal()
        self._parameters_busy = Signal()
        self._tile_wait = Signal()
        self._header_left = Signal(range(max(slot_header_words(self.config), 2)))
        self._part = Signal(2)  # word of a column's norm parameters
        tile = Signal(Tile)
        self._tile = tile
        m.d.comb += [
            self.step.payload.eq(self._step),
            self.step.valid.eq(self._step_valid),
            self.slot.payload.eq(self._slot),
            self.slot.valid.eq(self._slot_valid),
        ]
        with m.If(self.swapped):
            m.d.sync += self._shadow_busy.eq(0)
        with m.If(self.parameters_taken):
            m.d.sync += self._parameters_busy.eq(0)
        with m.If(self.slot.valid & self.slot.ready):
            m.d.sync += [self._slot_valid.eq(0), self._shadow_busy.eq(1)]
            with m.If(self._slot.drain):
                m.d.sync += self._parameters_busy.eq(1)
        with m.If(self.step.valid & self.step.ready):
            m.d.sync += [self._step_valid.eq(0), self._tile_wait.eq(0)]

    def _skip(self, m: Module) -> None:
        """Which clusters have work: tiles of key blocks beyond the last token do not exist."""
        last = Signal(range(ceil_div(512, BLOCK)))
        m.d.sync += last.eq((self.tokens - 1)[4:])  # the tokens change only long before tiles are read
        attention = self._tile != Tile.STREAM
        masks = []
        for cluster in range(self.config.clusters):
            entry = self._slot.clusters[cluster]
            masks.append(entry.valid & ~(attention & (entry.key_block > last)))
        self._mask = Cat(masks)
        drain_valid: Value | int = 0
        for cluster, valid in enumerate(masks):
            drain_valid = drain_valid | (valid & (self._slot.drain_cluster == cluster))
        self._drain_mask = self._slot.drain & drain_valid

    def _blocks(self, m: Module) -> Signal:
        """Load port of the clusters: stream words pass straight on, tile words come out of a memory pipeline."""
        clusters = self.config.clusters
        todo = Signal(clusters)
        lowest = Signal(clusters)
        m.d.comb += lowest.eq(todo & (~todo + 1)[:clusters])
        count = Signal(range(BLOCK_WORDS))
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
        pending = Signal(range(KeyValue.LATENCY + 2))
        m.d.sync += pending.eq(Mux(self._tile_issue, KeyValue.LATENCY + 1, Mux(pending == 0, 0, pending - 1)))
        self._tiles_pending = pending != 0

        load_enable = Signal(clusters)
        load_word = Signal(WORD_BITS, reset_less=True)
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
            with m.If(count == BLOCK_WORDS - 1):
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
            m.d.comb += self.finished.eq(~self._slot_valid & ~self._step_valid)

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
                with m.If(~self._slot_valid):
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
        raw = self._slot.as_value()
        m.d.comb += self._take.eq(1)
        m.d.sync += raw.eq(self._word if words == 1 else Cat(raw[WORD_BITS:], self._word))
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
        parameters_left = Signal(range(COLUMN_PARAMETER_WORDS + 1))
        m.d.comb += self.parameter_load.payload.eq(self._word)
        with m.Switch(self._state):
            with m.Case(State.SLOT_HEADER):
                m.d.comb += wants.eq(1)
                with m.If(self.program.valid):
                    self._header_word(m, first=False)
            with m.Case(State.SLOT_MASK):
                with m.If(~self._tile_wait):
                    m.d.sync += [todo.eq(self._mask), self._count.eq(0), skip.eq(self._mask == 0),
                                 parameters_left.eq(Mux(self._slot.drain, COLUMN_PARAMETER_WORDS, 0)),
                                 self._slot.drain.eq(self._drain_mask),
                                 self._state.eq(Mux(self._tile == Tile.STREAM, State.BLOCKS, State.TILES))]
                    for cluster in range(self.config.clusters):
                        m.d.sync += self._slot.clusters[cluster].valid.eq(self._mask[cluster])
            with m.Case(State.BLOCKS):
                with m.If(todo == 0):
                    m.d.sync += self._state.eq(State.PARAMETERS)
                with m.Elif(~self._shadow_busy):
                    m.d.comb += wants.eq(1)
                    with m.If(self.program.valid):
                        m.d.comb += [self._take.eq(1), self._stream_load.eq(1)]
                        # Going on with the last word saves a cycle per slot where the decoder is the bottleneck.
                        with m.If((self._count == BLOCK_WORDS - 1) & (todo == self._lowest)):
                            m.d.sync += self._state.eq(State.PARAMETERS)
            with m.Case(State.TILES):
                with m.If(todo != 0):
                    m.d.comb += self._tile_issue.eq(~self._shadow_busy)
                with m.Elif(~self._tiles_pending):
                    m.d.sync += self._state.eq(State.PARAMETERS)
            with m.Case(State.PARAMETERS):
                with m.If(parameters_left == 0):
                    m.d.sync += [self._state.eq(State.PACKET), self._slot_valid.eq(~skip)]
                with m.Elif(~self._parameters_busy):
                    m.d.comb += wants.eq(1)
                    with m.If(self.program.valid):
                        m.d.comb += [self._take.eq(1), self.parameter_load.valid.eq(1)]
                        m.d.sync += parameters_left.eq(parameters_left - 1)
                        with m.If(parameters_left == 1):
                            m.d.sync += [self._state.eq(State.PACKET), self._slot_valid.eq(~skip)]

    def _tables(self, m: Module, wants: Signal) -> None:
        """WRITE payloads."""
        entries = Signal(WORD_BITS, reset_less=True)
        entries_left = Signal(range(TABLE_ENTRIES_PER_WORD + 1))
        part = self._part
        for table, target in ((self.exp_table, Target.EXP), (self.gelu_table, Target.GELU)):
            m.d.comb += [
                table.enable.eq((self._state == State.TABLE_ENTRIES) & (self._target == target)),
                table.address.eq(self._address),
                table.data.eq(entries[:8]),
            ]
        for port, target in ((self.norm_write, Target.NORM), (self.residual_write, Target.RESIDUAL)):
            m.d.comb += [
                port.valid.eq((self._state == State.MEMORY) & (self._target == target) & self.program.valid),
                port.address.eq(self._address),
                port.word.eq(part),
                port.data.eq(self._word),
            ]
        with m.Switch(self._state):
            with m.Case(State.TABLE_WORD):
                m.d.comb += wants.eq(1)
                with m.If(self.program.valid):
                    m.d.comb += self._take.eq(1)
                    m.d.sync += [entries.eq(self._word), entries_left.eq(TABLE_ENTRIES_PER_WORD),
                                 self._state.eq(State.TABLE_ENTRIES), self._left.eq(self._left - 1)]
            with m.Case(State.TABLE_ENTRIES):
                m.d.sync += [entries.eq(entries[8:]), entries_left.eq(entries_left - 1),
                             self._address.eq(self._address + 1)]
                with m.If(entries_left == 1):
                    m.d.sync += self._state.eq(Mux(self._left == 0, State.PACKET, State.TABLE_WORD))
            with m.Case(State.MEMORY):
                m.d.comb += wants.eq(1)
                accepted = Mux(self._target == Target.NORM, self.norm_write.ready, self.residual_write.ready)
                with m.If(self.program.valid & accepted):
                    m.d.comb += self._take.eq(1)
                    m.d.sync += self._left.eq(self._left - 1)
                    # A residual word has an address of its own, norm parameters take three words each.
                    with m.If(self._target == Target.NORM):
                        m.d.sync += part.eq(Mux(part == 2, 0, part + 1))
                        with m.If(part == 2):
                            m.d.sync += self._address.eq(self._address + 1)
                    with m.Else():
                        m.d.sync += self._address.eq(self._address + 1)
                    with m.If(self._left == 1):
                        m.d.sync += [self._state.eq(State.PACKET), part.eq(0)]
