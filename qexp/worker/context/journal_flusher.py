"""A thread that writes the journal of a running attempt to Postgres, at most two seconds late."""

from __future__ import annotations

import time
from collections.abc import Callable

from qexp.store.reconnecting import ReconnectingConnection
from qexp.worker.context.postgres_journal import PostgresJournal
from qexp.worker.periodic_thread import PeriodicThread

_INTERVAL = 1.0
"""Seconds between two flushes."""
_IDLE = 10.0
"""Seconds without records after which the connection is released."""


class JournalFlusher:
    """The thread of a process that flushes the journal of the running attempt."""

    def __init__(
        self,
        postgres: ReconnectingConnection,
        sample: Callable[[], None] = lambda: None,
        each_second: Callable[[], None] = lambda: None,
    ) -> None:
        self._postgres, self._sample, self._each_second = postgres, sample, each_second
        self._journal: PostgresJournal | None = None
        self._since = 0.0
        self._thread = PeriodicThread("qexp-flusher", self._write, _INTERVAL, "records are not written yet")

    def start(self, journal: PostgresJournal) -> None:
        """Flush this journal from now on."""
        self._since = time.monotonic()
        self._journal = journal
        self._thread.start()

    def stop(self) -> None:
        """Stop flushing; the attempt flushes the rest when it ends."""
        self._journal = None

    def _write(self) -> None:
        """Flush the journal; if that fails, the attempt flushes again when it ends, and reports a failure then."""
        journal = self._journal
        if journal is None or time.monotonic() - self._since < _INTERVAL:
            return
        self._each_second()
        self._sample()
        if journal.flush():
            self._since = time.monotonic()
        elif time.monotonic() - self._since > _IDLE:
            self._postgres.release()
