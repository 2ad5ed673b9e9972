"""The tables are there and of the version this program knows, whichever command comes first."""

from __future__ import annotations

from pathlib import Path

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from qexp.errors import SchemaError, SchemaRightsError
from qexp.store.connect import Connection

HEAD = "0008"
"""The newest migration; a test keeps it equal to Alembic's."""

_LOCK = 0x71657870  # "qexp"


def version(connection: Connection) -> str | None:
    """Return the version of the schema in the database, None where there is no schema yet."""
    if not connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar():
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def check(connection: Connection) -> bool:
    """Say whether the schema is current; SchemaError if it is newer than this program."""
    found = version(connection)
    if found is not None and found > HEAD:
        raise SchemaError(found, HEAD)
    return found == HEAD


def migrate(connection: Connection) -> None:
    """
    Bring the schema to HEAD inside the transaction of *connection*.

    A lock held to its end lets one of several callers do it; the others wait and find it done. SchemaRightsError if the
    role may not change the tables.
    """
    from alembic import command
    from alembic.config import Config

    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    found = version(connection)
    try:
        command.upgrade(config, "head")
    except ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise SchemaRightsError(found, HEAD) from error
        raise
