"""Find workers whose attempts all fail while other workers succeed, and give them no experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, select, true, update
from sqlalchemy.dialects.postgresql import aggregate_order_by

from qexp.model import Failure, Status
from qexp.store.connection import Connection
from qexp.store.reads.workers import live
from qexp.store.schema import tables
from qexp.store.schema.expressions import error_of
from qexp.truncation import shortened, single_line

_IN_A_ROW = 5
"""The failures that make a worker suspect, and the successes of others after which it is quarantined."""
_WITHIN = timedelta(minutes=10)
_BEFORE = timedelta(hours=1)
"""Older attempts are not read, from any worker."""
_OF_A_HOST = (Failure.ERROR, Failure.CRASHED, Failure.INVALID)
_SHOWN = 120
"""Characters of an error in a reason."""


@dataclass(frozen=True)
class SuspectWorker:
    """A worker whose last attempts have all failed, in a short time."""

    id: UUID
    name: str
    host: str
    studies: Sequence[int]
    errors: Sequence[str]
    """Fingerprints."""
    last_error: str


def suspects(connection: Connection, lease: float) -> list[SuspectWorker]:
    """
    Return the live workers whose last five attempts all failed within ten minutes.

    The only live worker on one of its queues is never a suspect.
    """
    worker, attempt = tables.worker.c, tables.attempt.c
    last = (
        select(
            attempt.study, attempt.outcome, attempt.finished_at, attempt.error_fingerprint, error_of().label("error")
        )
        .where(attempt.worker == worker.id, attempt.outcome.in_([Status.DONE, *Failure]))
        .order_by(attempt.finished_at.desc())
        .limit(_IN_A_ROW)
        .lateral("last")
    )
    query = (
        select(
            worker.id,
            worker.name,
            worker.host,
            func.array_agg(last.c.study.distinct()),
            func.array_remove(func.array_agg(last.c.error_fingerprint.distinct()), None),
            func.array_agg(aggregate_order_by(last.c.error, last.c.finished_at.desc()))[1],
        )
        .select_from(tables.worker.join(last, true()))
        .where(live(lease), ~_alone(lease))
        .group_by(worker.id)
        .having(
            func.count() == _IN_A_ROW,
            func.bool_and(last.c.outcome.in_(_OF_A_HOST)),
            func.min(last.c.finished_at) > func.now() - _WITHIN,
        )
        .order_by(worker.id)
    )
    return [SuspectWorker(*row) for row in connection.execute(query)]


def conviction(connection: Connection, suspect: SuspectWorker) -> str | None:
    """
    Return why a suspect is to be quarantined, or None if its failures may be the fault of the experiments.

    Other workers must have begun and finished five experiments of the same studies since its failures began. No worker
    may have had one of its errors within the last hour and succeeded later.
    """
    since = _failing_since(connection, suspect)
    if since is None:
        return None
    done = connection.execute(select(func.count()).select_from(done_by_others(suspect, since).subquery()))
    if (number := done.scalar_one()) < _IN_A_ROW or connection.execute(select(survived(suspect))).scalar_one():
        return None
    return (
        f"its last {_IN_A_ROW} attempts failed, the latest by "
        f"{shortened(single_line(suspect.last_error), _SHOWN)}, while other workers finished "
        f"{number} or more of the same studies; repair {suspect.host}, then restart the worker"
    )


def quarantine(connection: Connection, suspect: SuspectWorker, reason: str, lease: float) -> bool:
    """Quarantine a worker. Returns False if it is quarantined already, or now is the only one on one of its queues."""
    connection.execute(select(tables.leader.c.one).with_for_update())  # two leaders decide one after the other
    columns = tables.worker.c
    done = connection.execute(
        update(tables.worker)
        .where(columns.id == suspect.id, live(lease), ~_alone(lease))
        .values(quarantined_at=func.now(), quarantine_reason=reason)
    )
    return bool(done.rowcount)


def _alone(lease: float) -> ColumnElement[bool]:
    """Say whether a worker is the only live one on one of its queues."""
    worker, other = tables.worker.c, tables.worker.alias("other")
    heard = select(func.unnest(other.c.queues)).where(other.c.id != worker.id, live(lease, other))
    return ~worker.queues.bool_op("<@")(func.array(heard.correlate(tables.worker).scalar_subquery()))


def done_by_others(suspect: SuspectWorker, since: datetime) -> Select[tuple[int]]:
    """Select five experiments at most that others began and finished since the suspect's failures began."""
    experiment = tables.experiment.c
    return (
        select(experiment.id)
        .where(
            experiment.study.in_(suspect.studies),
            experiment.status == Status.DONE,
            experiment.finished_at >= since,
            experiment.started_at >= since,
            experiment.worker != suspect.id,
        )
        .limit(_IN_A_ROW)
    )


def _failing_since(connection: Connection, suspect: SuspectWorker) -> datetime | None:
    """Return when the first attempt of the suspect's series of failures began."""
    attempt, earlier = tables.attempt.c, tables.attempt.alias("earlier")
    good = select(func.max(earlier.c.finished_at)).where(
        earlier.c.worker == suspect.id,
        earlier.c.finished_at > func.now() - _BEFORE,
        earlier.c.outcome.in_([Status.DONE, Failure.TIMEOUT, Failure.LOST]),
    )
    began = select(func.min(attempt.started_at)).where(
        attempt.worker == suspect.id,
        attempt.finished_at > func.coalesce(good.scalar_subquery(), func.now() - _BEFORE),
        attempt.outcome.in_(_OF_A_HOST),
    )
    found: datetime | None = connection.execute(began).scalar_one()
    return found


def survived(suspect: SuspectWorker) -> ColumnElement[bool]:
    """Say whether a worker had one of the suspect's errors and later finished an experiment of these studies."""
    experiment, attempt = tables.experiment.c, tables.attempt.c
    met = (
        select(experiment.worker, func.min(experiment.finished_at).label("at"))
        .where(
            experiment.study.in_(suspect.studies),
            experiment.error_fingerprint.in_(suspect.errors),
            experiment.status == Status.FAILED,
            experiment.finished_at > func.now() - _BEFORE,
        )
        .group_by(experiment.worker)
        .subquery()
    )
    return exists(attempt.experiment).where(
        attempt.worker == met.c.worker,
        attempt.finished_at > met.c.at,
        attempt.outcome == Status.DONE,
        attempt.study.in_(suspect.studies),
    )
