"""The driver on the generated hardware: see ``bench_driver``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from boards.driver import Parameters
from boards.driver.mock import MockTransport
from flows.compile.program_file import save_program
from sim.accelerator import verilog_of
from sim.runner import Source, build, run
from tests.driver.register_script import observe
from tests.driver.tiny import OTHER, TINY, make_case, write_damaged


def test_driver_on_hardware(tmp_path: Path) -> None:
    """Images, batches, errors, time-outs, other configurations; the mock answers as the hardware does."""
    case = make_case(tmp_path / "main")
    make_case(tmp_path / "second", classes=33, seed=6)
    make_case(tmp_path / "other", OTHER)
    write_damaged(case, tmp_path / "damaged")
    save_program(case.program, tmp_path / "main.sievit")
    codes = np.stack([case.codes(image) for image in (1, 2)])
    golden = [case.golden(image) for image in codes]
    assert not np.array_equal(golden[0][0], golden[1][0])
    np.save(tmp_path / "codes.npy", codes)
    np.save(tmp_path / "logits.npy", np.stack([logits for logits, _ in golden]))
    (tmp_path / "kept.json").write_text(json.dumps([kept for _, kept in golden]))

    made = build(Source("vit_accel.v", verilog_of(TINY)), name="driver", toplevel="vit_accel")
    results = run(made, test_module="tests.driver.bench_driver", env={"SIEVIT_DRIVER": str(tmp_path)})
    assert len(results.tests) == 8

    params = Parameters.load(tmp_path / "main" / "params.json")
    mock = observe(MockTransport(params, case.golden), params, codes[0])
    hardware = [tuple(item) for item in json.loads((tmp_path / "observed.json").read_text())]
    assert len(hardware) > 500
    assert mock == hardware
