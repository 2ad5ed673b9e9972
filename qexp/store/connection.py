"""Connections to Postgres: raw psycopg for the hot path, SQLAlchemy Core over the same connections for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy.pool import NullPool, QueuePool

from qexp.errors import DatabaseUnreachableError, NotAllowedError
from qexp.settings import Settings, place

Connection = sqlalchemy.Connection


class RawConnection(psycopg.Connection[tuple[Any, ...]]):
    """A psycopg connection that caches cursors and revisions."""

    @cached_property
    def repeated(self) -> psycopg.Cursor[tuple[Any, ...]]:
        """
        A cursor for repeated statements; read its rows before the next statement.

        It remembers how to read columns, which saves a quarter of a claim's time.
        """
        return self.cursor()

    @cached_property
    def revisions(self) -> dict[tuple[int, int], tuple[Any, ...]]:
        """Rows of revisions, by study and number; a revision never changes."""
        return {}


_KEEPALIVE: Any = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
"""Options by which a dead network path is noticed within half a minute instead of hours."""
_GREETING = """
SELECT pg_backend_pid(),
       CASE WHEN pg_backend_pid() = %s THEN set_config('plan_cache_mode', 'force_generic_plan', false)
         || set_config('enable_seqscan', 'off', false) || set_config('jit', 'off', false) END
"""
"""Asks which process answers, and sets planner options; not behind a pooler, whose next client would inherit them."""


def connect(settings: Settings) -> RawConnection:
    """
    Open a psycopg connection in autocommit mode. Raises DatabaseUnreachableError with the place and the reason.

    Repeated statements are prepared, which saves two thirds of the time of a claim and a finish. Behind PgBouncer they
    are not: the next transaction may meet another server process. PgBouncer is recognized by an answer from another
    process than the one that accepted the connection.

    A prepared statement is planned once, and by indexes only: a plan made for a small table would read all of a large
    one. Planning each claim would take twice as long as the claim itself.
    """
    made = _open(settings)
    try:
        row = made.execute(_GREETING, [made.info.backend_pid]).fetchone()
    except psycopg.OperationalError as error:  # a pooler accepts connections while its server is away
        made.close()
        raise unreachable(settings, error) from error
    if row is None or row[0] != made.info.backend_pid:
        made.prepare_threshold = None
    return made


def _open(settings: Settings) -> RawConnection:
    if settings.database_url is None:
        raise DatabaseUnreachableError
    try:
        return RawConnection.connect(
            settings.database_url,
            autocommit=True,
            connect_timeout=max(2, round(settings.connect_timeout)),
            application_name="qexp",
            **_KEEPALIVE,
        )
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error
    except psycopg.ProgrammingError as error:
        raise DatabaseUnreachableError(
            place(settings.database_url), "the URL is not one that Postgres reads"
        ) from error


def unreachable(settings: Settings, error: BaseException) -> DatabaseUnreachableError:
    """Translate an error of psycopg, whose text never holds the password, into ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if "rror" in line or "failed" in line), lines[-1] if lines else "")
    reason = reason.rpartition("failed: ")[2].removeprefix("FATAL: ").strip()
    if "timeout" in reason and not isinstance(error, psycopg.errors.IdleInTransactionSessionTimeout):
        reason = f"no answer within {settings.connect_timeout:g} s"
    return DatabaseUnreachableError(place(settings.database_url or ""), reason or type(error).__name__)


class Database:
    """
    SQLAlchemy Core on our connections. Each transaction opens a connection and closes it afterwards.

    With *keeps* one connection stays open until `close`: to open one takes 5 ms and six round trips.
    """

    def __init__(self, settings: Settings, keeps: bool = False) -> None:
        self.settings = settings
        pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 1} if keeps else {"poolclass": NullPool}
        self._engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=self._creator, isolation_level="READ COMMITTED", **pool
        )

    def close(self) -> None:
        """Close the kept connection; the next transaction opens one again."""
        self._engine.dispose()

    def _creator(self) -> RawConnection:
        made = _open(self.settings)
        made.autocommit = False
        made.prepare_threshold = None  # it serves one transaction, which repeats few statements
        return made

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in a transaction that commits at the end, or rolls back on any exception."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except sqlalchemy.exc.OperationalError as error:
            if error.connection_invalidated or getattr(error.orig, "sqlstate", None) is None:
                raise unreachable(self.settings, error.orig or error) from error
            raise
        except sqlalchemy.exc.InternalError as error:
            if isinstance(error.orig, psycopg.errors.IdleInTransactionSessionTimeout):
                raise unreachable(self.settings, error.orig) from error
            raise
        except (sqlalchemy.exc.ProgrammingError, psycopg.errors.InsufficientPrivilege) as error:
            cause = error.orig if isinstance(error, sqlalchemy.exc.ProgrammingError) else error
            if isinstance(cause, psycopg.errors.InsufficientPrivilege):
                reason = cause.diag.message_primary or "permission denied"
                raise NotAllowedError(place(self.settings.database_url or ""), reason) from error
            raise


def raw(connection: Connection) -> RawConnection:
    """Return the psycopg connection under a SQLAlchemy one, for COPY."""
    found: Any = connection.connection.driver_connection
    return found  # type: ignore[no-any-return]


def by_index(connection: Connection) -> None:
    """
    Read by indexes only in the rest of a transaction.

    If many rows match, the planner scans from the table's start for the first one, as if they were spread evenly. But
    the rows of a study lie together, often after the rows of all ended experiments.
    """
    connection.execute(sqlalchemy.text("SET LOCAL enable_seqscan = off"))
