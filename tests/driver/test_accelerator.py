"""The driver on the mock, which behaves as the hardware does (``test_hardware`` compares the two)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.driver import (
    Accelerator,
    ArrayBuffer,
    BusyError,
    ConfigMismatchError,
    DriverError,
    HardwareError,
    Parameters,
    ParametersError,
    PictureError,
    ProgramError,
    RunTimeoutError,
    TransportError,
)
from boards.driver.mock import MockTransport
from flows.compile.program_file import save_program
from flows.contracts.registers import Error, error_text
from tests.driver.tiny import OTHER, Case, make_case, write_damaged


def connect(case: Case, **options: Any) -> tuple[Accelerator, MockTransport]:
    """A driver with its program on a fresh mock."""
    transport = MockTransport(case.folder / "params.json", case.golden)
    driver = Accelerator(case.folder / "params.json", transport, **options)
    driver.load_program()
    return driver, transport


def edited(case: Case, folder: Path, *path: str, value: Any) -> Path:
    """params.json with another value at ``path``, beside the same program."""
    params = json.loads((case.folder / "params.json").read_text())
    entry = params
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    folder.mkdir(exist_ok=True)
    (folder / "params.json").write_text(json.dumps(params))
    shutil.copy(case.folder / "program.bin", folder)
    return folder / "params.json"


@pytest.mark.parametrize("interrupt", [True, False])
def test_inference(case: Case, interrupt: bool) -> None:
    driver, transport = connect(case, interrupt=interrupt)
    for image in range(3):
        logits, kept = case.golden(case.codes(image))
        result = driver.infer(case.codes(image))
        np.testing.assert_array_equal(result.logits, logits)
        assert list(result.tokens_kept) == kept == [9, 5]
        assert result.index == int(np.argmax(logits)) and result.name == f"class {result.index}"
        best = result.top(3)
        assert [index for index, _, _ in best] == np.argsort(-logits.astype(int), kind="stable")[:3].tolist()
        assert best[0] == (result.index, result.name, logits.max())
        assert result.seconds == pytest.approx(result.cycles / 200e6) and set(result.counters) >= {"SLOTS"}
    assert not transport.interrupt


def test_batches_reuse_and_grow_their_memory(case: Case) -> None:
    driver, transport = connect(case)
    codes = [case.codes(image) for image in range(5)]
    for count in (1, 5, 2):
        batch = driver.infer_batch(codes[:count])
        expected = np.stack([case.golden(image)[0] for image in codes[:count]])
        np.testing.assert_array_equal(batch.logits, expected)
        assert batch.indices == expected.argmax(1).tolist() and len(batch) == count
        assert batch.names == [f"class {index}" for index in batch.indices]
        assert transport.buffers == 3
    with pytest.raises(PictureError, match="at least one image"):
        driver.infer_batch([])


def test_context_manager_gives_everything_back(case: Case) -> None:
    transport = MockTransport(case.folder / "params.json", case.golden)
    with Accelerator(case.folder / "params.json", transport) as driver:
        driver.load_program()
        driver.infer(case.codes(0))
        assert transport.buffers == 3
    assert transport.buffers == 0
    with pytest.raises(DriverError, match="no program is loaded"):
        driver.infer(case.codes(0))


def test_pictures_and_files(case: Case, tmp_path: Path) -> None:
    from PIL import Image

    from flows.contracts.preprocess import patch_codes

    driver, _ = connect(case)
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    for resize in (True, False):
        logits, _ = case.golden(patch_codes(Image.fromarray(picture), case.artifact, resize=resize))
        for given in (picture, Image.fromarray(picture)):
            np.testing.assert_array_equal(driver.infer(given, resize=resize).logits, logits)
        np.testing.assert_array_equal(driver.classify(tmp_path / "picture.png", resize=resize).logits, logits)
    for wrong in (np.zeros((16, 48), np.int8), np.zeros((16, 16, 4), np.uint8), np.zeros((16, 16, 3)), "picture",
                  np.zeros((0, 16, 3), np.uint8)):
        with pytest.raises(PictureError):
            driver.infer(wrong)
    with pytest.raises(PictureError, match="no picture at"):
        driver.classify(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(PictureError, match="cannot be read"):
        driver.classify(tmp_path / "text.png")


@pytest.mark.parametrize("error", [code for code in Error if code])
def test_hardware_errors(case: Case, error: Error) -> None:
    """Code, name and text are the hardware's; the next run goes well."""
    driver, transport = connect(case)
    transport.fail_with = error.name
    with pytest.raises(HardwareError) as caught:
        driver.infer(case.codes(0))
    assert (caught.value.code, caught.value.name) == (error, error.name)
    assert f"{caught.value.name}: {caught.value.text}" == error_text(error) and caught.value.text in str(caught.value)
    assert caught.value.registers["ERROR"] == error and caught.value.registers["STATUS"] == 4
    driver.recover()
    np.testing.assert_array_equal(driver.infer(case.codes(0)).logits, case.golden(case.codes(0))[0])


def test_unknown_error_code(case: Case) -> None:
    assert Parameters.load(case.folder / "params.json").error(14)[0] == "UNKNOWN"


@pytest.mark.parametrize("interrupt", [True, False])
def test_time_out_and_recovery(case: Case, interrupt: bool) -> None:
    driver, transport = connect(case, interrupt=interrupt, timeout=0.5)
    transport.hang = True
    begin = transport.now()
    with pytest.raises(RunTimeoutError, match="no result within 0.5 s") as caught:
        driver.infer(case.codes(0))
    assert 0.5 <= transport.now() - begin < 0.6 and caught.value.registers["STATUS"] & 1
    with pytest.raises(BusyError, match="recover"):
        driver.infer(case.codes(0))
    driver.recover()
    assert driver.read("WATCHDOG") == 0
    np.testing.assert_array_equal(driver.infer(case.codes(1)).logits, case.golden(case.codes(1))[0])


def test_reset_when_nothing_else_helps(case: Case) -> None:
    driver, transport = connect(case)
    driver.infer(case.codes(0))
    transport.stuck = True
    with pytest.raises(RunTimeoutError):
        driver.infer(case.codes(0), timeout=0.1)
    with pytest.raises(DriverError, match="load the bitstream again"):
        driver.recover(timeout=0.1)
    transport.can_reset = True
    driver.recover(timeout=0.1)
    assert transport.resets == 1
    np.testing.assert_array_equal(driver.infer(case.codes(1)).logits, case.golden(case.codes(1))[0])


def test_lost_interrupt(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ended is seen even when its interrupt never came."""
    driver, transport = connect(case)

    def never(timeout: float) -> bool:
        transport.sleep(timeout)
        return False

    monkeypatch.setattr(transport, "wait_interrupt", never)
    np.testing.assert_array_equal(driver.infer(case.codes(0), timeout=0.1).logits, case.golden(case.codes(0))[0])


def test_buffers_must_be_aligned(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, transport = connect(case)
    monkeypatch.setattr(transport, "allocate", lambda nbytes: ArrayBuffer(np.zeros(nbytes, np.uint8), 0x1800))
    with pytest.raises(DriverError, match="0x1800, which is no multiple of 4096"):
        driver.infer(case.codes(0))


def test_memory_runs_out(case: Case) -> None:
    transport = MockTransport(case.folder / "params.json", case.golden, memory_bytes=1 << 15)
    driver = Accelerator(case.folder / "params.json", transport)
    driver.load_program()
    with pytest.raises(TransportError, match="full"):
        driver.infer_batch([case.codes(0)] * 20)


@pytest.mark.parametrize(("name", "key"), [("ID", "id"), ("VERSION", "version"), ("CONFIG_HASH", "config_hash")])
def test_wrong_bitstream(case: Case, tmp_path: Path, name: str, key: str) -> None:
    path = edited(case, tmp_path / "wrong", "hardware", key, value=0x1234)
    transport = MockTransport(case.folder / "params.json", case.golden)
    with pytest.raises(ConfigMismatchError, match=f"register {name} is .*, expected 0x00001234") as caught:
        Accelerator(path, transport)
    assert caught.value.expected == 0x1234


def test_parameters_that_cannot_be_used(case: Case, tmp_path: Path) -> None:
    transport = MockTransport(case.folder / "params.json", case.golden)
    cases = {"no parameters at": tmp_path / "none.json",
             "has format 9, this driver reads 1": edited(case, tmp_path / "new", "format", value=9),
             "is incomplete": edited(case, tmp_path / "less", "network", value={"model": "x"})}
    for name, text in {"damaged": "{", "no description": "[]"}.items():
        (tmp_path / f"{name}.json").write_text(text)
        cases[f"is {name}"] = tmp_path / f"{name}.json"
    for message, path in cases.items():
        with pytest.raises(ParametersError, match=message):
            Accelerator(path, transport)


def test_parameters_as_dictionary(case: Case) -> None:
    content = json.loads((case.folder / "params.json").read_text())
    driver = Accelerator(content, MockTransport(content, case.golden))
    driver.load_program(case.folder / "params.json")
    assert driver.network.class_names[3] == "class 3" and driver.network.tokens == 17


def test_registers_by_name(case: Case) -> None:
    driver, _ = connect(case)
    driver.write("IMAGES", 3)
    assert driver.read("IMAGES") == 3 and driver.read("TOKENS_KEPT", 31) == 0
    with pytest.raises(KeyError, match="no register 'CTRLS'; registers: CTRL, GIER"):
        driver.read("CTRLS")
    with pytest.raises(IndexError, match="entries 0 to 31, not 32"):
        driver.read("TOKENS_KEPT", 32)
    with pytest.raises(KeyError, match="register CTRL has no field 'go'"):
        driver.params.registers.mask("CTRL", "go")


class TestPrograms:
    """What is loaded, and what is refused before the hardware sees it."""

    def refused(self, case: Case, file: Path, error: type[DriverError], message: str) -> None:
        driver, _ = connect(case)
        with pytest.raises(error, match=message):
            driver.load_program(file)
        # The program from before is still there.
        np.testing.assert_array_equal(driver.infer(case.codes(0)).logits, case.golden(case.codes(0))[0])

    def test_container(self, case: Case, tmp_path: Path) -> None:
        """A file of 'sievit compile': the description of params.json is used when it is the same network."""
        save_program(case.program, tmp_path / "same.sievit")
        driver, _ = connect(case)
        assert driver.load_program(tmp_path / "same.sievit").takes_pictures
        other = make_case(tmp_path / "other", seed=9)
        save_program(other.program, tmp_path / "other.sievit")
        network = driver.load_program(tmp_path / "other.sievit")
        assert (network.tokens, network.patch_inputs, network.classes) == (17, 48, 20)
        assert driver.infer(case.codes(0)).name.startswith("class ")
        with pytest.raises(PictureError, match="does not say how pixels become patch codes"):
            driver.infer(case.picture(0))

    def test_another_networks_folder(self, case: Case, tmp_path: Path) -> None:
        make_case(tmp_path, classes=33)
        driver, _ = connect(case)
        assert driver.load_program(tmp_path / "params.json").classes == 33 == len(driver.network.class_names)

    def test_other_hardware(self, case: Case, tmp_path: Path) -> None:
        other = make_case(tmp_path, OTHER)
        save_program(other.program, tmp_path / "other.sievit")
        for file in ("params.json", "other.sievit"):
            self.refused(case, tmp_path / file, ConfigMismatchError,
                         f"compiled for hardware {OTHER.config_hash():08x}, this is")
        driver, _ = connect(case)
        driver.load_program(tmp_path / "params.json", check=False)
        with pytest.raises(HardwareError, match="CONFIG_MISMATCH"):
            driver.infer(case.codes(0))

    def test_damaged(self, case: Case, tmp_path: Path) -> None:
        path = edited(case, tmp_path / "a", "format", value=1)
        content = bytearray((case.folder / "program.bin").read_bytes())
        content[5000] ^= 1
        (tmp_path / "a" / "program.bin").write_bytes(content)
        self.refused(case, path, ProgramError, "damaged or not the program that was described")
        (tmp_path / "a" / "program.bin").unlink()
        self.refused(case, path, ProgramError, "no program at")
        save_program(case.program, tmp_path / "b.sievit")
        whole = (tmp_path / "b.sievit").read_bytes()
        for name, changed, message in (("flip", whole[:-9] + bytes([whole[-9] ^ 4]) + whole[-8:], "checksum differs"),
                                       ("cut", whole[:-4096], "damaged"), ("short", whole[:5], "damaged"),
                                       ("text", b"hello there", "no sievit program")):
            (tmp_path / name).write_bytes(changed)
            self.refused(case, tmp_path / name, ProgramError, message)
        self.refused(case, tmp_path / "none.sievit", ProgramError, "no program at")

    def test_damage_with_a_good_checksum_is_left_to_the_hardware(self, case: Case, tmp_path: Path) -> None:
        driver, _ = connect(case)
        driver.load_program(write_damaged(case, tmp_path))

    def test_other_versions(self, case: Case, tmp_path: Path) -> None:
        save_program(case.program, tmp_path / "a.sievit")
        content = (tmp_path / "a.sievit").read_bytes()
        (tmp_path / "a.sievit").write_bytes(content.replace(b'\\"format\\": 1', b'\\"format\\": 2'))
        self.refused(case, tmp_path / "a.sievit", ProgramError, "program format 2, this driver reads 1")
        save_program(case.program, tmp_path / "b.sievit")
        newer = edited(case, tmp_path / "newer", "hardware", "program_version", value=77)
        driver = Accelerator(newer, MockTransport(newer, case.golden))
        with pytest.raises(ProgramError, match="stream version 3, the hardware runs 77"):
            driver.load_program()
        strange = edited(case, tmp_path / "strange", "hardware", "magic", value=1)
        with pytest.raises(ProgramError, match="no program stream"):
            Accelerator(strange, MockTransport(strange, case.golden)).load_program()

    def test_description_of_another_network(self, case: Case, tmp_path: Path) -> None:
        path = edited(case, tmp_path / "a", "network", "tokens", value=26)
        self.refused(case, path, ProgramError, "does not belong to its description")
