"""How fast the golden model is on one thread, measured in a process of its own.

The thread count of NumPy's matrix product is fixed when NumPy is loaded, so that a running process cannot change it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from flows.cache import ROOT
from flows.contracts.artifact import SparseVit, load_artifact, save_artifact
from flows.contracts.errors import SimulationError
from flows.contracts.preprocess import load_image, patch_codes
from flows.sim_flow import default_image
from sim.golden.network import Golden

TIMEOUT_SECONDS = 600.0
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def golden_images_per_second(artifact: SparseVit, images: int = 3) -> float:
    """Images per second of the golden model on one thread.

    Parameters
    ----------
    images : number of images to measure over

    Raises
    ------
    SimulationError
        When the measurement fails or takes longer than ten minutes.
    """
    environment = os.environ | dict.fromkeys(THREADS, "1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "artifact.safetensors"
        save_artifact(artifact, path)
        try:
            done = subprocess.run([sys.executable, "-m", "flows.golden_speed", str(path), str(images)], cwd=ROOT,
                                  env=environment, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS)
        except subprocess.SubprocessError as error:
            reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            raise SimulationError(f"the golden model's speed could not be measured: {reason}") from None
    return images / float(done.stdout)


def seconds(artifact: SparseVit, images: int) -> float:
    """Wall clock for that many images, one run before it not counted."""
    picture = patch_codes(load_image(default_image()), artifact)
    # Other tokens in the same places: cheap pictures that differ.
    batch = np.stack([np.concatenate([picture[:1], np.roll(picture[1:], turn, axis=0)]) for turn in range(images)])
    golden = Golden(artifact)
    golden.classify(batch[:1])
    begin = time.perf_counter()
    golden.classify(batch)
    return time.perf_counter() - begin


if __name__ == "__main__":
    print(seconds(load_artifact(Path(sys.argv[1])), int(sys.argv[2])))
