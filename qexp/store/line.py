"""A connection that comes back: opened when it is needed, again when it was lost, given up while it is not."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from qexp.errors import DatabaseUnreachableError
from qexp.settings import Settings
from qexp.store.connect import Raw, connect
from qexp.truncation import single_line

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 600.0
"""Seconds to wait for a Postgres that is away: what an attempt has to say may have taken days."""


class Line:
    """
    One connection for the threads of a process, opened after a fork anew.

    What is done over it must be safe to repeat: a connection may be lost after the server has done it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._raw: Raw | None = None
        self._pid = 0
        self._lock = threading.RLock()
        self.most_patience = PATIENCE
        """Seconds to wait at most, whatever is asked for; less where the reason may be this process itself."""

    def do(
        self,
        action: Callable[[Raw], T],
        what: str,
        patience: float = PATIENCE,
        waiting: Callable[[], None] | None = None,
    ) -> T:
        """
        Return what *action* gives, called again for *patience* seconds while Postgres is away.

        *waiting* is called before each time that is waited.

        Errors that Postgres answers with are the caller's; DatabaseUnreachableError or OperationalError when the
        patience is at its end.
        """
        deadline, pause = time.monotonic() + min(patience, self.most_patience), 0.1
        while True:
            try:
                with self._lock:
                    return action(self._connection())
            except (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnreachableError) as error:
                if _answered(error):
                    raise
                if waiting is not None:
                    waiting()
                if time.monotonic() > deadline:
                    raise
                self.release()
                log.warning("%s waits for Postgres: %s", what, single_line(error))
            time.sleep(pause)
            pause = min(2 * pause, 10.0)

    def release(self) -> None:
        """Close the connection until it is needed again."""
        with self._lock:
            raw, self._raw = self._raw, None
            if raw is not None and self._pid == os.getpid():
                raw.close()

    def _connection(self) -> Raw:
        if self._raw is None or self._raw.closed or self._pid != os.getpid():
            self._raw, self._pid = connect(self.settings), os.getpid()
        return self._raw


def _answered(error: Exception) -> bool:
    """Say whether Postgres itself refused, rather than being away, shutting down or breaking a deadlock."""
    state = getattr(error, "sqlstate", None)
    return state is not None and not state.startswith(("08", "40", "57"))
