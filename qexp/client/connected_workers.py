"""Find the workers that use the embedded services, before these are stopped."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import psutil

from qexp import services
from qexp.client.client import Client
from qexp.errors import DatabaseTablesError, ServiceError
from qexp.settings import Settings
from qexp.store.reads.workers import WorkerView


def connected_workers(settings: Settings) -> Sequence[WorkerView]:
    """
    Return the living workers of the embedded Postgres; none if it is not running or has no tables.

    They run on this machine, since it has no other way in. A killed worker may have a fresh heartbeat, so its process
    is looked up.
    """
    url = services.database_url(settings)
    if url is None:
        return []
    try:
        found = Client(settings.model_copy(update={"database_url": url})).workers()
    except (ServiceError, DatabaseTablesError):  # without Postgres no worker can be harmed
        return []
    here = socket.gethostname()
    return [worker for worker in found if worker.host != here or psutil.pid_exists(worker.pid)]
