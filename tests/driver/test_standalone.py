"""The driver runs where nothing of this project is installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.driver.tiny import Case

SCRIPT = '''
import importlib.abc, sys

class Blocker(importlib.abc.MetaPathFinder):
    """Only the standard library, NumPy and what lies beside params.json."""
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ImportError(f"blocked: {name}")

allowed = set(sys.stdlib_module_names) | {"numpy", "vit_accel"}
folder = sys.argv[1]
sys.meta_path.insert(0, Blocker())
sys.path.insert(0, folder)
import numpy as np
import vit_accel
from vit_accel import pynq_transport, uio_transport, xrt_transport
from vit_accel.mock import MockTransport

picture = np.load(f"{folder}/picture.npy")
seen = []
def network(codes):
    seen.append(codes.copy())
    return np.arange(20) * (codes[1, 0] % 2 or 1), [9, 5]

with vit_accel.Accelerator(f"{folder}/params.json", MockTransport(f"{folder}/params.json", network)) as driver:
    driver.load_program()
    result = driver.infer(picture)
    try:
        driver.classify("picture.png")
    except vit_accel.PictureError as error:
        print(error)
    for make in (lambda: pynq_transport.PynqTransport("x.bit"), lambda: xrt_transport.XrtTransport("x.xclbin"),
                 lambda: uio_transport.UioTransport("/dev/none", "/dev/none")):
        try:
            make()
        except vit_accel.TransportError as error:
            print(error)
np.save(f"{folder}/seen.npy", seen[0])
print(result.name, result.tokens_kept)
'''


def test_without_the_project(case: Case, tmp_path: Path) -> None:
    from PIL import Image

    from flows.contracts.preprocess import patch_codes
    from flows.driver_params import write_driver

    write_driver(case.program, case.artifact, tmp_path)
    picture = np.random.default_rng(4).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    np.save(tmp_path / "picture.npy", picture)
    done = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path)], cwd=tmp_path, text=True,
                          capture_output=True, check=False, timeout=60, env={})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("reading picture files needs Pillow")
    assert lines[1].startswith("the package pynq is not installed")
    assert lines[2].startswith("XRT cannot be used")
    assert lines[3].startswith("/dev/none or /dev/none cannot be used")
    assert lines[4] == "class 19 (9, 5)"
    np.testing.assert_array_equal(np.load(tmp_path / "seen.npy"), patch_codes(Image.fromarray(picture), case.artifact))


def test_syntax_of_python_3_8(case: Case) -> None:
    """The grammar, and of annotations nothing that is evaluated."""
    files = sorted((case.folder / "vit_accel").glob("*.py"))
    assert len(files) > 8
    for path in files:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        assert futures or path.name == "__init__.py", path.name
        for node in ast.walk(tree):
            # Later than 3.8: zip(strict=), dict | dict, str.removeprefix; types are subscripted in annotations only.
            assert not (isinstance(node, ast.keyword) and node.arg == "strict"), path.name
            assert not (isinstance(node, ast.Attribute) and node.attr in ("removeprefix", "removesuffix")), path.name
