"""Waveforms: their names, the groups, and the files for GTKWave and Surfer."""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path

import pytest

from flows.compile import compile_program, config_for, image_words
from flows.contracts.errors import SimulationError
from sim.accelerator import Frame, MemoryOptions, build_accelerator, run_frames
from sim.traced_verilog import for_waveform
from sim.wave_files import Views, surfer_index, time_of, write_views
from sim.wave_hierarchy import Hierarchy, lz4_block, read_hierarchy
from sim.wave_units import Unit, groups_in, missing_in
from tests.factory import random_artifact, random_patches

HERE = Path(__file__).resolve().parent
COUNTER = {"counter.clk": 1, "counter.rst": 1, "counter.count": 8, "counter.hidden": 8}
CYCLE = 777


@pytest.fixture(name="wave", scope="module")
def fixture_wave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Waveform of a tiny network on a tiny accelerator."""
    artifact = random_artifact(width=32, heads=1, depth=1, hidden=32, tokens=9, patch_inputs=48, classes=5)
    config = config_for(artifact, clusters=1)
    program = compile_program(artifact, config)
    image = image_words(program, random_patches(artifact)).tobytes()
    built = build_accelerator(config, trace=True, optimize="-O0")
    (run,) = run_frames([Frame(program.stream.tobytes(), image, 5)], config, memory=MemoryOptions(latency=10),
                        built=built, trace=True, run_dir=tmp_path_factory.mktemp("wave"))
    assert run.wave is not None
    return run.wave


def listed(text: str, pattern: str) -> list[str]:
    """What a pattern finds at the beginnings of lines."""
    return re.findall(pattern, text, re.MULTILINE)


def test_every_unit_is_there(wave: Path) -> None:
    """The table of units names nothing that the circuit has not: a renamed signal fails here."""
    found = read_hierarchy(wave)
    assert missing_in(found) == []
    titles = [group.title for group in groups_in(found)]
    assert {"sequencer", "decoder", "axi memory", "token_drop", "key_value", "group 0"} <= set(titles)
    inside = {group.title for group in groups_in(found)[-1].groups}
    assert {"operands", "cluster 0", "drain", "residual", "norm_pass"} <= inside


def test_missing_is_noticed(wave: Path) -> None:
    """A signal and a unit that do not exist are named, optional ones are not; neither is shown."""
    units = (Unit("s", r"tb\.dut\.top\.core\.sequencer", "take nothing:d", "no"), Unit("none", r"tb\.no"),
             Unit("other", r"tb\.no", optional=True))
    found = read_hierarchy(wave)
    lost = missing_in(found, units)
    assert lost[0] == "tb.dut.top.core.sequencer.nothing" and lost[-1] == r"tb\.no" and len(lost) == 1 + 16 + 1
    (group,) = groups_in(found, units)
    assert [trace.name for trace in group.all_traces] == ["tb.dut.top.core.sequencer.take"]


def test_gtkwave_names_exist(wave: Path) -> None:
    """Every signal of the save file is in the waveform, with its range of bits, and groups are closed."""
    found = read_hierarchy(wave)
    text = write_views(wave).gtkwave.read_text()
    names = listed(text, r"^tb\..*$")
    declared = {name + found.ranges.get(name, "") for name in found.signals}
    assert len(names) > 300 and set(names) <= declared
    titles = listed(text, r"^-(.*)$")
    assert [titles.count(title) % 2 for title in set(titles)] == [0] * len(set(titles))
    assert "@420\ntb.dut.top.core.group0.cluster0.acc__0[31:0]" in text  # signed decimal
    assert "@22\ntb.dut.top.core.decoder.program__payload[255:0]" in text  # hexadecimal
    assert f'[dumpfile] "{wave}"' in text


def test_surfer_names_exist(wave: Path) -> None:
    """Every signal of the command file is in the waveform; formats go to the items that they are for."""
    found = read_hierarchy(wave)
    lines = write_views(wave).surfer.read_text().splitlines()
    items = [line.split()[1] for line in lines if re.match("variable_add|divider_add", line)]
    names = [line.split()[1] for line in lines if line.startswith("variable_add")]
    assert len(names) > 300 and set(names) <= set(found.signals)
    assert all(len(line.split()) == 2 for line in lines if line.startswith("divider_add"))
    at = items.index("tb.dut.top.core.group0.cluster0.acc__3")
    focus = lines.index(f"item_focus {surfer_index(at)}")
    assert lines[focus + 1] == "item_set_format Signed"
    # Surfer takes each dot for a level.
    scopes = found.scopes
    assert all(name.rpartition(".")[0] in scopes for name in names)
    assert not any(line.startswith("cursor_set") for line in lines)


def test_cycle_is_found_in_the_waveform(wave: Path) -> None:
    """The cursor stands where the testbench's counter shows the cycle."""
    if wave.suffix != ".vcd":
        pytest.skip("values are read from a VCD only")
    time, period = time_of(wave, CYCLE)
    values = dict(changes(wave, "tb.cycle", time + period))
    assert values[time] == CYCLE and values[time - period] == CYCLE - 1
    views = write_views(wave, CYCLE)
    assert f"cursor_set {time}\n" in views.surfer.read_text()
    assert listed(views.gtkwave.read_text(), r"^\*-\d+\.\d+ (\d+) ") == [str(time)]
    write_views(wave)


def changes(wave: Path, name: str, until: int) -> list[tuple[int, int]]:
    """When a signal of a VCD file changes, up to a time, and its values."""
    path: list[str] = []
    code, time, found = "", 0, []
    with wave.open() as lines:
        for line in lines:
            match line.split():
                case ["$scope", _, level, _]:
                    path.append(level)
                case ["$upscope", _]:
                    path.pop()
                case ["$var", _, _, its_code, its_name, *_] if ".".join([*path, its_name]) == name:
                    code = its_code
                case [text] if text.startswith("#"):
                    time = int(text[1:])
                    if time > until:
                        break
                case [text, its_code] if its_code == code:
                    found.append((time, int(text[1:], 2)))
    return found


def test_no_temporaries(wave: Path) -> None:
    """What Yosys made up is not traced, private signals of a component are."""
    names = [name.rpartition(".")[2] for name in read_hierarchy(wave).signals]
    assert not [name for name in names if re.match(r"\$\d|_\d+_$", name)]
    assert "_state" in names


def test_for_waveform() -> None:
    """Fields get plain names that nothing else has; temporaries are not traced; the rest stays."""
    text = ("module m;\n  wire [1:0] \\current.drop ;\n  wire current__drop;\n  reg [3:0] \\$12  = 4'h0;\n"
            "  wire _3_;\n  wire \\x$4[2] ;\n  wire [7:0] plain;\n  assign \\current.drop = { \\x$4[2] , \\$12 [0] };\n"
            "endmodule\n")
    assert for_waveform(text) == (
        "module m;\n  wire [1:0] current__drop_ ;\n  wire current__drop;\n"
        "  /*verilator tracing_off*/ reg [3:0] \\$12  = 4'h0; /*verilator tracing_on*/\n"
        "  /*verilator tracing_off*/ wire _3_; /*verilator tracing_on*/\n  wire x$4__2 ;\n  wire [7:0] plain;\n"
        "  assign current__drop_ = { x$4__2 , \\$12 [0] };\nendmodule\n")


def test_fst_of_verilator() -> None:
    """An FST file that Verilator has written (of ``counter.sv``)."""
    found = read_hierarchy(HERE / "counter.fst")
    assert found.signals.items() >= COUNTER.items()
    assert found.ranges["counter.hidden"] == "[7:0]"


@pytest.mark.parametrize("kind", [4, 6, 7])
def test_fst_packings(kind: int, tmp_path: Path) -> None:
    """The three ways in which the hierarchy of an FST file is packed."""
    plain = b"\xfe\0top\0\0\xfc\0\0note\0\x05\xfd\x10\0data [299:0]\0\xac\x02\0\x10\0ready\0\x01\x00\xff"
    packed = {4: lambda: _gzip(plain), 6: lambda: _literals(plain),
              7: lambda: bytes([len(_literals(plain))]) + _literals(_literals(plain))}[kind]()
    content = struct.pack(">Q", len(plain)) + packed
    file = tmp_path / "x.fst"
    file.write_bytes(struct.pack(">BQ", 0, 8 + 3) + b"abc" + struct.pack(">BQ", kind, 8 + len(content)) + content)
    found = read_hierarchy(file)
    assert found.signals == {"top.data": 300, "top.ready": 1}
    assert found.ranges == {"top.data": "[299:0]"}


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


def _literals(data: bytes) -> bytes:
    """An LZ4 block without any repetition."""
    assert 15 <= len(data) < 15 + 255
    return bytes([0xF0, len(data) - 15]) + data


def test_lz4_block() -> None:
    """Literals and a repetition that runs into itself; a damaged block is refused."""
    assert lz4_block(b"\x35abc\x03\x00\x50xyzuv", 17) == b"abcabcabcabcxyzuv"
    with pytest.raises(ValueError, match="offset"):
        lz4_block(b"\x35abc\x04\x00", 12)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.txt", b"", "a waveform ends with .vcd or .fst"),
    ("a.vcd", b"$scope module top $end\n", "a.vcd is damaged or was cut short"),
    ("a.vcd", b"$enddefinitions $end\n", "a.vcd has no signals"),
    ("a.fst", b"\x04\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x20garbage", "a.fst is damaged or was cut short"),
    ("a.fst", b"", "a.fst is damaged or was cut short"),
])
def test_unreadable(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    """One line that says what to do."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SimulationError, match=message):
        read_hierarchy(tmp_path / name)
    with pytest.raises(SimulationError, match="cannot read the waveform .*No such file"):
        read_hierarchy(tmp_path / "none.vcd")


def test_files_of_a_small_waveform(tmp_path: Path) -> None:
    """The whole content for a waveform with three signals; what is not there is not named."""
    wave = tmp_path / "dump.vcd"
    wave.write_text("$scope module tb $end\n$var wire 1 ! aclk $end\n$var wire 64 # cycle [63:0] $end\n$upscope $end\n"
                    "$enddefinitions $end\n")
    (tmp_path / "clock.json").write_text(json.dumps({"first_ps": 16000, "period_ps": 2000}))
    assert write_views(wave, 3) == Views.of(wave) == Views(tmp_path / "dump.gtkw", tmp_path / "dump.sucl")
    assert (tmp_path / "dump.sucl").read_text().splitlines()[1:] == [
        "divider_add clock", "variable_add tb.aclk", "variable_add tb.cycle", "item_focus c",
        "item_set_format Unsigned", "item_unfocus", "cursor_set 20000", "goto_cursor"]
    assert (tmp_path / "dump.gtkw").read_text().splitlines()[4:] == [
        "@800200", "-clock", "@28", "tb.aclk", "@24", "tb.cycle[63:0]", "@1000200", "-clock"]


def test_numbered_units_are_in_order() -> None:
    """Cluster 10 comes after cluster 9."""
    found = Hierarchy({f"tb.cluster{number}.x": 1 for number in (10, 9, 1)})
    groups = groups_in(found, (Unit("cluster {0}", r"tb\.cluster(\d+)", "x"),))
    assert [group.title for group in groups] == ["cluster 1", "cluster 9", "cluster 10"]
