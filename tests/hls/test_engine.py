"""The native engine: what it takes, what it refuses, and what it says."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from flows.contracts.artifact import TokenDrop
from flows.contracts.errors import MismatchError, SimulationError
from flows.contracts.program import HELLO, fields_width
from flows.contracts.registers import Error
from flows.hls_flow import run_of
from flows.sim_flow import compare_run
from hls_models import build
from hls_models.build import QUICK
from hls_models.headers import format_header, params_header
from hls_models.native import UNWRITTEN, Engine, EngineError
from sim import probes
from tests.accelerator.hardware import RESIDENT, TWO
from tests.factory import random_artifact
from tests.hls.networks import Case, check_engine, make_case


@pytest.fixture(name="engine", scope="module")
def fixture_engine() -> Engine:
    """The models of a small accelerator."""
    return Engine(TWO, QUICK)


@pytest.fixture(name="case", scope="module")
def fixture_case() -> Case:
    """A network that drops tokens, with three images."""
    return make_case(random_artifact(width=64, heads=2, depth=2, hidden=64, tokens=37, classes=21, seed=3,
                                     drop={0: TokenDrop("threshold", threshold=2 * 65536 // 37)}), TWO, (0, 1, 2))


def changed(stream: np.ndarray, field: str, value: int) -> np.ndarray:
    """The program with another value in its first packet."""
    place = next(index for index, (name, _) in enumerate(HELLO) if name == field)
    offset, width = fields_width(HELLO[:place]), HELLO[place][1]
    word = int.from_bytes(stream[:32].tobytes(), "little")
    word = word & ~((1 << width) - 1 << offset) | value << offset
    return np.concatenate([np.frombuffer(word.to_bytes(32, "little"), np.uint8), stream[32:]])


def images_of(case: Case) -> list[bytes]:
    """Image buffers."""
    frame = case.vector.frame
    return [frame.image, *frame.following]


def test_several_images(engine: Engine, case: Case) -> None:
    """Several images in one run give what each gives alone: nothing of one is left in the next."""
    stream = case.vector.program.stream
    together = engine.run(stream, images_of(case), record=True)
    assert together.registers["IMAGES_DONE"] == 3
    parts = np.split(together.records, np.flatnonzero((together.records["unit"] == probes.START_UNIT)
                                                      & (together.records["step"] == 0))[1:])
    for image, golden, part in zip(images_of(case), case.vector.golden, parts, strict=True):
        alone = engine.run(stream, [image], record=True)
        assert (alone.records[["unit", "step", "column", "token", "data"]]
                == part[["unit", "step", "column", "token", "data"]]).all()
        assert alone.logits(21)[0].tolist() == golden.logits.tolist()
        assert alone.tokens_kept == [golden.tokens[0]]
    assert together.logits(21).tolist() == [golden.logits.tolist() for golden in case.vector.golden]
    assert len({tuple(golden.tokens) for golden in case.vector.golden}) > 1


def test_resident_program() -> None:
    """A program that fits the store is read once, and gives the same for every image."""
    case = make_case(random_artifact(width=32, heads=1, depth=1, hidden=32, tokens=17, classes=5, seed=4), RESIDENT,
                     (0, 1))
    assert case.vector.program.manifest["resident"]
    result = Engine(RESIDENT, QUICK).run(case.vector.program.stream, images_of(case))
    assert result.logits(5).tolist() == [golden.logits.tolist() for golden in case.vector.golden]


def test_nothing_else_is_written(engine: Engine, case: Case) -> None:
    """Of the output buffer only the words of the classes."""
    result = engine.run(case.vector.program.stream, [case.image])
    assert (result.output[0, 64:] == UNWRITTEN).all()
    assert not (result.output[0, :42] == UNWRITTEN).all()
    assert result.records.size == 0


@pytest.mark.parametrize(("field", "value", "error"), [
    ("magic", 1, Error.BAD_MAGIC), ("kind", 2, Error.BAD_MAGIC), ("version", 99, Error.BAD_VERSION),
    ("config_hash", 5, Error.CONFIG_MISMATCH), ("words", 1 << 30, Error.WATCHDOG),
])
def test_refused_programs(engine: Engine, case: Case, field: str, value: int, error: Error) -> None:
    """The checks of the hardware, with its codes and texts."""
    with pytest.raises(EngineError, match=error.name) as caught:
        engine.run(changed(case.vector.program.stream, field, value), [case.image])
    assert caught.value.code == error


def test_too_many_tokens(engine: Engine, case: Case) -> None:
    """As in the hardware."""
    stream = changed(case.vector.program.stream, "image_tokens", 300)
    with pytest.raises(EngineError, match="TOO_MANY_TOKENS"):
        engine.run(stream, [bytes(len(case.image) // 37 * 300)])


def test_after_an_error(engine: Engine, case: Case) -> None:
    """A damaged packet ends the run, leaves the output alone, and does not hurt the next run."""
    stream = case.vector.program.stream.copy()
    stream[stream.size // 2 // 32 * 32:] = 0xFF
    with pytest.raises(EngineError, match="BAD_PACKET"):
        engine.run(stream, images_of(case))
    assert check_engine(engine, case).integers > 0


@pytest.mark.parametrize(("images", "message"), [([], "at least one image"), ([b"short"], "images of .* bytes, not 5")])
def test_refused_images(engine: Engine, case: Case, images: list[bytes], message: str) -> None:
    """Before any of them is read."""
    with pytest.raises(SimulationError, match=message):
        engine.run(case.vector.program.stream, images)


def test_refused_stream(engine: Engine) -> None:
    """No whole word."""
    with pytest.raises(SimulationError, match="no whole number of stream words"):
        engine.run(b"x", [b""])


def test_a_wrong_integer_is_found(engine: Engine, case: Case) -> None:
    """A patch code that differs shows at the first checkpoint behind it."""
    image = bytearray(case.image)
    image[32 * 5] ^= 0x40
    golden, program = case.vector.golden[0], case.vector.program
    result = engine.run(program.stream, [bytes(image)], record=True)
    with pytest.raises(MismatchError, match=r"step embed, embed, token 5, channel \d+: hardware -?\d+, golden -?\d+"):
        compare_run(golden, run_of(result, golden.logits.size), program)


def test_headers_are_deterministic() -> None:
    """Equal configurations give equal text, others another."""
    assert params_header(TWO) == params_header(TWO.replace(clock_mhz=1.0))
    assert params_header(TWO) != params_header(TWO.replace(banks=8))
    assert format_header() == format_header()
    assert f"CONFIG_HASH = 0x{TWO.config_hash():08x}u" in params_header(TWO)


def test_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second build of the same content compiles nothing; other flags are other content."""
    monkeypatch.setattr(build, "CACHE", tmp_path)
    made = build.build_units(TWO, ("-O0",))
    ctypes.CDLL(str(made))
    monkeypatch.setattr(build, "_compile", lambda *arguments: pytest.fail("compiled again"))
    assert build.build_units(TWO, ("-O0",)) == made
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


def test_compile_errors_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compiler says, and no file left behind."""
    monkeypatch.setattr(build, "CACHE", tmp_path)
    with pytest.raises(SimulationError, match="compiling the HLS models failed"):
        build.build_units(TWO, ("-DBLOCK=3",))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("shutil.which", lambda tool: None)
    with pytest.raises(SimulationError, match=r"missing system tool: g\+\+; install with"):
        build.build_units(TWO)
