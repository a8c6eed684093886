"""Assembly of a program: steps are scheduled, and packets laid into the stream in the order the hardware needs them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flows.compile import layout
from flows.compile.cycles import estimate
from flows.compile.fit import check_fit
from flows.compile.layout import header_bytes, pack_image, parameter_words, weight_blocks
from flows.compile.lower_bound import step_cycles_bound
from flows.compile.schedule import Job, Problem, Schedule, schedule
from flows.compile.steps import Parameters, Step, network_steps
from flows.compile.writes import place_writes
from flows.contracts.artifact import SparseVit
from flows.contracts.hardware import BLOCK, PAGE_BYTES, HardwareConfig, ceil_div
from flows.contracts.program import (
    CLUSTER,
    END,
    HELLO,
    MAGIC,
    SLOT,
    STEP,
    VERSION,
    WRITE,
    Drop,
    Kind,
    Post,
    Tile,
)
from flows.contracts.timing import Timing


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled network.

    Attributes
    ----------
    stream : uint8 ``(words * stream_bytes,)``, what the hardware reads, up to the end of a page
    config : the hardware it is for
    manifest : JSON-compatible description: network, hashes, one entry per step, totals
    placements : one schedule per step, for dashboards and tests
    """

    stream: np.ndarray
    config: HardwareConfig
    manifest: dict
    placements: tuple[Schedule, ...]

    @property
    def words(self) -> int:
        """Length of the stream in words."""
        return self.stream.size // self.config.stream_bytes


def compile_program(artifact: SparseVit, config: HardwareConfig) -> Program:
    """Compile a network for a hardware configuration. A pure function: equal inputs give equal bytes.

    Raises
    ------
    ConfigError
        When the network is larger than the hardware.
    """
    check_fit(artifact, config)
    steps = network_steps(artifact, config)
    problems = [scheduling_problem(step, config) for step in steps]
    schedules = tuple(schedule(problem) for problem in problems)
    chunks = [chunk for index, (step, placed) in enumerate(zip(steps, schedules, strict=True))
              for chunk in _step_packets(index, step, placed, config)]
    stream = _finish_stream(chunks, artifact, config)
    manifest = _manifest(artifact, config, steps, problems, schedules, stream)
    return Program(stream, config, manifest, schedules)


def image_words(program: Program, patches: np.ndarray) -> np.ndarray:
    """Image buffer for int8 patches ``(tokens, patch inputs)``, see :func:`flows.compile.layout.pack_image`."""
    return pack_image(patches, program.manifest["tokens"], program.manifest["patch_inputs"], program.config)


def scheduling_problem(step: Step, config: HardwareConfig) -> Problem:
    """What the scheduler has to know of a step."""
    first_drain = 0
    if step.drops:
        wait = Timing.select(step.tokens, step.fields["heads"], Drop(step.fields["drop"]), config.row_cycles)
        first_drain = ceil_div(wait, config.streaming_cycles(step.tokens, drops=True))
    return Problem(
        jobs=tuple(Job(column.sources, column.last) for column in step.columns), clusters=config.clusters,
        banks=config.banks, drains=config.drains, first_drain=first_drain,
        columns_per_slot=config.rows_per_word if step.fields.get("image") else step.fields.get("norm", 0),
        # The drain needs both halves, so every key block has to exist.
        split=step.static or step.linear is not None)


def _finish_stream(chunks: list[np.ndarray], artifact: SparseVit, config: HardwareConfig) -> np.ndarray:
    """HELLO in front, END behind, zeros up to the end of the page."""
    end = header_bytes(config, (END, {"kind": Kind.END}))
    body = np.concatenate([*chunks, end])
    size = ceil_div(header_bytes(config, (HELLO, {})).size + body.size, PAGE_BYTES) * PAGE_BYTES
    hello = header_bytes(config, (HELLO, {
        "kind": Kind.HELLO, "magic": MAGIC, "version": VERSION, "config_hash": config.config_hash(),
        "words": size // config.stream_bytes,
        "resident": int(size // config.stream_bytes <= config.resident_words), "image_tokens": artifact.tokens,
        "image_words": layout.image_words(artifact.embed.weight.shape[1], config)}))
    stream = np.zeros(size, np.uint8)
    stream[:hello.size] = hello
    stream[hello.size:hello.size + body.size] = body
    return stream


def _step_packets(index: int, step: Step, placed: Schedule, config: HardwareConfig) -> Iterable[np.ndarray]:
    yield header_bytes(config, (STEP, {"kind": Kind.STEP, "index": index, **step.fields}))
    blocks = weight_blocks(step.linear) if step.linear is not None else None
    parameters = parameter_words(step.bias, step.mult, config)
    gaps = place_writes(step, placed, config)
    place = [{source: turn for turn, source in enumerate(column.sources)} for column in step.columns]
    last_drain = int(np.flatnonzero(placed.drain >= 0)[-1])
    for slot in range(placed.slots):
        for write in gaps.get(slot, ()):
            yield from _write_packet(write, config)
        yield _slot_header(config, step, placed, slot, place, last=slot == last_drain)
        if blocks is not None:
            for job, source in zip(placed.job[slot], placed.source[slot], strict=True):
                if job >= 0:
                    column = step.columns[job]
                    yield blocks[column.output, column.inputs[place[job][int(source)]]]
        if placed.drain[slot] >= 0:
            yield parameters[step.columns[placed.job[slot, placed.drain[slot]]].output]
    for write in gaps.get(placed.slots, ()):
        yield from _write_packet(write, config)


def _slot_header(config: HardwareConfig, step: Step, placed: Schedule, slot: int, place: list[dict[int, int]], *,
                 last: bool) -> np.ndarray:
    values: dict[str, int] = {"kind": Kind.SLOT}
    drain = int(placed.drain[slot])
    if drain >= 0:
        column = step.columns[placed.job[slot, drain]]
        values |= {"drain": 1, "drain_cluster": drain, "dest": column.dest, "dest_column": column.dest_column,
                   "key_block": column.key_block, "local_head": column.local_head, "head": column.head,
                   "capture": int(column.capture)}
        if placed.merge[slot] >= 0:
            values |= {"merge": 1, "merge_cluster": int(placed.merge[slot])}
        values["stats_last"] = int(last and step.fields["post"] == Post.RESIDUAL)
    if step.fields.get("norm") or step.fields.get("image"):
        values["need_columns"] = int(placed.source[slot].max()) + 1
    clusters = [(CLUSTER, _cluster_entry(step, int(job), int(source), place))
                for job, source in zip(placed.job[slot], placed.source[slot], strict=True)]
    return header_bytes(config, (SLOT, values), *clusters)


def _cluster_entry(step: Step, job: int, source: int, place: list[dict[int, int]]) -> dict[str, int]:
    if job < 0:
        return {}
    entry = {"valid": 1, "source_column": source}
    column = step.columns[job]
    if column.key_blocks:
        turn = place[job][source]
        entry |= {"tile_column": column.inputs[turn], "key_block": column.key_blocks[turn],
                  "local_head": column.local_head, "head": column.head, "capture": int(column.capture)}
    return entry


def _write_packet(write: Parameters, config: HardwareConfig) -> Iterable[np.ndarray]:
    words = write.rows.size // config.stream_bytes
    header = {"kind": Kind.WRITE, "target": write.target, "address": write.address, "words": words}
    yield header_bytes(config, (WRITE, header))
    yield write.rows.reshape(-1)


def _manifest(artifact: SparseVit, config: HardwareConfig, steps: list[Step], problems: list[Problem],
              schedules: tuple[Schedule, ...], stream: np.ndarray) -> dict:
    cycles = estimate(stream, config)
    entries = []
    for index, (step, problem, placed) in enumerate(zip(steps, problems, schedules, strict=True)):
        bound = problem.lower_bound()
        streamed = 0 if step.fields.get("tile", Tile.STREAM) != Tile.STREAM else step.blocks
        entries.append({
            "index": index, "name": step.name, "tokens": step.tokens, "static": step.static,
            "columns": len(step.columns), "blocks": step.blocks, "slots": placed.slots,
            "wait_slots": placed.waits, "drain_wait_slots": placed.drain_waits,
            "lower_bound_slots": bound, "useful_macs": step.useful_macs,
            "lower_bound_cycles": step_cycles_bound(problem.blocks_bound(),
                                                    config.streaming_cycles(step.tokens, drops=False), streamed,
                                                    len(step.columns), config),
            "expected_cycles": cycles.steps[index].cycles})
    totals = {key: sum(entry[key] for entry in entries)
              for key in ("columns", "blocks", "slots", "wait_slots", "drain_wait_slots", "lower_bound_slots",
                          "useful_macs", "lower_bound_cycles")}
    return {
        "model": artifact.model, "weights": artifact.weights, "artifact_hash": artifact.content_hash(),
        "config_hash": config.config_hash(), "tokens": artifact.tokens, "width": artifact.width,
        "patch_inputs": int(artifact.embed.weight.shape[1]), "classes": int(artifact.head.weight.shape[0]),
        "words": stream.size // config.stream_bytes, "word_bytes": config.stream_bytes, "block_bytes": BLOCK * BLOCK,
        "block": BLOCK, "resident": stream.size // config.stream_bytes <= config.resident_words,
        "static": all(step.static for step in steps), "steps": entries,
        "totals": {**totals, "expected_cycles": cycles.total}}
