"""Count and delete the rows of workers that stopped long ago, and that no attempt names."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, func, select

from qexp.model import Status
from qexp.store.connection import Connection
from qexp.store.schema import tables

_GONE = timedelta(days=7)
"""A worker that is silent for less may come back, such as that of a laptop that sleeps."""


def unneeded(connection: Connection) -> int:
    """Return how many workers were silent for a week and are named neither by an attempt nor by an experiment."""
    return connection.execute(select(func.count()).select_from(tables.worker).where(_is_unneeded())).scalar_one()


def drop_unneeded(connection: Connection) -> int:
    """Delete the unneeded workers, and return their number."""
    return connection.execute(delete(tables.worker).where(_is_unneeded())).rowcount


def _is_unneeded() -> ColumnElement[bool]:
    worker, attempt, experiment, leader = tables.worker.c, tables.attempt.c, tables.experiment.c, tables.leader.c
    return and_(
        worker.last_seen < func.now() - _GONE,
        ~exists(attempt.experiment).where(attempt.worker == worker.id),
        ~exists(experiment.id).where(experiment.worker == worker.id, experiment.status == Status.RUNNING),
        ~exists(leader.one).where(leader.worker == worker.id),
    )
