"""Fixtures that tests of several parts share."""

from __future__ import annotations

import pytest

from flows.contracts.errors import ConfigError


@pytest.fixture(name="tcl")
def fixture_tcl() -> None:
    """Skip where no Tcl interpreter is installed."""
    from flows.deliver.check import tcl_interpreter

    try:
        tcl_interpreter()
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _own_runs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of tests are kept apart from the user's."""
    monkeypatch.setenv("SIEVIT_RUNS", str(tmp_path_factory.getbasetemp() / "runs"))
