"""Count the experiments of other studies that wait on a study's queue."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, func, literal, select

from qexp.model import Status
from qexp.store.connection import Connection, by_index
from qexp.store.reads import study_rows, workers
from qexp.store.schema import tables


@dataclass(frozen=True)
class WaitingBeside:
    """The waiting experiments of other studies on a queue, without those of paused studies."""

    queue: str
    experiments: int
    studies: int
    served: bool
    """Whether a live worker listens on the queue."""


def waiting_beside(connection: Connection, name: str, lease: float) -> WaitingBeside:
    """Count the experiments of other studies that wait on the queue of a study."""
    by_index(connection)
    own = study_rows.find(connection, name)
    columns, study, queues = tables.experiment.c, tables.study.c, tables.worker.c.queues
    beside: ColumnElement[bool] = and_(study.queue == own.queue, study.id != own.id, study.paused_at.is_(None))
    numbers = (
        select(columns.study, func.count().label("number"))
        .join_from(tables.study, tables.experiment, columns.study == study.id)
        .where(beside, columns.status.in_([Status.PENDING, Status.QUEUED]))
        .group_by(columns.study)
        .subquery()
    )
    heard = exists(tables.worker.c.id).where(workers.live(lease), literal(own.queue) == func.any(queues))
    row = connection.execute(select(func.coalesce(func.sum(numbers.c.number), 0), func.count(), heard)).one()
    return WaitingBeside(own.queue, int(row[0]), row[1], row[2])
