"""Read the data that explain why an experiment is in its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, literal, or_, select, text, true, tuple_, union_all

from qexp.errors import UnknownExperimentError
from qexp.model import Status
from qexp.store.connection import Connection
from qexp.store.reads import experiment_rows, study_rows, workers
from qexp.store.reads.experiment_rows import AttemptView, ExperimentView
from qexp.store.reads.study_rows import StudyRow
from qexp.store.reads.workers import WorkerView
from qexp.store.schema import tables
from qexp.store.schema.expressions import LARGEST_ID, is_due, level_of


@dataclass(frozen=True)
class QueuePosition:
    """The position of a waiting experiment in its queue."""

    window: int
    """Announced experiments on its list of the queue; each priority has a list."""
    ahead: int
    """Experiments that workers take before it."""


@dataclass(frozen=True)
class LastRecord:
    """The newest record of an attempt."""

    what: str
    at: datetime


@dataclass(frozen=True)
class ExperimentSituation:
    """One experiment with the facts that its state depends on; all times are the database's."""

    experiment: ExperimentView
    attempts: list[AttemptView]
    """Its ended attempts, the first one first."""
    study: StudyRow
    now: datetime
    workers: list[WorkerView]
    """The workers that have not stopped."""
    runner: WorkerView | None
    """The worker that runs it or ran it last."""
    pid: int | None
    queued_at: datetime | None
    forgiven: int
    """The last attempt that retries no longer count."""
    retries: Mapping[str, float]
    timeout: float | None
    """Seconds, for the running attempt."""
    place: QueuePosition | None
    """Its position in the queue while it waits."""
    sign: LastRecord | None = None
    printed: int = 0
    """Bytes that the running attempt has printed."""


def waits_on(connection: Connection, experiment: int) -> tuple[str, int] | None:
    """
    Return the queue of a waiting experiment and its level there. Returns None if it does not wait.

    Raises UnknownExperimentError if there is no such experiment.
    """
    columns, study = tables.experiment.c, tables.study.c
    query = select(columns.status, study.queue, level_of(study.priority)).join_from(
        tables.experiment, tables.study, columns.study == study.id
    )
    row = connection.execute(query.where(columns.id == min(experiment, LARGEST_ID))).one_or_none()
    if row is None:
        raise _unknown(connection, experiment)
    status, queue, level = row
    return (queue, level) if status in (Status.PENDING, Status.QUEUED) else None


def situation(connection: Connection, experiment: int, lease: float) -> ExperimentSituation:
    """
    Return the situation of an experiment at one moment; call this first in a transaction.

    A worker without a heartbeat for *lease* seconds is silent.
    """
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    found = list(experiment_rows.experiments(connection, tables.experiment.c.id == experiment))
    if not found:  # it was deleted just now
        raise _unknown(connection, experiment)
    view = found[0]
    row = _row(connection, experiment)
    present = workers.listed(connection, lease)
    runner = None
    if row.worker is not None:
        runner = next((worker for worker in present if worker.id == row.worker), None)
        runner = runner or workers.find(connection, row.worker, lease)
    waits, runs = view.status in (Status.PENDING, Status.QUEUED), view.status is Status.RUNNING
    has_own_worker = any(worker.live and worker.serves_only(view.study) for worker in present)
    return ExperimentSituation(
        view,
        experiment_rows.attempts(connection, [experiment])[experiment],
        study_rows.find(connection, view.study),
        row.now,
        present,
        runner,
        row.pid,
        row.queued_at,
        row.forgiven,
        row.retries,
        row.timeout,
        _place(connection, experiment, has_own_worker) if waits else None,
        _sign(connection, view) if runs else None,
        _printed(connection, view) if runs else 0,
    )


def _unknown(connection: Connection, experiment: int) -> UnknownExperimentError:
    newest = connection.execute(select(func.max(tables.experiment.c.id))).scalar()
    return UnknownExperimentError(str(experiment), (), newest)


def _row(connection: Connection, experiment: int) -> Any:
    columns, study = tables.experiment.c, tables.study.c
    present, ran = tables.revision.alias("present"), tables.revision.alias("ran")
    return connection.execute(
        select(
            columns.worker,
            columns.pid,
            columns.queued_at,
            columns.forgiven,
            present.c.retries,
            ran.c.timeout,
            func.clock_timestamp().label("now"),
        )
        .join_from(tables.experiment, tables.study, study.id == columns.study)
        .join(present, (present.c.study == study.id) & (present.c.number == study.revision))
        .outerjoin(ran, (ran.c.study == study.id) & (ran.c.number == columns.revision))
        .where(columns.id == experiment)
    ).one()


def _place(connection: Connection, experiment: int, has_own_worker: bool) -> QueuePosition:
    """
    Count announced experiments, and for a pending one also the due ones that are announced before it.

    Experiments of other studies are not before it if a worker takes only its study.
    """
    columns, study = tables.experiment.c, tables.study.c
    own, home = tables.experiment.alias("own"), tables.study.alias("home")
    level, own_level = level_of(study.priority), level_of(home.c.priority)
    queued, both_pending = columns.status == Status.QUEUED, columns.status == own.c.status
    sooner = tuple_(columns.queued_at, columns.id) < tuple_(own.c.queued_at, own.c.id)
    higher = tuple_(-study.priority, study.id, columns.id) < tuple_(-home.c.priority, home.c.id, own.c.id)
    due = and_(study.paused_at.is_(None), is_due())
    lower, same = level < own_level, level == own_level
    is_queued, is_pending = own.c.status == Status.QUEUED, own.c.status == Status.PENDING
    before = and_(
        study.id == home.c.id if has_own_worker else true(),
        or_(
            and_(is_queued, queued, or_(lower, and_(same, sooner))),
            and_(is_pending, queued, or_(lower, same)),
            and_(is_pending, both_pending, due, or_(lower, and_(same, higher))),
        ),
    )
    row = connection.execute(
        select(func.count().filter(queued, level == own_level), func.count().filter(before))
        .join_from(tables.experiment, tables.study, study.id == columns.study)
        .join(home, home.c.queue == study.queue)
        .join(own, own.c.study == home.c.id)
        .where(own.c.id == experiment, or_(queued, both_pending))
    ).one()
    return QueuePosition(*row)


def _sign(connection: Connection, view: ExperimentView) -> LastRecord | None:
    """Return the newest record of the running attempt."""
    kinds = [
        (tables.metric, func.concat("a value of ", tables.metric.c.name, " at step ", tables.metric.c.step)),
        (tables.entry, func.concat("a row of the list ", tables.entry.c.list)),
        (tables.checkpoint, literal("a checkpoint")),
        (tables.artifact, func.concat("the file ", tables.artifact.c.name)),
    ]
    newest = [
        select(what.label("what"), table.c.at)
        .where(table.c.experiment == view.id, table.c.attempt == view.attempt)
        .order_by(table.c.at.desc())
        .limit(1)
        .subquery()
        for table, what in kinds
    ]
    rows = connection.execute(union_all(*(select(one.c.what, one.c.at) for one in newest)))
    signs = [LastRecord(row[0], row[1]) for row in rows]
    signs += [
        LastRecord(f"the result {name}", datetime.fromisoformat(at)) for name, at in (view.recorded_at or {}).items()
    ]
    return max(signs, key=lambda sign: sign.at, default=None)


def _printed(connection: Connection, view: ExperimentView) -> int:
    columns = tables.output.c
    query = select(func.coalesce(func.max(columns.position + columns.size), 0)).where(
        columns.experiment == view.id, columns.attempt == view.attempt
    )
    return int(connection.execute(query).scalar_one())
