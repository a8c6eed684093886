"""Which signals of the accelerator to look at, unit by unit; the waveform says which of them there are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flows.contracts.hardware import BLOCK
from sim.wave_hierarchy import Hierarchy

FORMATS = {"h": "hex", "d": "unsigned", "s": "signed", "b": "binary"}


@dataclass(frozen=True)
class Unit:
    """A unit of ``rtl/`` and what is worth seeing of it.

    Attributes
    ----------
    title : name of the group; ``{0}`` stands for the number that ``scope`` matches
    scope : regular expression of the level's path, from the parent's level on
    signals : names, with a letter of :data:`FORMATS` behind a colon; one bit needs none
    lanes : signals of 16 signed lanes, shown lane by lane in a closed group
    parts : units inside
    optional : not every configuration has it
    """

    title: str
    scope: str
    signals: str = ""
    lanes: str = ""
    parts: tuple[Unit, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Trace:
    """A signal to show.

    Attributes
    ----------
    name : full name
    bits : range of its bits, as ``[7:0]``; empty for a single one
    format : of :data:`FORMATS`
    """

    name: str
    bits: str
    format: str


@dataclass(frozen=True)
class Group:
    """Signals under a title, and groups inside."""

    title: str
    traces: tuple[Trace, ...]
    groups: tuple[Group, ...] = ()
    closed: bool = False

    @property
    def all_traces(self) -> tuple[Trace, ...]:
        """Those of the groups inside too, in the order of the screen."""
        return self.traces + tuple(trace for group in self.groups for trace in group.all_traces)


_GROUP_PARTS = (
    Unit("operands", "operands", "take valid out_valid out_control:h operand:h x_write__enable x_write__column:d "
         "x_write__token:d x_write__data:h a_write__enable a_write__column:d a_write__token:d a_write__data:h "
         "s_write__enable s_write__column:d s_write__token:d s_write__data:h"),
    Unit("row_max", r"operands\.row_max", "i__valid i__payload:h token:d local_head:h maximum:h"),
    Unit("softmax exp {0}", r"operands\.exp(\d+)", "i__valid i__payload:h o__payload:h"),
    Unit("cluster {0}", r"cluster(\d+)", "i__valid i__payload:h load_enable load_transposed load_word:h valid "
         "row_sum:d acc:h", "acc"),
    Unit("drain", "drain", "parameter_load__valid take y_valid y_row:h y_info:h kv__enable kv__column:d kv__token:d "
         "kv__data:h a__enable a__column:d a__token:d a__data:h s__enable s__column:d s__token:d s__data:h "
         "logit__enable logit__column:d logit__data:h residual__valid residual__payload:h recip__valid "
         "recip__payload:h", "y", (
             Unit("column_queue", "column_queue", "parameter_load__valid started__valid take head:d count:d info:h "
                  "parameters:h"),
             Unit("requant", "requant", "i__valid o__valid o__payload:h"),
             Unit("gelu", "gelu", "i__valid i__payload:h o__valid o__payload:h"),
             Unit("softmax reciprocal", "reciprocal", "i__valid i__payload:d o__valid o__payload:h"),
             Unit("softmax normalise", "normalise", "i__valid o__valid o__payload:h"))),
    Unit("residual", "residual", "i__valid i__payload__column:d i__payload__token:d i__payload__index:d "
         "i__payload__keep i__payload__fused i__payload__weight:d written__valid written__payload__column:d "
         "written__payload__token:d written__payload__data:h statistic__valid statistic__payload__index:d "
         "statistic__payload__s1:s read_address:d read_data:h", "i__payload__y", (
             Unit("fuse", "fuse", "i__valid i__payload:h o__valid o__payload:h"),
             Unit("layer_norm rsqrt", "rsqrt", "i__valid i__payload:h o__valid o__payload:h"))),
    Unit("norm_pass", "norm_pass", "start running busy storing column:d token:d columns:d available:d "
         "statistic__valid write__enable write__column:d write__token:d", "", (
             Unit("layer_norm normalize", "normalize", "i__valid o__valid o__payload:h", "o__payload"),)),
    Unit("token_map", "token_map", "write__valid write__payload:h row:d place:h"),
)

UNITS = (
    Unit("clock", r"tb", "aclk aresetn cycle:d interrupt"),
    Unit("run", r"tb\.dut\.top", "state:d start clear busy done failed expired code:h progress images:d images_done:d"),
    Unit("control", r"tb\.dut\.top\.control", "bus__awvalid bus__awready bus__awaddr:h bus__wvalid bus__wready "
         "bus__wdata:h bus__arvalid bus__arready bus__araddr:h bus__rvalid bus__rready bus__rdata:h step:d tokens:d "
         "slots:d stall_memory:d stall_load:d stall_barrier:d stall_column:d stall_select:d"),
    Unit("axi memory", r"tb", "arvalid arready araddr:h arlen:d rvalid rready rlast rresp:d rdata:h awvalid awready "
         "awaddr:h awlen:d wvalid wready wlast wdata:h wstrb:h bvalid bready bresp:d"),
    Unit("axi_read", r"tb\.dut\.top\.axi_read", "idle error owner outstanding program__valid program__ready "
         "program__payload:h image__valid image__ready image__payload:h", "", (
             Unit("program", "program_client", "request__start request__address:h request__words:d left:d entries:d "
                  "want outstanding"),
             Unit("image", "image_client", "request__start request__address:h request__words:d left:d entries:d want "
                  "outstanding"))),
    Unit("axi_write", r"tb\.dut\.top\.axi_write", "start fsm_state:d busy error i__valid i__ready left:d beats:d"),
    Unit("program_store", r"tb\.dut\.top\.program_store", "state:d more i__valid i__ready o__valid o__ready last:d",
         optional=True),
    Unit("decoder", r"tb\.dut\.top\.core\.decoder", "_state:d program__valid program__ready program__payload:h "
         "waiting left:s hello__valid step__valid step__ready step__payload__index:d step__payload__kind:d "
         "slot__valid slot__ready slot__payload:h parameter_load__valid parameter_load__payload:h load__enable "
         "load__transposed load__word:h tile_column:d tile_key_block:d tile_word:d norm_write__valid "
         "residual_write__valid exp_table__enable gelu_table__enable finished error:h"),
    Unit("sequencer", r"tb\.dut\.top\.core\.sequencer", "step__valid step__ready go started current__index:d "
         "current__source:d current__tile:d current__post:d current__drop:d tokens:d slot__valid slot__ready take "
         "running cycle:d rows:d valid:b control__token:d control__start control__fused control__drain "
         "control__drain_cluster:d control__fresh:b control__active:b wait_step wait_columns wait_select columns:d "
         "draining_started draining__index:d idle"),
    Unit("image_loader", r"tb\.dut\.top\.core\.image_loader", "request__start words__valid words__ready loading "
         "available:d write__enable write__column:d write__token:d write__data:h"),
    Unit("key_value", r"tb\.dut\.top\.core\.key_value", "write__enable write__column:d write__token:d write__data:h "
         "column:d key_block:d word:d data:h"),
    Unit("token_drop", r"tb\.dut\.top\.core\.token_drop", "start busy fsm_state:d mode:d capture__valid "
         "capture__payload:h recip__valid recip__payload:h pivot:d quota:d count:d index:d token:d map_write__valid "
         "map_write__payload:h new_tokens:d dropped"),
    Unit("exchange of rows", r"tb\.dut\.top\.core\.row_exchange", optional=True),
    Unit("logits", r"tb\.dut\.top\.core\.logit_buffer", "write__enable write__column:d write__data:h send o__valid "
         "o__ready"),
    Unit("group {0}", r"tb\.dut\.top\.core\.group(\d+)", parts=_GROUP_PARTS),
)
"""The accelerator in ``sim/testbench.sv.j2``, from the outside to the inside."""


def groups_in(hierarchy: Hierarchy, units: tuple[Unit, ...] = UNITS) -> list[Group]:
    """The units that a waveform shows, with the signals that it has; none is named that it has not."""
    return [group for unit in units for group in _groups(hierarchy, sorted(hierarchy.scopes), unit, "")]


def missing_in(hierarchy: Hierarchy, units: tuple[Unit, ...] = UNITS) -> list[str]:
    """Signals of :data:`UNITS`, those of optional units left out, that a waveform does not have."""
    scopes = sorted(hierarchy.scopes)
    return [name for unit in units for name in _missing(hierarchy, scopes, unit, "")]


def _places(scopes: list[str], unit: Unit, parent: str) -> list[tuple[str, str]]:
    """Path and title of every level that is such a unit, in the order of their numbers."""
    pattern = re.compile((re.escape(parent) + r"\." if parent else "") + unit.scope)
    found = [(scope, match.groups()) for scope in scopes if (match := pattern.fullmatch(scope))]
    found.sort(key=lambda item: [int(number) for number in item[1]])
    return [(scope, unit.title.format(*numbers)) for scope, numbers in found]


def _groups(hierarchy: Hierarchy, scopes: list[str], unit: Unit, parent: str) -> list[Group]:
    made = []
    for scope, title in _places(scopes, unit, parent):
        inside = [_lane_group(hierarchy, scope, name) for name in unit.lanes.split()]
        inside += [group for part in unit.parts for group in _groups(hierarchy, scopes, part, scope)]
        made.append(Group(title, _traces(hierarchy, scope, unit.signals.split()),
                          tuple(group for group in inside if group.all_traces), closed=bool(parent)))
    return [group for group in made if group.all_traces]


def _traces(hierarchy: Hierarchy, scope: str, names: list[str]) -> tuple[Trace, ...]:
    found = []
    for item in names:
        name, _, letter = item.partition(":")
        full = f"{scope}.{name}"
        if full in hierarchy.signals:
            found.append(Trace(full, hierarchy.ranges.get(full, ""), FORMATS[letter or "b"]))
    return tuple(found)


def _lane_group(hierarchy: Hierarchy, scope: str, name: str) -> Group:
    return Group(f"{name} by lane", _traces(hierarchy, scope, [f"{name}__{lane}:s" for lane in range(BLOCK)]),
                 closed=True)


def _missing(hierarchy: Hierarchy, scopes: list[str], unit: Unit, parent: str) -> list[str]:
    places = _places(scopes, unit, parent)
    if not places:
        return [] if unit.optional else [f"{parent}.{unit.scope}".lstrip(".")]
    wanted = [item.partition(":")[0] for item in unit.signals.split()]
    wanted += [f"{name}__{lane}" for name in unit.lanes.split() for lane in range(BLOCK)]
    found = [f"{scope}.{name}" for scope, _ in places for name in wanted if f"{scope}.{name}" not in hierarchy.signals]
    return found + [name for scope, _ in places for part in unit.parts
                    for name in _missing(hierarchy, scopes, part, scope)]
