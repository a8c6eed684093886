"""The hardware configuration: one frozen dataclass that RTL, golden model, compiler, driver and reports read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from flows.contracts.errors import ConfigError

BLOCK = 16
"""Edge of a weight block, lanes of every datapath, channels of an activation word."""

ROW_BITS = 8 * BLOCK
"""A row: 16 weights of one output, or 16 activation codes of one token."""

WORD_BITS = 16 * BLOCK
"""A word of the residual stream, of the norm parameters and of the logits: sixteen 16-bit numbers."""

PAGE_BYTES = 4096
"""Programs and images start at a multiple of this, and no burst crosses one."""

BURST_BYTES = 2048
"""Bytes of a full read burst."""

AHEAD_BYTES = 8 * BURST_BYTES
"""What the program may be ahead while an image is on its way: enough for the memory's latency and a few slots."""

MAX_TOKENS_LIMIT = 320
MAX_HEADS_LIMIT = 16


def ceil_div(a: int, b: int) -> int:
    """Smallest integer not below ``a / b``."""
    return -(-a // b)


def powers_of_two(first: int, last: int) -> tuple[int, ...]:
    """All powers of two from ``first`` to ``last``, which are powers of two themselves."""
    return tuple(1 << bits for bits in range(first.bit_length() - 1, last.bit_length()))


@dataclass(frozen=True)
class HardwareConfig:
    """Sizes of one accelerator instance.

    Every field that changes the generated circuit enters :meth:`config_hash`, which the compiler writes into a
    program, and which the hardware and the driver compare before they run it.

    Raises
    ------
    ConfigError
        When a field is out of range; the message names the field and the allowed values.
    """

    clusters: int = 4
    """MAC clusters of 16x16 (p_c): output block columns computed at the same time."""
    groups: int = 1
    """Token groups (p_t): token t belongs to group ``t mod groups``, which has clusters and memories of its own."""
    drains: int = 1
    """Shared post-processing pipelines: columns that may finish in one slot. Only 1 is implemented."""
    banks: int = 8
    """Banks of each activation memory: distinct block columns that can be streamed in one slot. Power of two."""
    max_tokens: int = 208
    """Largest number of tokens, CLS and fused token included. A multiple of 16, at most 320."""
    max_width: int = 192
    """Largest embedding width D. A multiple of 16."""
    max_hidden: int = 768
    """Largest MLP hidden width. A multiple of 16."""
    max_patch: int = 768
    """Largest patch vector (patch * patch * 3). A multiple of 16."""
    score_heads: int = 3
    """Heads whose attention scores are held at the same time."""
    max_classes: int = 1000
    """Largest number of classes of the head."""
    multiplier: str = "plain"
    """How a cluster multiplies: "plain" (one multiplier per MAC), or two MACs per slice, "dsp48e2" (UltraScale+) or
    "dsp48e1" (7 series). All give the same integers in the same cycles."""
    row_cycles: int = 1
    """Cycles from row to row of a slot: 1, 2 or 4. With 2 or 4, for small devices and one group, a row is worked on in
    as many parts, and every multiplier of the arrays and of the units behind them serves that many channels."""
    crossings: int = 0
    """Register stages on every path between the shared part and a token group, in each direction: 0, or 1 to 3 when
    groups lie on other dies."""
    bus_bits: int = 256
    """Data width of m_axi_gmem: 128, 256 or 512."""
    stream_bits: int = 256
    """Width of a word of the program, the image and the tiles: 256 or 512."""
    fifo_words: int = 512
    """Depth of the stream prefetch FIFO in stream words. Power of two."""
    image_fifo_words: int = 256
    """Depth of the image FIFO in stream words. Power of two. Large enough for a whole image, the next image's patches
    load while the current one runs."""
    lut_fifo_words: int = 0
    """Largest depth of FIFOs that are made of LUTs, for devices short of block RAM: 0 (synthesis chooses) to 512."""
    resident_words: int = 0
    """Depth of the on-chip program store in stream words: 0 (none) or a power of two. A program that fits is read from
    memory once per run, however many images the run has."""
    uram_words: int = 0
    """Smallest depth of memories that become UltraRAM, for devices that have it: 0 (none) or at least 512. The memories
    meant are those whose depth follows from these sizes, FIFOs and the program store included."""
    clock_mhz: float = 200.0
    """Target clock, for times in reports. Not part of the circuit."""

    def __post_init__(self) -> None:
        def need(ok: bool, field: str, allowed: str) -> None:
            if not ok:
                raise ConfigError(f"hardware.{field} must be {allowed}, not {getattr(self, field)!r}")

        need(1 <= self.clusters <= 16, "clusters", "1 to 16")
        need(self.groups in (1, 2, 4, 8), "groups", "1, 2, 4 or 8")
        need(self.drains == 1, "drains", "1 (more drain pipelines are not implemented)")
        need(self.banks in (2, 4, 8, 16), "banks", "2, 4, 8 or 16")
        need(16 <= self.max_tokens <= MAX_TOKENS_LIMIT and self.max_tokens % BLOCK == 0, "max_tokens",
             f"a multiple of 16 from 16 to {MAX_TOKENS_LIMIT}")
        need(self.max_width % BLOCK == 0 and 16 <= self.max_width <= 1024, "max_width",
             "a multiple of 16 from 16 to 1024")
        need(self.max_hidden % BLOCK == 0 and 16 <= self.max_hidden <= 4096, "max_hidden",
             "a multiple of 16 from 16 to 4096")
        need(self.max_patch % BLOCK == 0 and 16 <= self.max_patch <= 1024, "max_patch",
             "a multiple of 16 from 16 to 1024")
        need(1 <= self.score_heads <= MAX_HEADS_LIMIT, "score_heads", f"1 to {MAX_HEADS_LIMIT}")
        need(self.score_cols <= 1024, "score_heads", "small enough that score_heads * token blocks is at most 1024")
        need(1 <= self.max_classes <= 16384, "max_classes", "1 to 16384")
        need(self.multiplier in ("plain", "dsp48e2", "dsp48e1"), "multiplier", "plain, dsp48e2 or dsp48e1")
        need(self.row_cycles in (1, 2, 4), "row_cycles", "1, 2 or 4")
        need(self.row_cycles == 1 or self.groups == 1, "row_cycles", "1 with several groups")
        need(0 <= self.crossings <= 3, "crossings", "0 to 3")
        need(self.bus_bits in (128, 256, 512), "bus_bits", "128, 256 or 512")
        need(self.stream_bits in (256, 512), "stream_bits", "256 or 512")
        need(self.banks >= self.rows_per_word, "banks",
             f"at least {self.rows_per_word} with stream_bits {self.stream_bits}")
        need(self.fifo_words in powers_of_two(128, 16384), "fifo_words", "a power of two, 128 to 16384")
        need(self.image_fifo_words in powers_of_two(128, 8192), "image_fifo_words", "a power of two, 128 to 8192")
        need(0 <= self.lut_fifo_words <= 512, "lut_fifo_words", "0 to 512")
        need(self.resident_words in (0, *powers_of_two(1024, 262144)), "resident_words",
             "0 or a power of two, 1024 to 262144")
        need(self.uram_words == 0 or self.uram_words >= 512, "uram_words", "0 or at least 512")
        need(self.clock_mhz > 0, "clock_mhz", "above 0")

    @property
    def macs_per_cycle(self) -> int:
        """Peak multiply-accumulates per cycle."""
        return BLOCK * BLOCK * self.clusters * self.groups // self.row_cycles

    @property
    def part_cycles(self) -> int:
        """Further latency of a unit that works on a row in parts (``row_cycles``): it takes the row apart, and waits
        for the last part."""
        return self.row_cycles if self.row_cycles > 1 else 0

    @property
    def stream_bytes(self) -> int:
        """Bytes of a stream word."""
        return self.stream_bits // 8

    @property
    def rows_per_word(self) -> int:
        """Rows of a stationary block, or columns of a patch, in a stream word."""
        return self.stream_bits // ROW_BITS

    @property
    def tokens_per_word(self) -> int:
        """Tokens of the residual stream, 16 channels each, in a stream word."""
        return self.stream_bits // WORD_BITS

    @property
    def block_words(self) -> int:
        """Stream words of a stationary block."""
        return BLOCK // self.rows_per_word

    @property
    def group_tokens(self) -> int:
        """Tokens of one group."""
        return self.max_tokens // self.groups

    @property
    def fuse_stages(self) -> int:
        """Cycles in which the groups' parts of the fused token are joined: rows that pass by meanwhile."""
        adders = self.groups.bit_length() - 1
        return adders + self.round_trip if adders else 0

    @property
    def round_trip(self) -> int:
        """Cycles from the shared part to a group and back, beyond those without ``crossings``."""
        return 2 * self.crossings

    def slot_rows(self, tokens: int, *, drops: bool) -> int:
        """Rows (tokens of one group) that a slot streams; a step that drops tokens appends the fused token."""
        return ceil_div(tokens, self.groups) + (1 + self.fuse_stages if drops else 0)

    def streaming_cycles(self, tokens: int, *, drops: bool) -> int:
        """Cycles in which a slot streams its rows."""
        return self.row_cycles * self.slot_rows(tokens, drops=drops)

    @property
    def token_blocks(self) -> int:
        """Blocks of 16 tokens in ``max_tokens``."""
        return self.max_tokens // BLOCK

    @property
    def score_stride(self) -> int:
        """Score columns reserved per head: ``token_blocks`` rounded up to whole banks."""
        return ceil_div(self.token_blocks, self.banks) * self.banks

    @property
    def score_cols(self) -> int:
        """Columns (16 keys each) of the score memory."""
        return self.score_stride * self.score_heads

    @property
    def x_cols(self) -> int:
        """Columns (16 channels each) of the layer-norm output memory."""
        return ceil_div(self.max_width // BLOCK, self.banks) * self.banks

    @property
    def act_cols(self) -> int:
        """Columns of the activation memory: patches, or hidden activations, or queries followed by context."""
        cols = max(self.max_hidden, self.max_patch, 2 * self.max_width) // BLOCK
        return ceil_div(cols, self.banks) * self.banks

    @property
    def kv_cols(self) -> int:
        """Columns of the key/value memory: keys first (``max_width / 16``), then values."""
        return 2 * self.max_width // BLOCK

    @property
    def residual_cols(self) -> int:
        """Columns of the residual memory."""
        return self.max_width // BLOCK

    @property
    def class_cols(self) -> int:
        """Columns of the logit memory."""
        return ceil_div(self.max_classes, BLOCK)

    def replace(self, **changes: object) -> HardwareConfig:
        """A copy with some fields changed (and validated again)."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, object]:
        """All fields, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> HardwareConfig:
        """The inverse of :meth:`to_dict`; unknown fields are refused."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := set(values) - known:
            raise ConfigError(f"unknown hardware field {min(unknown)!r}; known: {', '.join(sorted(known))}")
        return cls(**values)  # type: ignore[arg-type]

    def config_hash(self) -> int:
        """32 bits over every field that changes the circuit."""
        fields = self.to_dict()
        del fields["clock_mhz"]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
