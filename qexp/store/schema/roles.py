"""SQL that makes two roles: one with the rights of a worker, and one that may only read."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import LiteralString

from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composable, Identifier, Literal

from qexp.current_process import user_name
from qexp.errors import DatabaseUnreachableError, RoleError
from qexp.settings import Settings
from qexp.store.schema import tables

_WORKER: Mapping[LiteralString, LiteralString] = {
    "alembic_version": "SELECT",
    "study": "SELECT, UPDATE (results, paused_at, pause_reason)",
    # no SELECT of the grid and of uncommitted changes
    "revision": "SELECT (study, number, settings, source, timeout, memory, retries, isolation, output, "
    "stop_after, notify)",
    "source": "SELECT",
    "environment": "INSERT",
    "imported": "INSERT",
    # no UPDATE of host and user, and below of the keys of stored records: the origin of results must not change
    "worker": "SELECT, INSERT, UPDATE (last_seen, stopped_at, told_to_stop, quarantined_at, quarantine_reason)",
    "leader": "SELECT, INSERT, UPDATE",
    # no UPDATE of the parameters and the study
    "experiment": "SELECT, UPDATE (status, attempt, revision, worker, pid, started_at, finished_at, result, "
    "result_exact, recorded_at, failure, error_fingerprint, reason, not_before, queued_at, worker_deaths, "
    "seconds_before)",
    # no SELECT of the traceback; `qexp.attach` reads types and messages of errors
    "attempt": "INSERT, SELECT (experiment, number, study, worker, started_at, finished_at, outcome, error_type, "
    "error_message, error_frame, error_fingerprint)",
    "notice": "SELECT, INSERT, UPDATE (sent_at, tries, due_at, error)",
    "metric": "SELECT, INSERT, UPDATE (value, at)",
    "entry": "SELECT, INSERT",
    "output": "SELECT (experiment, attempt, position, size), INSERT, DELETE",
    "checkpoint": "SELECT, INSERT, UPDATE, DELETE",
    "artifact": "SELECT, INSERT, UPDATE (url, size, sha256, at)",
}
"""The rights that a worker needs. Columns are named if a worker may not read or change all of them."""

_LONGEST = 63
"""Bytes of an identifier: Postgres would cut a longer name to another one."""

_SCRIPT = SQL("""\
-- Roles for qexp: {worker} may do what workers do, {reader} may read everything except addresses of notifications.
-- Run this as the owner of the tables after 'qexp db migrate', and again after each upgrade of qexp.
-- It sets no passwords, so nobody can log in as these roles yet. Set the passwords in psql:
--   \\password {worker}
--   \\password {reader}
BEGIN;
{created}

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {worker}, {reader};
GRANT USAGE ON SCHEMA public TO {worker}, {reader};

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {worker}, {reader};
{granted}

GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader};
-- the addresses of notifications hold secrets
REVOKE SELECT ON revision FROM {reader};
GRANT SELECT ({shown}) ON revision TO {reader};
-- the views of studies are made again when results have new names
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {reader};
-- 'qexp diff' compares by a temporary table
GRANT TEMPORARY ON DATABASE {database} TO {reader};
COMMIT;
""")
_CREATED = SQL("DO {};")  # a quoted literal: a name could end a text between dollars
_IF_MISSING = SQL(
    "BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN CREATE ROLE {} LOGIN; END IF; END"
)


def script(settings: Settings, worker: str, reader: str) -> str:
    """
    Return the SQL that makes two roles, unless they exist, and grants them their rights in the database of *settings*.

    It can be run again: it revokes rights that an earlier version granted and this one does not. Raises RoleError if
    the names are unusable, are the same, or one is the name of the tables' owner.
    """
    if settings.database_url is None:
        raise DatabaseUnreachableError
    address = conninfo_to_dict(settings.database_url)
    owner = str(address.get("user") or user_name())
    database = str(address.get("dbname") or owner)
    for option, name in (("--worker", worker), ("--reader", reader)):
        _check(option, name, owner)
    if worker == reader:
        raise RoleError("--reader", worker, "another name than the worker's: it would be allowed to write")
    created = [_CREATED.format(Literal(_text(_IF_MISSING.format(Literal(n), Identifier(n))))) for n in (worker, reader)]
    granted = [
        SQL("GRANT {} ON {} TO {};").format(SQL(rights), Identifier(table), Identifier(worker))
        for table, rights in _WORKER.items()
    ]
    return _text(
        _SCRIPT.format(
            worker=Identifier(worker),
            reader=Identifier(reader),
            database=Identifier(database),
            shown=SQL(", ").join(Identifier(column.name) for column in tables.revision.c if column.name != "notify"),
            created=SQL("\n").join(created),
            granted=SQL("\n").join(granted),
        )
    )


def _check(option: str, name: str, owner: str) -> None:
    if not name or any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise RoleError(option, name, "a name without control characters")
    if len(name.encode()) > _LONGEST:
        raise RoleError(option, name, f"a name of at most {_LONGEST} bytes")
    if name == owner:
        raise RoleError(option, name, "another role than the one in QEXP_DATABASE_URL, which keeps all of its rights")


def _text(part: Composable) -> str:
    return part.as_string(None)
