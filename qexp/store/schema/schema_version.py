"""Check the version of the tables in the database, and migrate them to the version that this program needs."""

from __future__ import annotations

from pathlib import Path

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from qexp.errors import NewerSchemaError, NoTablesError, OlderWorkersError, OldSchemaError, SchemaRightsError
from qexp.store.connection import Connection

HEAD = "0002"
"""The newest migration; a test keeps it equal to Alembic's."""
MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK = 0x71657870  # "qexp"


def version(connection: Connection) -> str | None:
    """Return the version of the schema in the database, or None if it has no tables of qexp's."""
    if not connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar():
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def check(connection: Connection) -> None:
    """Raise a DatabaseTablesError, which names the repair, unless the database has the schema HEAD."""
    found = version(connection)
    if found is None:
        raise NoTablesError
    if found > HEAD:
        raise NewerSchemaError(found, HEAD)
    if found < HEAD:
        raise OldSchemaError(found, HEAD)


def migrate(connection: Connection, lease: float, under_workers: bool = False) -> list[str]:
    """
    Migrate the schema to HEAD inside the transaction of *connection*; return the names of older workers that run.

    A lock held until commit lets one of several callers migrate; the others wait and find it done. Workers with a
    heartbeat within *lease* seconds are older: a newer one would have migrated. Raises OlderWorkersError if there are
    any, unless *under_workers*. Raises SchemaRightsError if the role may not change the tables.
    """
    if version(connection) == HEAD:
        return []
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    found = version(connection)
    if found is not None and found > HEAD:
        raise NewerSchemaError(found, HEAD)
    older: list[str] = []
    if found is not None and found < HEAD:
        older += connection.execute(_RUNNING, {"lease": lease}).scalars()
    if found is not None and older and not under_workers:
        raise OlderWorkersError(found, HEAD, older)
    _upgrade(connection, found)
    return older


_RUNNING = text(
    "SELECT name FROM worker "
    "WHERE  stopped_at IS NULL AND last_seen > clock_timestamp() - make_interval(secs => :lease) ORDER BY name"
)


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise SchemaRightsError(found, HEAD) from error
        raise
