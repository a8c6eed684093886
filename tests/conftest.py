"""Fixtures that tests of several parts share."""

from __future__ import annotations

from collections.abc import Iterator

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


@pytest.fixture(autouse=True, scope="session")
def _own_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of tests are kept apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIEVIT_RUNS", str(tmp_path_factory.getbasetemp() / "runs"))
        yield
