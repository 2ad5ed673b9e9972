"""A separate site for faults, repaired after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.faults.support import Site, temporary_site


@pytest.fixture(scope="session")
def ruin() -> Iterator[Site]:
    folder, site = temporary_site()
    with folder:
        try:
            yield site
        finally:
            site.close()


@pytest.fixture
def own(ruin: Site) -> Iterator[Site]:
    """The site with both services up; workers end with the test that starts them."""
    ruin.up()
    yield ruin
    ruin.end_workers()
    ruin.up()
