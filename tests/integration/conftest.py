"""What tests of the store share."""

import uuid

import pytest

from qexp.store import leases


@pytest.fixture
def worker(raw):
    """Register workers, of which none is a process."""

    def worker():
        made = uuid.uuid4()
        leases.register(raw, made, leases.Station("here", 1, "worker@here", ["nobody"], 2))
        return made

    return worker


@pytest.fixture
def intact(raw):
    """Since when Postgres has forgotten nothing, as workers know."""
    return raw.execute("SELECT since FROM intact").fetchone()[0]
