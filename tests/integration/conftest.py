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
