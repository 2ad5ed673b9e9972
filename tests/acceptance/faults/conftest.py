"""A separate site for faults, repaired after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.faults.support import Site, temporary_site


@pytest.fixture(scope="session")
def faulty_site() -> Iterator[Site]:
    folder, site = temporary_site()
    with folder:
        try:
            yield site
        finally:
            site.close()


@pytest.fixture
def own(faulty_site: Site) -> Iterator[Site]:
    """The site with both services up; workers end with the test that starts them."""
    faulty_site.up()
    yield faulty_site
    faulty_site.end_workers()
    faulty_site.up()
