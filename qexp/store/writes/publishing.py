"""Mark experiments as queued before their ids are published, count them, and mark them as pending again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Text,
    cast,
    exists,
    func,
    or_,
    select,
    text,
    true,
    update,
)

from qexp.model import DEATHS_BEFORE_ISOLATION, Json, Status
from qexp.store.connection import Connection
from qexp.store.schema import tables
from qexp.store.schema.expressions import among, is_due, level_of

_LONGEST = """
    -- expected duration: for each value the mean of experiments with it, and the mean of these means
    WITH past AS (
      SELECT params, extract(epoch FROM finished_at - started_at) AS seconds FROM experiment
      WHERE  study = :study AND status IN ('done', 'failed') ORDER BY finished_at DESC LIMIT 1000
    ), told AS (
      SELECT p.key, p.value, avg(past.seconds) AS seconds FROM past, jsonb_each(past.params) p
      GROUP  BY p.key, p.value
    ), next AS (
      SELECT id, params FROM experiment
      WHERE  study = :study AND status = {status} AND (not_before IS NULL OR not_before <= now())
      ORDER  BY id LIMIT 10000
    )
    SELECT n.id
    FROM   next n LEFT JOIN LATERAL (
             SELECT avg(told.seconds) AS seconds FROM jsonb_each(n.params) p JOIN told USING (key, value)
           ) expected ON true
    ORDER  BY expected.seconds DESC NULLS LAST, n.id
    LIMIT  :limit
"""
_LONGEST_BY_STATUS = {status: text(_LONGEST.format(status=f"'{status}'")) for status in (Status.PENDING, Status.QUEUED)}

_FOR_MESSAGES = (
    tables.experiment.c.id,
    tables.experiment.c.attempt,
    cast(tables.experiment.c.params, Text),
    tables.experiment.c.worker_deaths >= DEATHS_BEFORE_ISOLATION,
)
"""The columns of `QueuedExperiment`."""
_RECENT = 50
"""The most recently ended experiments whose durations predict those of others."""


@dataclass(frozen=True)
class QueuedExperiment:
    """An experiment whose id goes into a message."""

    id: int
    attempt: int
    text: str
    """Its parameters as JSON; only messages of one experiment need them decoded."""
    alone: bool = False
    """It must run alone, because workers have died with it."""

    @property
    def params(self) -> Mapping[str, Json]:
        """Its parameters."""
        found: dict[str, Json] = json.loads(self.text)
        return found


_ALONE = text(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
           set_config('enable_sort', 'off', true),
           set_config('idle_in_transaction_session_timeout', :longest_pause, true),
           pg_advisory_xact_lock(:lock, :study)
    """
)

_LOCK = 0x71657870  # "qexp"
LONGEST_PAUSE = "10s"
"""The longest time between two statements under the lock; then Postgres ends the connection."""


def lock_study(connection: Connection, study: int) -> None:
    """
    Take a study's publish lock until the transaction ends, so that its free window cannot change.

    The transaction also reads by indexes only. For the first minute the planner takes a new table for small, and would
    read and sort all of its pending rows.

    Postgres takes the lock from a process that sends nothing for LONGEST_PAUSE: it may have lost the network.
    """
    connection.execute(_ALONE, {"lock": _LOCK, "study": study, "longest_pause": LONGEST_PAUSE})


def mark_queued(connection: Connection, study: int, limit: int, longest_first: bool = False) -> list[QueuedExperiment]:
    """
    Mark the next pending experiments of a study as queued and return them; none if the study is paused.

    They are ordered by their ids, or by their expected durations with the longest first.
    """
    columns = tables.experiment.c
    first = _longest(connection, study, Status.PENDING, limit) if longest_first else None
    chosen = _locked(
        columns.study == study,
        columns.status == Status.PENDING,
        is_due(),
        exists(tables.study.c.id).where(tables.study.c.id == study, tables.study.c.paused_at.is_(None)),
        true() if first is None else among(columns.id, first),
        limit=limit,
    )
    return _ordered(_updated(connection, chosen, status=Status.QUEUED, queued_at=func.now()), first)


def _longest(connection: Connection, study: int, status: Status, limit: int) -> Sequence[int]:
    """Return the ids of waiting experiments of a study, by their expected durations with the longest first."""
    return connection.execute(_LONGEST_BY_STATUS[status], {"study": study, "limit": limit}).scalars().all()


def next_queued(connection: Connection, study: int, limit: int, longest_first: bool = False) -> list[QueuedExperiment]:
    """Return the queued experiments of a study that are to run next, in the order of `mark_queued`."""
    columns = tables.experiment.c
    first = _longest(connection, study, Status.QUEUED, limit) if longest_first else None
    query = select(*_FOR_MESSAGES).where(
        columns.study == study, columns.status == Status.QUEUED, true() if first is None else among(columns.id, first)
    )
    # the sum keeps the planner from the primary key, whose first million rows may have ended
    found = [QueuedExperiment(*row) for row in connection.execute(query.order_by(columns.id + 0).limit(limit))]
    return _ordered(found, first)


def _ordered(found: Iterable[QueuedExperiment], first: Sequence[int] | None) -> list[QueuedExperiment]:
    """Sort experiments by their places in *first*, or by their ids."""
    places = None if first is None else {number: place for place, number in enumerate(first)}
    return sorted(found, key=lambda item: item.id if places is None else places[item.id])


def still_queued(connection: Connection, study: int, ids: Sequence[int]) -> set[int]:
    """Return those of these ids that are queued, or that belong to another study."""
    columns = tables.experiment.c
    query = select(columns.id).where(
        among(columns.id, ids), or_(columns.status == Status.QUEUED, columns.study != study)
    )
    return set(connection.execute(query).scalars())


def mark_republished(connection: Connection, study: int, before: datetime, limit: int) -> list[QueuedExperiment]:
    """Return experiments of a study that were queued before a time, and count them as queued now."""
    columns = tables.experiment.c
    is_old = or_(columns.queued_at.is_(None), columns.queued_at < before)
    chosen = _locked(columns.study == study, columns.status == Status.QUEUED, is_old, limit=limit)
    return sorted(_updated(connection, chosen, queued_at=func.now()), key=lambda item: item.id)


def _locked(*conditions: ColumnElement[bool], limit: int | None = None) -> CTE:
    """Lock experiments in the order of their ids; with a *limit*, skip those that others have locked."""
    columns = tables.experiment.c
    chosen = select(columns.id).where(*conditions).order_by(columns.id).limit(limit)
    return chosen.with_for_update(skip_locked=limit is not None).cte("chosen")


def _updated(connection: Connection, chosen: CTE, **values: Any) -> list[QueuedExperiment]:
    """Set columns of the chosen experiments, and return the experiments."""
    rows = connection.execute(
        update(tables.experiment).where(_is_in(chosen)).values(**values).returning(*_FOR_MESSAGES)
    )
    return [QueuedExperiment(*row) for row in rows]


def _is_in(chosen: CTE) -> ColumnElement[bool]:
    """
    Match the rows that the expression *chosen* has locked.

    Postgres always looks up the ids of an array. A join could become a loop over all waiting rows, because the planner
    expects none even after a million changes.
    """
    return tables.experiment.c.id == func.any(func.array(select(chosen.c.id).scalar_subquery()))


def queued_on(connection: Connection, queue: str, level: int) -> int:
    """Return the number of queued experiments on one of a queue's lists."""
    study = tables.study.c
    query = (
        select(func.count())
        .select_from(tables.experiment.join(tables.study, study.id == tables.experiment.c.study))
        .where(tables.experiment.c.status == Status.QUEUED, study.queue == queue, level_of(study.priority) == level)
    )
    return connection.execute(query).scalar_one()


def number_of(connection: Connection, study: int, status: Status) -> int:
    """Return the number of experiments of a study that have a status."""
    columns = tables.experiment.c
    query = select(func.count()).where(columns.study == study, columns.status == status)
    return connection.execute(query).scalar_one()


def oldest_queued(connection: Connection, ids: Sequence[int]) -> datetime | None:
    """Return when the first of these experiments was queued. Returns None if none is queued now."""
    columns = tables.experiment.c
    query = select(func.min(columns.queued_at)).where(among(columns.id, ids), columns.status == Status.QUEUED)
    found: datetime | None = connection.execute(query).scalar_one()
    return found


@dataclass(frozen=True)
class RecentDurations:
    """Seconds that the last experiments of a study took."""

    median: float
    longest: float


def recent_durations(connection: Connection, study: int) -> RecentDurations | None:
    """Return how long the last experiments of a study took. Returns None if none has ended."""
    columns = tables.experiment.c
    last = (
        select(func.extract("epoch", columns.finished_at - columns.started_at).label("seconds"))
        .where(columns.study == study, columns.status.in_([Status.DONE, Status.FAILED]))
        .order_by(columns.finished_at.desc())
        .limit(_RECENT)
        .subquery()
    )
    # not the mean: the first experiment of each process also waits for its imports
    middle = func.percentile_cont(0.5).within_group(last.c.seconds)
    median, longest = connection.execute(select(middle, func.max(last.c.seconds))).one()
    return None if median is None else RecentDurations(float(median), float(longest))


@dataclass(frozen=True)
class QueuedBacklog:
    """The queued experiments of a study."""

    study: int
    queue: str
    level: int
    """The list of the queue, by priority."""
    oldest: datetime | None
    """When the first of them was queued."""
    now: datetime


def backlogs(connection: Connection) -> list[QueuedBacklog]:
    """Return the queued experiments of each study that has any."""
    columns, study = tables.experiment.c, tables.study.c
    query = (
        select(study.id, study.queue, level_of(study.priority), func.min(columns.queued_at), func.now())
        .join_from(tables.experiment, tables.study, study.id == columns.study)
        .where(columns.status == Status.QUEUED)
        .group_by(study.id)
    )
    return [QueuedBacklog(*row) for row in connection.execute(query)]


def mark_pending(connection: Connection, ids: Sequence[int]) -> list[int]:
    """
    Mark the queued ones among these experiments as pending again.

    Returns the studies of all that are pending now.
    """
    columns = tables.experiment.c
    _mark_pending(connection, among(columns.id, ids))
    query = select(columns.study).where(among(columns.id, ids), columns.status == Status.PENDING).distinct()
    return list(connection.execute(query).scalars())


def mark_study_pending(connection: Connection, study: int) -> None:
    """Mark the queued experiments of a study as pending again."""
    _mark_pending(connection, tables.experiment.c.study == study)


def _mark_pending(connection: Connection, condition: ColumnElement[bool]) -> None:
    columns = tables.experiment.c
    chosen = _locked(condition, columns.status == Status.QUEUED)
    connection.execute(update(tables.experiment).where(columns.id == chosen.c.id).values(status=Status.PENDING))
