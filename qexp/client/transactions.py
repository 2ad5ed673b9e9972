"""Transactions that change rows: they are retried after a deadlock, and a wait for a lock is explained."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from qexp.store.connection import Connection
from qexp.store.reads import lock_holders

log = logging.getLogger(__name__)

T = TypeVar("T")
Begin = Callable[[], AbstractContextManager[Connection]]

_PAUSES = (0.05, 0.2, 1.0)
"""Seconds before each retry of a transaction that Postgres has aborted."""
LOCK_TIMEOUT, _NO_TIMEOUT = "10s", "0"
"""The timeouts of a wait for a lock: before the warning, and after it."""
_LOCKED = "55P03"
"""The SQLSTATE lock_not_available."""


def change(begin: Begin, action: Callable[[Connection], T]) -> T:
    """Implement `Client.change`; *begin* opens a transaction."""
    pauses, patience = iter(_PAUSES), LOCK_TIMEOUT
    while True:
        try:
            with begin() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = '{patience}'"))
                return action(connection)
        except (DBAPIError, psycopg.Error) as error:  # some statements bypass SQLAlchemy
            cause = error.orig if isinstance(error, DBAPIError) else error
            state = str(getattr(cause, "sqlstate", ""))
            if state == _LOCKED and patience != _NO_TIMEOUT:
                _warn_of_lock(begin)
                pause, patience = 0.0, _NO_TIMEOUT
            elif not state.startswith("40") or (pause := next(pauses, -1.0)) < 0:  # neither deadlock nor conflict
                raise
        time.sleep(pause)


def _warn_of_lock(begin: Begin) -> None:
    with begin() as connection:
        holder = lock_holders.holder(connection)
    if holder is not None:
        log.warning("waiting for a lock of %s: commit there, or end it with pg_terminate_backend", holder)
