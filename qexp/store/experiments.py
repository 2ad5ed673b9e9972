"""Rows of `experiment`: added, announced, sent back to be run again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, null, select, text, update

from qexp.model import CLOSED, Json, Status, fingerprint
from qexp.store import tables
from qexp.store.connect import Connection, raw

_STAGE = text(
    "CREATE TEMP TABLE staged (position bigint, fingerprint uuid, params jsonb) ON COMMIT DROP",
)
# identity values are drawn for new rows only, so that ids have no gaps where a grid is enqueued again
_MERGE = text(
    """
    INSERT INTO experiment (study, fingerprint, params)
    SELECT :study, s.fingerprint, s.params
    FROM   staged s
    WHERE  NOT EXISTS (SELECT FROM experiment e WHERE e.study = :study AND e.fingerprint = s.fingerprint)
    ORDER  BY s.position
    ON CONFLICT (study, fingerprint) DO NOTHING
    """
)


@dataclass(frozen=True)
class Added:
    """How many experiments a grid has, and how many of them were new."""

    total: int
    new: int


@dataclass(frozen=True)
class Announcement:
    """What a message needs to say of an experiment."""

    id: int
    attempt: int
    params: Mapping[str, Json]


def add(connection: Connection, study: int, rows: Iterable[Mapping[str, Json]]) -> Added:
    """Add the parameter sets that the study does not have yet, through COPY into a table of this transaction."""
    connection.execute(_STAGE)
    total = 0
    with raw(connection).cursor() as cursor, cursor.copy("COPY staged FROM STDIN") as copy:
        for params in rows:
            total += 1
            copy.write_row((total, fingerprint(params), json.dumps(params, ensure_ascii=False)))
    new = connection.execute(_MERGE, {"study": study}).rowcount
    connection.execute(text("DROP TABLE staged"))
    return Added(total, new)


def take_pending(connection: Connection, study: int, limit: int) -> list[Announcement]:
    """Mark the next pending experiments of a study as queued, oldest first, and return what to announce."""
    columns = tables.experiment.c
    chosen = (
        select(columns.id)
        .where(columns.study == study, columns.status == Status.PENDING)
        .order_by(columns.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    rows = connection.execute(
        update(tables.experiment)
        .where(columns.id == chosen.c.id, columns.status == Status.PENDING)
        .values(status=Status.QUEUED)
        .returning(columns.id, columns.attempt, columns.params)
    )
    return sorted((Announcement(*row) for row in rows), key=lambda announcement: announcement.id)


def put_back(connection: Connection, ids: Sequence[int]) -> None:
    """Mark experiments whose announcement failed as pending again; those that a worker has taken stay as they are."""
    columns = tables.experiment.c
    connection.execute(
        update(tables.experiment)
        .where(columns.id.in_(ids), columns.status == Status.QUEUED)
        .values(status=Status.PENDING)
    )


@dataclass(frozen=True)
class Requeued:
    """The ids that go back to pending, the studies they belong to, and how many others were chosen but still open."""

    ids: list[int]
    studies: list[int]
    still_open: int


def count(connection: Connection, condition: ColumnElement[bool]) -> tuple[int, int]:
    """Return how many of the chosen experiments are closed, so that they can be requeued, and how many are open."""
    columns = tables.experiment.c
    closed = func.count().filter(columns.status.in_(CLOSED))
    row = connection.execute(select(closed, func.count()).select_from(tables.experiment).where(condition)).one()
    return row[0], row[1] - row[0]


def requeue(connection: Connection, condition: ColumnElement[bool]) -> Requeued:
    """Send the chosen closed experiments back to pending. Their attempts stay; a result of theirs goes."""
    columns = tables.experiment.c
    _, still_open = count(connection, condition)
    rows = connection.execute(
        update(tables.experiment)
        .where(condition, columns.status.in_(CLOSED))
        .values(
            status=Status.PENDING,
            result=null(),
            failure=None,
            error_fingerprint=None,
            started_at=None,
            finished_at=None,
            worker=None,
            pid=None,
        )
        .returning(columns.id, columns.study)
    ).all()
    return Requeued(sorted(row[0] for row in rows), sorted({row[1] for row in rows}), still_open)
