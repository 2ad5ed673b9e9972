"""
Delete studies: mark a study, delete its rows in batches, and list its files for removal.

A marked study is paused and has another name, so nothing finds, claims or announces it. Each batch is a transaction of
its own: a deletion that was killed continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Identifier
from sqlalchemy import delete, exists, func, select, text, update

from qexp.errors import BusyStudyError
from qexp.model import Status, compact, counted
from qexp.store.connection import Connection, raw
from qexp.store.reads import study_rows
from qexp.store.reads.deletion_plan import SizedFiles, dependent_views
from qexp.store.schema import tables
from qexp.store.schema.expressions import among
from qexp.store.writes import publishing, sources

_MARK = "#"
"""Stands between the name and the id of a marked study; no name of a study has it."""
_NAMED = 10
"""The most running experiments that a refusal names."""
_RECORDS = 50_000
"""The most rows of series, of lists or of output that one transaction deletes."""


@dataclass(frozen=True)
class MarkedStudy:
    """A study whose deletion has begun."""

    id: int
    name: str
    """The name that it had."""


def mark(connection: Connection, name: str) -> MarkedStudy:
    """
    Mark a study as deleted, and drop its view.

    Raises BusyStudyError if experiments run, or if a view of a user reads the study's view.
    """
    known = study_rows.find(connection, name, lock=True)
    publishing.lock_study(connection, known.id)  # nothing is announced meanwhile
    publishing.mark_study_pending(connection, known.id)  # nothing is claimed from here on
    require_deletable(connection, known)
    _drop_view(connection, name)
    columns = tables.study.c
    values = {
        "name": f"{name}{_MARK}{known.id}",
        "deleted_at": func.now(),
        "paused_at": func.coalesce(columns.paused_at, func.now()),
    }
    connection.execute(update(tables.study).where(columns.id == known.id).values(**values))
    return MarkedStudy(known.id, name)


def require_deletable(connection: Connection, study: study_rows.StudyRow) -> None:
    """Raise BusyStudyError if experiments of a study run, or if a view of a user reads the study's view."""
    if running := _running(connection, study.id):
        more = f" and {counted(len(running) - _NAMED, 'other')}" if len(running) > _NAMED else ""
        raise BusyStudyError(
            study.name,
            f"experiments are running: {compact(running[:_NAMED])}{more}; end them with "
            f"'qexp cancel {study.name}', or give them back with 'qexp pause {study.name}'",
        )
    if readers := dependent_views(connection, study.name):
        raise BusyStudyError(
            study.name,
            f"found views that read study_{study.name}, expected none; drop them first: DROP VIEW {', '.join(readers)}",
        )


def _running(connection: Connection, study: int) -> list[int]:
    columns = tables.experiment.c
    query = select(columns.id).where(columns.study == study, columns.status == Status.RUNNING).order_by(columns.id)
    return list(connection.execute(query).scalars())


def _drop_view(connection: Connection, name: str) -> None:
    view = f"study_{name}"
    is_view = text("SELECT relkind = 'v' FROM pg_class WHERE oid = to_regclass(quote_ident(:view))")
    if connection.execute(is_view, {"view": view}).scalar():  # otherwise a user has a table of this name
        raw(connection).execute(SQL("DROP VIEW {}").format(Identifier(view)))


def marked(connection: Connection) -> list[MarkedStudy]:
    """Return the studies whose deletion has begun and is not complete."""
    columns = tables.study.c
    query = select(columns.id, columns.name).where(columns.deleted_at.is_not(None)).order_by(columns.id)
    return [MarkedStudy(row[0], row[1].rpartition(_MARK)[0]) for row in connection.execute(query)]


def number_left(connection: Connection, study: MarkedStudy) -> int:
    """Return how many experiments of a marked study are left."""
    query = select(func.count()).select_from(tables.experiment).where(tables.experiment.c.study == study.id)
    return connection.execute(query).scalar_one()


def experiments(connection: Connection, study: MarkedStudy, limit: int = 1_000_000) -> list[int]:
    """Return the ids of experiments that are left, at most *limit*, in order."""
    columns = tables.experiment.c
    return sorted(connection.execute(select(columns.id).where(columns.study == study.id).limit(limit)).scalars())


def delete_records(connection: Connection, ids: Sequence[int]) -> bool:
    """Delete some series, lists and output of experiments. Returns whether more may be left."""
    return any(_delete_some(connection, name, ids) for name in ("metric", "entry", "output"))


def _delete_some(connection: Connection, table: str, ids: Sequence[int]) -> bool:
    statement = (
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("
        f"SELECT ctid FROM {table} WHERE experiment = ANY(CAST(:ids AS bigint[])) LIMIT {_RECORDS}))"
    )
    return connection.execute(text(statement), {"ids": list(ids)}).rowcount >= _RECORDS


_LIST_FILES = text(
    """
    INSERT INTO deleted_file (url, size, host)
    SELECT f.url, f.size, w.host
    FROM   (SELECT experiment, attempt, url, size FROM artifact WHERE experiment = ANY(CAST(:ids AS bigint[]))
            UNION ALL
            SELECT experiment, attempt, url, size FROM checkpoint
            WHERE  experiment = ANY(CAST(:ids AS bigint[])) AND url IS NOT NULL) f
           LEFT JOIN attempt a ON a.experiment = f.experiment AND a.number = f.attempt
           LEFT JOIN worker w ON w.id = a.worker
    ON CONFLICT DO NOTHING
    """
)


def delete_experiments(connection: Connection, study: MarkedStudy, ids: Sequence[int]) -> int:
    """Delete experiments with their attempts, list their files for removal, and return their number."""
    connection.execute(_LIST_FILES, {"ids": list(ids)})
    columns = tables.experiment.c
    gone = delete(tables.experiment).where(among(columns.id, ids), columns.study == study.id)
    return connection.execute(gone).rowcount


def finish(connection: Connection, study: MarkedStudy) -> SizedFiles:
    """Delete a study without experiments, its revisions, and its snapshots that no other study has; return these."""
    columns, revision = tables.study.c, tables.revision.c
    digests = connection.execute(select(revision.source).where(revision.study == study.id).distinct()).scalars().all()
    left = exists(tables.experiment.c.id).where(tables.experiment.c.study == study.id)
    connection.execute(delete(tables.study).where(columns.id == study.id, columns.deleted_at.is_not(None), ~left))
    return sources.drop_unneeded(connection, [digest for digest in digests if digest is not None])


@dataclass(frozen=True)
class DeletedFile:
    """A file of a deleted study that is still to be removed."""

    url: str
    size: int
    host: str | None
    """Where the attempt ran."""


def deleted_files(connection: Connection, after: str, limit: int) -> list[DeletedFile]:
    """Return files that are to be removed, by their URLs, beginning after *after*."""
    columns = tables.deleted_file.c
    query = select(columns.url, columns.size, columns.host).where(columns.url > after).order_by(columns.url)
    return [DeletedFile(*row) for row in connection.execute(query.limit(limit))]


def forget_files(connection: Connection, urls: Sequence[str]) -> None:
    """Note that files are removed."""
    connection.execute(delete(tables.deleted_file).where(tables.deleted_file.c.url.in_(urls)))
