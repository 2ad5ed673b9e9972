"""Read the errors of a study's failed experiments, with one traceback for each group."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from qexp.model import Status
from qexp.store.connection import Connection
from qexp.store.schema import tables


@dataclass(frozen=True)
class Failed:
    """Experiments that failed at the same place in the same way, with the latest of their errors."""

    fingerprint: str | None
    count: int
    example: int
    """The experiment of the latest error."""
    failure: str
    error_type: str | None
    error_message: str | None
    error_frame: str | None
    traceback: str | None


def groups(connection: Connection, study: int, limit: int) -> tuple[list[Failed], int]:
    """Return the *limit* largest groups of errors of a study, the largest first, and the number of all groups."""
    columns = tables.experiment.c
    failed = (columns.study == study, columns.status == Status.FAILED)
    query = (
        select(columns.error_fingerprint, func.count())
        .where(*failed)
        .group_by(columns.error_fingerprint)
        .order_by(func.count().desc(), func.min(columns.id))
    )
    counted = connection.execute(query).all()
    return [_latest(connection, study, fingerprint, count) for fingerprint, count in counted[:limit]], len(counted)


def _latest(connection: Connection, study: int, fingerprint: str | None, count: int) -> Failed:
    columns, last = tables.experiment.c, tables.attempt.c
    newest = (
        select(columns.id, columns.failure, columns.attempt)
        .where(columns.study == study, columns.status == Status.FAILED)
        .where(columns.error_fingerprint.is_not_distinct_from(fingerprint))
        .order_by(columns.finished_at.desc(), columns.id.desc())
        .limit(1)
        .subquery()
        .c
    )
    same = (last.experiment == newest.id) & (last.number == newest.attempt)
    query = select(
        newest.id, newest.failure, last.error_type, last.error_message, last.error_frame, last.traceback
    ).outerjoin_from(newest.id.table, tables.attempt, same)
    return Failed(fingerprint, count, *connection.execute(query).one())
