"""A thread beside the function that writes what it records, at most two seconds late."""

from __future__ import annotations

import time
from collections.abc import Callable

from qexp.store.reconnecting import ReconnectingConnection
from qexp.worker.context.journal import PostgresJournal
from qexp.worker.periodic import PeriodicThread

_PULSE = 1.0
"""Seconds between two writings."""
_IDLE = 10.0
"""Seconds after which the connection of an experiment that says nothing is given to others."""


class Recorder:
    """One thread for the life of a process; it writes the journal of the attempt that is under way."""

    def __init__(
        self,
        postgres: ReconnectingConnection,
        sample: Callable[[], None] = lambda: None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._postgres, self._sample, self._look = postgres, sample, look
        self._journal: PostgresJournal | None = None
        self._since = 0.0
        self._thread = PeriodicThread("qexp-recorder", self._write, _PULSE, "records are not written yet")

    def watch(self, journal: PostgresJournal) -> None:
        """Write what this journal buffers from now on."""
        self._since = time.monotonic()
        self._journal = journal
        self._thread.start()

    def leave(self) -> None:
        """Write no more of it: its attempt comes to its end, and writes the rest itself."""
        self._journal = None

    def _write(self) -> None:
        """Write what is buffered; if that fails, the attempt's end tries again and reports a failure."""
        journal = self._journal
        if journal is None or time.monotonic() - self._since < _PULSE:
            return
        self._look()
        self._sample()
        if journal.flush():
            self._since = time.monotonic()
        elif time.monotonic() - self._since > _IDLE:
            self._postgres.release()
