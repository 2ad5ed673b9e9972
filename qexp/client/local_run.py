"""Read the facts that `qexp run` tells about other studies."""

from __future__ import annotations

from qexp.client.client import Client
from qexp.store.reads import waiting_beside as reads
from qexp.store.reads.waiting_beside import WaitingBeside


def waiting_beside(client: Client, study: str) -> WaitingBeside:
    """Count the experiments of other studies that wait on a study's queue."""
    with client.begin() as connection:
        return reads.waiting_beside(connection, study, client.settings.lease)
