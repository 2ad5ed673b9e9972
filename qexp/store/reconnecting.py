"""A connection to Postgres that is opened when needed, and again after it was lost."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg

from qexp.current_process import is_this_process
from qexp.errors import DatabaseUnreachableError, ServiceError
from qexp.settings import Settings, place
from qexp.store.connection import RawConnection, connect, unreachable
from qexp.truncation import single_line

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 600.0
"""Seconds to wait for Postgres: the result of an attempt may have taken days."""
REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.InternalError,
    psycopg.NotSupportedError,
    psycopg.ProgrammingError,
    ValueError,
    OverflowError,
)
"""Errors by which Postgres or its driver refuses a statement or a value; a retry would fail too."""


class ReconnectingConnection:
    """
    One connection for the threads of a process. After a fork, the child opens its own.

    Actions must be safe to repeat: the connection may be lost after the server has executed them.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._raw: RawConnection | None = None
        self._pid = 0
        self._lock = threading.RLock()
        self.most_patience = PATIENCE
        """The most seconds to wait in any call; smaller while this process itself may be the reason."""

    def run(
        self,
        action: Callable[[RawConnection], T],
        what: str,
        patience: float = PATIENCE,
        waiting: Callable[[], None] | None = None,
    ) -> T:
        """
        Call *action* and return its result; repeat it for *patience* seconds while Postgres is away.

        *waiting* is called before each pause. Raises DatabaseUnreachableError if Postgres is still away then, and
        ServiceError if it lacks resources such as disk space. Other errors, the REFUSALS, pass unchanged.
        """
        deadline, pause = time.monotonic() + min(patience, self.most_patience), 0.1
        while True:
            try:
                with self._lock:
                    return action(self._connection())
            except (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnreachableError) as error:
                answered = _answered(error)
                if waiting is not None and not answered:
                    waiting()
                if answered or time.monotonic() > deadline:
                    with translated(self.settings):
                        raise
                self.release()
                log.warning("%s waits for Postgres: %s", what, single_line(error))
            time.sleep(pause)
            pause = min(2 * pause, 10.0)

    def release(self) -> None:
        """Close the connection until it is needed again."""
        with self._lock:
            raw, self._raw = self._raw, None
            if raw is not None and is_this_process(self._pid):
                raw.close()

    def _connection(self) -> RawConnection:
        if self._raw is None or self._raw.closed or not is_this_process(self._pid):
            self._raw, self._pid = connect(self.settings), os.getpid()
        return self._raw


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Translate psycopg's errors about a Postgres that is away, or that lacks resources, into a ServiceError."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if _answered(error):
            raise ServiceError(f"Postgres at {place(settings.database_url or '')}: {single_line(error)}") from error
        raise unreachable(settings, error) from error


def _answered(error: Exception) -> bool:
    """Say whether Postgres itself refused, rather than being away, shutting down or breaking a deadlock."""
    state = getattr(error, "sqlstate", None)
    return state is not None and not state.startswith(("08", "40", "57"))
