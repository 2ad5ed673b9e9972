"""A thread beside the function that writes what it records, at most two seconds late."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

import psycopg

from qexp.errors import QexpError
from qexp.store.line import Line
from qexp.truncation import single_line
from qexp.worker.context.journal import PostgresJournal

log = logging.getLogger(__name__)

_PULSE = 1.0
"""Seconds between two writings."""
_IDLE = 10.0
"""Seconds after which the connection of an experiment that says nothing is given to others."""


class Recorder:
    """One thread for the life of a process; it writes the journal of the attempt that is under way."""

    def __init__(
        self, line: Line, sample: Callable[[], None] = lambda: None, look: Callable[[], None] = lambda: None
    ) -> None:
        self._line, self._sample, self._look = line, sample, look
        self._journal: PostgresJournal | None = None
        self._since = 0.0
        self._pid = 0

    def watch(self, journal: PostgresJournal) -> None:
        """Write what this journal buffers from now on."""
        self._since = time.monotonic()
        self._journal = journal
        if self._pid != os.getpid():  # a fork takes no threads along
            self._pid = os.getpid()
            threading.Thread(target=self._run, name="qexp-recorder", daemon=True).start()

    def leave(self) -> None:
        """Write no more of it: its attempt comes to its end, and writes the rest itself."""
        self._journal = None

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(_PULSE):
            journal = self._journal
            if journal is None or time.monotonic() - self._since < _PULSE:
                continue
            try:
                self._look()
                self._sample()
                if journal.flush():
                    self._since = time.monotonic()
                elif time.monotonic() - self._since > _IDLE:
                    self._line.release()
            except (QexpError, psycopg.Error) as error:
                log.warning("what is recorded waits: %s", single_line(error))
            except Exception:
                log.exception("what is recorded waits")  # the attempt's end tries again, and says so if it fails
