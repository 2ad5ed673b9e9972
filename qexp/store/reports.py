"""What a person asks about: counts, experiments, attempts, groups of errors. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Double, Row, Select, case, cast, func, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from qexp.model import CLOSED, OPEN, Json, Status
from qexp.store import tables
from qexp.store.connect import Connection

_RECENT = text("interval '5 minutes'")


@dataclass(frozen=True)
class Counts:
    """How a study stands."""

    study: str
    counts: Mapping[Status, int]
    rate: float | None
    """Experiments that ended per second, over the last 5 minutes at most; None if none did."""
    paused_at: datetime | None = None
    pause_reason: str | None = None

    @property
    def rests(self) -> bool:
        """Say whether nothing of it moves until a person says so: it has ended, or it is paused and nothing runs."""
        return self.open == 0 or (self.paused_at is not None and self.counts[Status.RUNNING] == 0)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Experiments that still move by themselves."""
        return sum(self.counts[status] for status in OPEN)

    @property
    def closed(self) -> int:
        return sum(self.counts[status] for status in CLOSED)

    @property
    def seconds_left(self) -> float | None:
        """The time left at the present rate; None if nothing is open or nothing has ended lately."""
        return self.open / self.rate if self.rate and self.open else None


@dataclass(frozen=True)
class ExperimentView:
    """An experiment as a person reads it: its row, where it ran, and its last error."""

    id: int
    study: str
    params: Mapping[str, Json]
    status: Status
    attempt: int
    result: Mapping[str, Json] | None
    failure: str | None
    error_type: str | None
    error_message: str | None
    error_fingerprint: str | None
    host: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration: float | None
    """Seconds from start to end of the last attempt; None while it runs or before it did."""
    reason: str | None
    """Why it is paused."""
    not_before: datetime | None
    """When its next attempt is due, if it waits for one."""
    recorded_at: Mapping[str, str] | None
    """When parts of the result came, where that was before the end."""
    fingerprint: UUID

    @property
    def error(self) -> str | None:
        """The last error as `Type: message`, None unless the experiment has failed."""
        if self.error_type is None:
            return None
        return f"{self.error_type}: {self.error_message}" if self.error_message else self.error_type


@dataclass(frozen=True)
class AttemptView:
    """One attempt as a person reads it."""

    number: int
    revision: int
    outcome: str
    host: str | None
    pid: int | None
    started_at: datetime
    finished_at: datetime
    duration: float
    error_type: str | None
    error_message: str | None
    error_frame: str | None
    error_fingerprint: str | None
    traceback: str | None
    exit_signal: str | None
    result: Mapping[str, Json] | None
    """What it recorded, unless its result is still the experiment's."""
    source: str | None
    cpu_seconds: float | None
    peak_memory: int | None
    """Bytes."""
    gpu_memory: int | None
    energy_kwh: float | None
    git_commit: str | None
    """The commit of the grid's folder when its revision was made."""
    git_dirty: bool | None
    user: str | None
    python: str | None
    platform: str | None
    cpu: str | None


@dataclass(frozen=True)
class ErrorGroup:
    """Failed experiments of a study that failed at the same place in the same way."""

    fingerprint: str
    count: int
    ids: list[int] = field(repr=False)
    failure: str
    error_type: str
    error_message: str
    error_frame: str | None


def mean_duration(connection: Connection, study: str) -> float | None:
    """Return the mean seconds of a study's done experiments, None if there is no such study or none is done."""
    columns = tables.experiment.c
    query = (
        select(_seconds(func.avg(columns.finished_at - columns.started_at)))
        .join_from(tables.experiment, tables.study, columns.study == tables.study.c.id)
        .where(tables.study.c.name == study, columns.status == Status.DONE)
    )
    return connection.execute(query).scalar()


def counts(connection: Connection, study: int | None = None) -> list[Counts]:
    """Return how the studies stand, in one aggregate query, the oldest study first."""
    columns = tables.experiment.c
    recent = columns.finished_at > func.now() - _RECENT
    since = func.greatest(func.min(columns.started_at).filter(recent), func.now() - _RECENT)
    query = (
        select(
            tables.study.c.name,
            *(func.count().filter(columns.status == status) for status in Status),
            func.count().filter(recent),
            func.extract("epoch", func.now() - since),
            tables.study.c.paused_at,
            tables.study.c.pause_reason,
        )
        .select_from(tables.study.outerjoin(tables.experiment, columns.study == tables.study.c.id))
        .group_by(tables.study.c.id)
        .order_by(tables.study.c.id)
    )
    if study is not None:
        query = query.where(tables.study.c.id == study)
    return [_counts(row) for row in connection.execute(query)]


def _counts(row: Row[Any]) -> Counts:
    name, *numbers, recent, seconds, paused_at, reason = tuple(row)
    rate = recent / float(seconds) if recent and seconds else None
    return Counts(name, dict(zip(Status, numbers, strict=True)), rate, paused_at, reason)


def experiments(
    connection: Connection, condition: ColumnElement[bool], limit: int | None = None
) -> Iterator[ExperimentView]:
    """Yield the chosen experiments in the order of their ids, read in batches."""
    query = _experiments(condition).limit(limit)
    for row in connection.execute(query.execution_options(yield_per=5_000)):
        values: list[Any] = list(row)
        values[3] = Status(values[3])
        yield ExperimentView(*values)


def _experiments(condition: ColumnElement[bool]) -> Select[Any]:
    columns, last = tables.experiment.c, tables.attempt.c
    failed = columns.status == Status.FAILED
    return (
        select(
            columns.id,
            tables.study.c.name,
            columns.params,
            columns.status,
            columns.attempt,
            columns.result,
            columns.failure,
            case((failed, last.error_type)),
            case((failed, last.error_message)),
            columns.error_fingerprint,
            tables.worker.c.host,
            columns.created_at,
            columns.started_at,
            columns.finished_at,
            _seconds(columns.finished_at - columns.started_at),
            columns.reason,
            columns.not_before,
            columns.recorded_at,
            columns.fingerprint,
        )
        .join_from(tables.experiment, tables.study, columns.study == tables.study.c.id)
        .outerjoin(tables.worker, tables.worker.c.id == columns.worker)
        .outerjoin(tables.attempt, (last.experiment == columns.id) & (last.number == columns.attempt))
        .where(condition)
        .order_by(columns.id)
    )


def _seconds(interval: ColumnElement[Any]) -> ColumnElement[float]:
    return cast(func.extract("epoch", interval), Double)


def attempts(connection: Connection, experiment: int) -> list[AttemptView]:
    """Return the attempts of an experiment that have ended, the first one first."""
    columns, revision, environment = tables.attempt.c, tables.revision.c, tables.environment.c
    query = (
        select(
            columns.number,
            columns.revision,
            columns.outcome,
            tables.worker.c.host,
            columns.pid,
            columns.started_at,
            columns.finished_at,
            _seconds(columns.finished_at - columns.started_at),
            columns.error_type,
            columns.error_message,
            columns.error_frame,
            columns.error_fingerprint,
            columns.traceback,
            columns.exit_signal,
            columns.result,
            columns.source,
            columns.cpu_seconds,
            columns.peak_memory,
            columns.gpu_memory,
            columns.energy_kwh,
            revision.git_commit,
            revision.git_dirty,
            tables.worker.c.user,
            environment.python,
            environment.platform,
            environment.cpu,
        )
        .join_from(
            tables.attempt,
            tables.revision,
            (revision.study == columns.study) & (revision.number == columns.revision),
        )
        .outerjoin(tables.worker, tables.worker.c.id == columns.worker)
        .outerjoin(tables.environment, environment.digest == tables.worker.c.environment)
        .where(columns.experiment == experiment)
        .order_by(columns.number)
    )
    return [AttemptView(*row) for row in connection.execute(query)]


def failures(connection: Connection, study: int) -> list[tuple[str, int]]:
    """Return how many experiments of a study have failed in which way, the most frequent first."""
    columns = tables.experiment.c
    query = (
        select(columns.failure, func.count())
        .where(columns.study == study, columns.status == Status.FAILED)
        .group_by(columns.failure)
        .order_by(func.count().desc(), columns.failure)
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


def error_groups(connection: Connection, condition: ColumnElement[bool]) -> list[ErrorGroup]:
    """Return the failed among the chosen experiments by error, the largest group first; each shows its latest error."""
    columns, last = tables.experiment.c, tables.attempt.c
    newest = [
        func.array_agg(aggregate_order_by(column, last.finished_at.desc()))[1]
        for column in (columns.failure, last.error_type, last.error_message, last.error_frame)
    ]
    query = (
        select(columns.error_fingerprint, func.count(), func.array_agg(columns.id), *newest)
        .join_from(
            tables.experiment, tables.attempt, (last.experiment == columns.id) & (last.number == columns.attempt)
        )
        .where(condition, columns.status == Status.FAILED)
        .group_by(columns.error_fingerprint)
        .order_by(func.count().desc(), func.min(columns.id))
    )
    return [ErrorGroup(row[0], row[1], sorted(row[2]), *row[3:]) for row in connection.execute(query)]
