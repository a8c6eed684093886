"""Settings of the whole test run."""

from __future__ import annotations

import os

# Tests run in parallel; a spinning thread pool in each of them would take the cores from the simulations.
for _name, _value in {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0",
                      "OPENBLAS_NUM_THREADS": "1"}.items():
    os.environ.setdefault(_name, _value)
