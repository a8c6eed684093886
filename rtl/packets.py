"""Layouts of the program stream's packets, from the field lists that the compiler packs."""

from amaranth.lib import data

from flows.contracts.hardware import HardwareConfig
from flows.contracts.program import CLUSTER, HELLO, SLOT, STEP, WRITE, Fields, fields_width, slot_header_words

__all__ = ["cluster_layout", "fields_layout", "hello_layout", "slot_layout", "step_layout", "write_layout"]


def fields_layout(fields: Fields) -> data.StructLayout:
    """Structure of a field list, first field lowest."""
    return data.StructLayout(dict(fields))


hello_layout = fields_layout(HELLO)
step_layout = fields_layout(STEP)
cluster_layout = fields_layout(CLUSTER)
write_layout = fields_layout(WRITE)


def slot_layout(config: HardwareConfig) -> data.StructLayout:
    """Header of a SLOT packet: common fields, then one entry per cluster, padded to whole words."""
    used = fields_width(SLOT) + config.clusters * fields_width(CLUSTER)
    padding = slot_header_words(config) * config.stream_bits - used
    members = dict(SLOT) | {"clusters": data.ArrayLayout(cluster_layout, config.clusters)}
    return data.StructLayout(members | ({"padding": padding} if padding else {}))
