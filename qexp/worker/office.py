"""What a worker's main process keeps in Postgres: that it is there, and what became of children that died."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from qexp import broker
from qexp.client import Client
from qexp.errors import ServiceError
from qexp.model import Failure
from qexp.settings import Settings
from qexp.store import hot
from qexp.store.connect import connect
from qexp.worker.dispatcher import Dispatcher
from qexp.worker.trace import fingerprint

log = logging.getLogger(__name__)


class Office:
    """The main process's side of a worker; opens a connection for each of its rare statements."""

    def __init__(self, settings: Settings, worker: UUID) -> None:
        self.settings, self.worker = settings, worker
        self._dispatcher = Dispatcher(settings, worker)

    def open(self) -> None:
        """Begin what goes on beside the experiments."""
        self._dispatcher.start()

    def arrive(self, name: str, queues: Sequence[str], concurrency: int) -> None:
        """Register the worker, with the schema current, before it takes anything."""
        broker.check(self.settings)
        Client(self.settings).migrate()
        with connect(self.settings) as raw:
            hot.register(raw, self.worker, hot.Station(socket.gethostname(), os.getpid(), name, queues, concurrency))

    def record_crash(self, ids: Sequence[int], pid: int, reason: str) -> None:
        """End the attempts that a dead child was at."""
        reason = reason.removeprefix("Worker exited prematurely: ").partition(" Job:")[0].rstrip(".")
        kind = "ProcessDied"
        error = hot.Error(Failure.CRASHED, kind, f"its process died: {reason}", fingerprint=fingerprint(kind, [reason]))
        with self._logging_losses(), connect(self.settings) as raw:
            for experiment, due in hot.crash(raw, ids, self.worker, pid, error).items():
                again = "" if due is None else f"; its next attempt is due at {due:%H:%M:%S %Z}"
                log.error("experiment %d: its process %d died: %s%s", experiment, pid, reason, again)

    def give_back(self) -> None:
        """Return what is running to Postgres, announce it anew, and leave: a cold shutdown kills the children next."""
        self._dispatcher.stop()
        with self._logging_losses():
            with connect(self.settings) as raw:
                released = hot.release(raw, self.worker)
                hot.leave(raw, self.worker)
            for experiment, _ in released:
                log.warning("experiment %d: given back, the worker stops at once", experiment)
            Client(self.settings).announce_studies(sorted({study for _, study in released}))

    def leave(self) -> None:
        """Say that the worker has stopped."""
        self._dispatcher.stop()
        with self._logging_losses(), connect(self.settings) as raw:
            hot.leave(raw, self.worker)

    @contextmanager
    def _logging_losses(self) -> Iterator[None]:
        """Log that a service is out of reach: Celery's main process must go on whatever Postgres does."""
        try:
            yield
        except ServiceError as error:
            log.error("%s", error)
