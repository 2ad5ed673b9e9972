"""The progress of studies: experiments by status, their rate, and their mean duration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select, text, true

from qexp.escapes import printable
from qexp.model import OPEN, Counts, Status, rate
from qexp.model import duration as duration_text
from qexp.store.connection import Connection, by_index
from qexp.store.reads.workers import is_served
from qexp.store.schema import tables
from qexp.store.schema.expressions import duration, has

_RECENT = text("interval '5 minutes'")

_FIRST = 100
"""Recently ended experiments whose starts are read."""


@dataclass(frozen=True)
class StudyProgress:
    """The progress of a study."""

    study: str
    counts: Counts
    rate: float | None
    """Experiments that ended per second, over the last 5 minutes at most; None if none did."""
    has_worker: bool
    """Whether a live worker takes its experiments."""
    paused_at: datetime | None = None
    pause_reason: str | None = None
    archived_at: datetime | None = None

    @property
    def is_settled(self) -> bool:
        """Say whether no experiment moves until a person acts: all ended, or the study is paused and none runs."""
        return self.open == 0 or (self.paused_at is not None and self.counts[Status.RUNNING] == 0)

    @property
    def total(self) -> int:
        return self.counts.total

    @property
    def open(self) -> int:
        """Experiments that still move by themselves."""
        return self.counts.open

    @property
    def closed(self) -> int:
        return self.counts.closed

    @property
    def seconds_left(self) -> float | None:
        """The time left at the present rate; None if none is open, none has ended recently, or nothing moves."""
        moves = self.has_worker and self.paused_at is None
        return self.open / self.rate if self.rate and self.open and moves else None

    @property
    def needs_worker(self) -> bool:
        """Say whether experiments are open that no live worker takes."""
        return self.open > 0 and self.paused_at is None and not self.has_worker

    def without(self, others: Counts) -> StudyProgress:
        """Return the progress without some *others* of its experiments."""
        return replace(self, counts=self.counts.without(others)) if others else self

    def __repr__(self) -> str:
        parts = [f"{self.study}, {self.counts!r}"]
        if self.open and self.rate:
            left = f", {duration_text(self.seconds_left)} left" if self.seconds_left else ""
            parts.append(rate(self.rate) + left)
        if self.needs_worker:
            parts.append("no worker")
        if self.paused_at is not None:
            why = f" ({printable(self.pause_reason)})" if self.pause_reason else ""
            parts.append(f"paused since {self.paused_at.astimezone():%Y-%m-%d %H:%M}{why}")
        return "; ".join([*parts, *["archived"] * (self.archived_at is not None)])


def is_settled(connection: Connection, study: int) -> bool:
    """Return `StudyProgress.is_settled` of a study by index look-ups, without counting."""
    by_index(connection)
    studies = tables.study.c
    pending, queued, running = (has(status, study) for status in OPEN)
    paused = exists(studies.id).where(studies.id == study, studies.paused_at.is_not(None))
    query = select(or_(not_(or_(pending, queued, running)), and_(paused, not_(running))))
    return connection.execute(query).scalar_one()


def mean_duration(connection: Connection, study: str) -> float | None:
    """Return the mean seconds of a study's done experiments, None if there is no such study or none is done."""
    columns = tables.experiment.c
    query = (
        select(func.avg(duration()))
        .join_from(tables.experiment, tables.study, columns.study == tables.study.c.id)
        .where(tables.study.c.name == study, columns.status == Status.DONE)
    )
    return connection.execute(query).scalar()


def counts(
    connection: Connection, lease: float, study: int | Sequence[int] | None = None, archived: bool = False
) -> list[StudyProgress]:
    """
    Return the progress of studies, the oldest study first, by one query that reads indexes only.

    Without *study*, the id of one or several, these are all that are not archived, or with *archived* only those that
    are. A worker is live if its last heartbeat is at most *lease* seconds old.
    """
    ids = [study] if isinstance(study, int) else study
    columns, studies = tables.experiment.c, tables.study.c
    is_archived = studies.archived_at.is_not(None) if archived else studies.archived_at.is_(None)
    chosen = is_archived & studies.deleted_at.is_(None) if ids is None else studies.id.in_(ids)
    numbers = (
        select(columns.study, columns.status, func.count().label("number"))
        .where(true() if ids is None else columns.study.in_(ids))
        .group_by(columns.study, columns.status)
        .subquery()
    )
    recent, seconds = _lately()
    query = (
        select(
            studies.name,
            *(func.coalesce(func.max(numbers.c.number).filter(numbers.c.status == status), 0) for status in Status),
            recent,
            seconds,
            is_served(lease),
            studies.paused_at,
            studies.pause_reason,
            studies.archived_at,
        )
        .select_from(tables.study.outerjoin(numbers, numbers.c.study == studies.id))
        .where(chosen)
        .group_by(studies.id)
        .order_by(studies.id)
    )
    return [_counts(row) for row in connection.execute(query)]


def _lately() -> tuple[ColumnElement[int], ColumnElement[Any]]:
    """Return the number of a study's recently ended experiments, and the seconds in which they ended."""
    columns = tables.experiment.c
    ended = (
        columns.study == tables.study.c.id,
        columns.status.in_([Status.DONE, Status.FAILED]),
        columns.finished_at > func.now() - _RECENT,
    )
    first = (  # the experiments that ended first are likely those that began first
        select(columns.started_at)
        .where(*ended)
        .order_by(columns.finished_at)
        .limit(_FIRST)
        .correlate(tables.study)
        .subquery()
    )
    since = func.greatest(select(func.min(first.c.started_at)).scalar_subquery(), func.now() - _RECENT)
    return select(func.count()).where(*ended).scalar_subquery(), func.extract("epoch", func.now() - since)


def _counts(row: Sequence[Any]) -> StudyProgress:
    name, *numbers, recent, seconds, served, paused_at, reason, archived_at = row
    rate = recent / float(seconds) if recent and seconds else None
    return StudyProgress(name, Counts(zip(Status, numbers, strict=True)), rate, served, paused_at, reason, archived_at)


def of_study(connection: Connection, study: int) -> Counts:
    """Return how many experiments of a study are in each status."""
    return count_by_status(connection, tables.experiment.c.study == study)


def count_by_status(connection: Connection, condition: ColumnElement[bool]) -> Counts:
    """Return how many of the chosen experiments are in each status."""
    columns = tables.experiment.c
    query = select(columns.status, func.count()).where(condition).group_by(columns.status)
    return Counts({Status(row[0]): row[1] for row in connection.execute(query)})
