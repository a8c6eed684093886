"""Sizes of the on-chip memories, from the configuration."""

from __future__ import annotations

from flows.contracts.hardware import ROW_BITS, WORD_BITS, HardwareConfig
from flows.documentation.diagrams.example import CONFIG, WORDS
from flows.documentation.svg import Drawing

ACCUMULATOR_BITS = 16 * 32 + 17
"""Sixteen sums and the row sum of the softmax."""


def sizes(config: HardwareConfig) -> list[tuple[str, int, int, int, str]]:
    """Memories whose sizes follow from the configuration: name, how many, words, bits of a word, what is in them."""
    tokens, groups, banks = config.group_tokens, config.groups, config.banks
    rows = config.slot_rows(config.max_tokens, drops=True)
    return [
        ("X", groups * banks, config.x_cols // banks * tokens, ROW_BITS, "layer-norm output"),
        ("A", groups * banks, config.act_cols // banks * tokens, ROW_BITS, "patches; queries, context; hidden"),
        ("S", groups * banks, config.score_cols // banks * tokens, ROW_BITS, "attention scores"),
        ("key/value", 1, config.kv_cols * config.max_tokens // config.rows_per_word, config.stream_bits,
         "keys and values"),
        ("residual", groups, config.residual_cols * tokens, WORD_BITS, "residual stream"),
        ("accumulators", groups * config.clusters, rows, ACCUMULATOR_BITS, "sums of running columns"),
        ("program FIFO", 1, config.fifo_words - 1, config.stream_bits, "program read ahead; a word more in a register"),
        ("image FIFO", 1, config.image_fifo_words - 1, config.stream_bits, "patches read ahead; likewise"),
        ("logits", 1, 2 << (config.class_cols - 1).bit_length(), WORD_BITS, "logits of two images"),
    ]


def draw_memories() -> str:
    """A bar per memory, in KiB."""
    rows = sizes(CONFIG)
    title = f"On-chip memories ({WORDS})"
    largest = max(count * words * bits for _, count, words, bits, _ in rows)
    drawing = Drawing(1000, 62 + 30 * len(rows), title)
    drawing.text(10, 22, title, size=15, bold=True)
    for index, (name, count, words, bits, what) in enumerate(rows):
        y = 40 + 30 * index
        total = count * words * bits
        drawing.text(10, y + 17, name, bold=True)
        drawing.text(125, y + 17, f"{count} x {words:,} x {bits} bits" if count > 1 else f"{words:,} x {bits} bits",
                     size=12)
        length = 330 * total / largest
        drawing.box(300, y + 3, length, 19, "memory", hint=f"{total:,} bits")
        drawing.text(308 + length, y + 17, f"{total / 8192:,.1f} KiB", size=12)
        drawing.text(725, y + 17, what, size=12, soft=True)
    return drawing.done()
