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
