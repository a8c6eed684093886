"""One case for the tests that need no simulator."""

from __future__ import annotations

import pytest

from tests.driver.tiny import Case, make_case


@pytest.fixture(name="case", scope="session")
def fixture_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Do not change the files of its folder."""
    return make_case(tmp_path_factory.mktemp("case"))
