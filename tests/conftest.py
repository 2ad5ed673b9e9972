"""A site of its own for the tests: an embedded Postgres and Valkey in a temporary home, ended with the session."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from qexp import services, settings
from qexp.client import Client
from qexp.store.connect import Raw, connect

for name in [name for name in os.environ if name.startswith("QEXP_")]:
    del os.environ[name]  # a developer's own site is not the tests'


@pytest.fixture(scope="session")
def site() -> Iterator[settings.Settings]:
    """Both services, running, as the environment of this process and its children has them."""
    with tempfile.TemporaryDirectory(prefix="qexp-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("QEXP_HOME", str(Path(folder) / "home"))
        patch.setenv("HOME", folder)
        loaded = settings.trace()
        services.up(loaded)
        try:
            yield settings.load()
        finally:
            services.down(loaded.values)


@pytest.fixture
def client(site: settings.Settings) -> Client:
    """A client of a site whose tables exist; studies of earlier tests are still there."""
    made = Client(site)
    made.migrate()
    return made


@pytest.fixture
def raw(client: Client) -> Iterator[Raw]:
    """A psycopg connection in autocommit mode."""
    with connect(client.settings) as connection:
        yield connection
