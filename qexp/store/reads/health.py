"""Read facts about Postgres and the queues for a diagnosis; nothing is written or migrated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy
from sqlalchemy import ColumnElement, exists, func, select, text, true

from qexp.model import OPEN, Status
from qexp.settings import Settings
from qexp.store.connection import Connection, Database, unreachable
from qexp.store.reads import workers
from qexp.store.reads.revisions import is_newest
from qexp.store.schema import tables

_ROUND_TRIPS = 3
_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """Give a read-only connection. Raises DatabaseUnreachableError if Postgres refuses or delays a statement."""
    try:
        with Database(settings).begin() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text(f"SET LOCAL statement_timeout = {round(settings.connect_timeout * 1000)}"))
            yield connection
    except sqlalchemy.exc.DBAPIError as error:
        raise unreachable(settings, error.orig or error) from error


@dataclass(frozen=True)
class Server:
    """The version of a Postgres server, its latency and its clock."""

    version: str
    major: int
    latency: float
    """Seconds for a round trip, the best of a few."""
    skew: float
    """Seconds that its clock is ahead of this machine's."""


def server(connection: Connection) -> Server:
    """Measure the latency and the clock of a Postgres server."""
    number = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    version = str(connection.execute(text("SHOW server_version")).scalar_one()).split()[0]
    trips = []
    for _ in range(_ROUND_TRIPS):
        began, started = time.time(), time.perf_counter()
        theirs = connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
        took = time.perf_counter() - started
        trips.append((took, float(theirs) - (began + took / 2)))
    latency, skew = min(trips)
    return Server(version, number // 10_000, latency, skew)


@dataclass(frozen=True)
class Rights:
    """The rights of a role."""

    role: str
    schema: str | None
    read_only: bool
    """The server is a standby, or the role's transactions cannot write."""
    missing: list[str]
    """Rights that qexp needs and the role lacks, such as `CREATE on schema public`."""


def rights(connection: Connection) -> Rights:
    """Return the rights of our role in the schema that has, or would have, the tables."""
    role, schema, database, read_only = connection.execute(
        text(
            "SELECT current_user, current_schema(), current_database(),"
            " pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean"
        )
    ).one()
    asked = [(f"CREATE on schema {schema}", func.has_schema_privilege(schema, "CREATE"))] if schema else []
    asked.append((f"TEMPORARY on database {database}", func.has_database_privilege(database, "TEMPORARY")))
    for name in tables.metadata.tables:
        if connection.execute(select(func.to_regclass(name).is_not(None))).scalar():
            asked += [(f"{right} on {name}", func.has_table_privilege(name, right)) for right in _RIGHTS]
    held = connection.execute(select(*(question for _, question in asked))).one()
    return Rights(role, schema, read_only, [what for (what, _), has in zip(asked, held, strict=True) if not has])


def connections(connection: Connection) -> tuple[int, int]:
    """Return the number of the server's connections, and the number that roles other than superusers may open."""
    row = connection.execute(
        text(
            "SELECT (SELECT sum(numbackends) FROM pg_stat_database)::int,"
            " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        )
    ).one()
    return row[0], row[1]


def waiting(connection: Connection) -> dict[str, int]:
    """Return the number of waiting experiments by queue, without those of paused studies."""
    return _waiting(connection, true())


def unserved(connection: Connection, lease: float) -> dict[str, int]:
    """Return the number of waiting experiments by queue, only those that no live worker takes."""
    return _waiting(connection, ~workers.is_served(lease))


def _waiting(connection: Connection, condition: ColumnElement[bool]) -> dict[str, int]:
    columns, study = tables.experiment.c, tables.study.c
    query = (
        select(study.queue, func.count())
        .join_from(tables.experiment, tables.study, columns.study == study.id)
        .where(columns.status.in_([Status.PENDING, Status.QUEUED]), study.paused_at.is_(None), condition)
        .group_by(study.queue)
        .order_by(study.queue)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def stuck(connection: Connection, seconds: float) -> list[tuple[str, str, int]]:
    """Return queue, study and number of experiments announced *seconds* ago, for queues where none began since."""
    columns, study = tables.experiment.c, tables.study.c
    others, neighbour = tables.experiment.alias(), tables.study.alias()
    since = func.now() - timedelta(seconds=seconds)
    moves = (
        exists()
        .select_from(others.join(neighbour, others.c.study == neighbour.c.id))
        .where(neighbour.c.queue == study.queue, others.c.started_at > since)
    )
    query = (
        select(study.queue, study.name, func.count())
        .join_from(tables.experiment, tables.study, columns.study == study.id)
        .where(columns.status == Status.QUEUED, columns.queued_at < since, study.paused_at.is_(None), ~moves)
        .group_by(study.id)
        .order_by(study.id)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def deaf(connection: Connection, lease: float, seconds: float) -> list[str]:
    """
    Return the names of live workers that have free children and take nothing.

    An experiment waited on one of their queues for *seconds*, and they began and ended none in this time.
    """
    columns, study, worker, attempt = (
        table.c for table in (tables.experiment, tables.study, tables.worker, tables.attempt)
    )
    since = func.now() - timedelta(seconds=seconds)
    waits = (
        exists()
        .select_from(tables.experiment.join(tables.study, columns.study == study.id))
        .where(columns.status == Status.QUEUED, columns.queued_at < since, study.paused_at.is_(None))
        .where(workers.serves())
    )
    running = tables.experiment.alias()
    runs = (running.c.worker == worker.id) & (running.c.status == Status.RUNNING)
    began = exists().where(runs, running.c.started_at > since)
    ended = exists().where(attempt.worker == worker.id, attempt.finished_at > since)
    query = (
        select(worker.name)
        .where(workers.live(lease), worker.started_at < since, waits, ~began, ~ended)
        .where(select(func.count()).where(runs).scalar_subquery() < worker.concurrency)
        .order_by(worker.name)
    )
    return list(connection.execute(query).scalars())


@dataclass(frozen=True)
class StudyFunction:
    """The function of a study and the folder of its code."""

    study: str
    function: str
    folder: str | None
    snapshot: bool
    """Workers run the enqueued snapshot, not the code on their host."""
    open: int


def functions(connection: Connection) -> list[StudyFunction]:
    """Return the function of each study, the newest study first."""
    columns, study, revision = tables.experiment.c, tables.study.c, tables.revision.c
    moving = (
        select(columns.study, func.count().label("open"))
        .where(columns.status.in_(OPEN))
        .group_by(columns.study)
        .subquery()
    )
    query = (
        select(study.name, study.function, study.folder, revision.source.is_not(None), func.coalesce(moving.c.open, 0))
        .join_from(tables.study, tables.revision, is_newest())
        .outerjoin(moving, moving.c.study == study.id)
        .order_by(study.id.desc())
    )
    return [StudyFunction(*row) for row in connection.execute(query)]
