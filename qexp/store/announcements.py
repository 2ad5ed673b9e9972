"""What of experiments is announced, and what may be next: rows marked, counted and put back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Text,
    any_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    true,
    update,
)

from qexp.model import DEATHS_BEFORE_ISOLATION, Json, Status
from qexp.store import tables
from qexp.store.connect import Connection

_LONGEST = text(  # what an experiment should take: the mean over its values of what those with that value have taken
    """
    WITH past AS (
      SELECT params, extract(epoch FROM finished_at - started_at) AS seconds FROM experiment
      WHERE  study = :study AND status IN ('done', 'failed') ORDER BY finished_at DESC LIMIT 1000
    ), told AS (
      SELECT p.key, p.value, avg(past.seconds) AS seconds FROM past, jsonb_each(past.params) p
      GROUP  BY p.key, p.value
    ), next AS (
      SELECT id, params FROM experiment
      WHERE  study = :study AND status = 'pending' AND (not_before IS NULL OR not_before <= now())
      ORDER  BY id LIMIT 10000
    )
    SELECT n.id
    FROM   next n LEFT JOIN LATERAL (
             SELECT avg(told.seconds) AS seconds FROM jsonb_each(n.params) p JOIN told USING (key, value)
           ) expected ON true
    ORDER  BY expected.seconds DESC NULLS LAST, n.id
    LIMIT  :limit
    """
)
_TELLING = 50
"""Experiments that ended last, by which the duration of others is told."""


def level_of(priority: ColumnElement[int]) -> ColumnElement[int]:
    """Return what `qexp.broker.level` says, in SQL."""
    return func.least(9, func.greatest(0, 5 - priority))


@dataclass(frozen=True)
class Announcement:
    """What a message needs to say of an experiment."""

    id: int
    attempt: int
    text: str
    """Its parameters as JSON: most go in company, and theirs are not told."""
    alone: bool = False
    """It is to run alone, as workers have died with it."""

    @property
    def params(self) -> Mapping[str, Json]:
        """Its parameters."""
        found: dict[str, Json] = json.loads(self.text)
        return found


_ALONE = text(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
           set_config('enable_sort', 'off', true), pg_advisory_xact_lock(:lock, :study)
    """
)
_LOCK = 0x71657870  # "qexp"


def alone(connection: Connection, study: int) -> None:
    """
    Wait until nobody else announces of a study; in this transaction one may then, and knows the room there is.

    In the rest of it the first rows of an order are read by the index that has it: of a table that is new Postgres
    knows nothing for a minute, takes it for small, and would read and sort all that waits.
    """
    connection.execute(_ALONE, {"lock": _LOCK, "study": study})


def take_pending(connection: Connection, study: int, limit: int, longest_first: bool = False) -> list[Announcement]:
    """
    Mark the next pending experiments of a study as queued, unless it is paused by now, and return them.

    In the order of their ids, or with those first that should take longest.
    """
    columns = tables.experiment.c
    first = connection.execute(_LONGEST, {"study": study, "limit": limit}).scalars().all() if longest_first else None
    chosen = (
        select(columns.id)
        .where(
            columns.study == study,
            columns.status == Status.PENDING,
            or_(columns.not_before.is_(None), columns.not_before <= func.now()),
            exists(tables.study.c.id).where(tables.study.c.id == study, tables.study.c.paused_at.is_(None)),
            true() if first is None else _of(first),
        )
        .order_by(columns.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    rows = connection.execute(
        update(tables.experiment)
        .where(_is_in(chosen))
        .values(status=Status.QUEUED, queued_at=func.now())
        .returning(
            columns.id, columns.attempt, cast(columns.params, Text), columns.worker_deaths >= DEATHS_BEFORE_ISOLATION
        )
    )
    places = None if first is None else {number: place for place, number in enumerate(first)}
    found = (Announcement(*row) for row in rows)
    return sorted(found, key=lambda item: item.id if places is None else places[item.id])


def take_queued(connection: Connection, study: int, before: datetime, limit: int) -> list[Announcement]:
    """Return experiments of a study that were announced before a moment, to be announced again; they count as new."""
    columns = tables.experiment.c
    chosen = (
        select(columns.id)
        .where(
            columns.study == study,
            columns.status == Status.QUEUED,
            or_(columns.queued_at.is_(None), columns.queued_at < before),
        )
        .order_by(columns.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    rows = connection.execute(
        update(tables.experiment)
        .where(_is_in(chosen))
        .values(queued_at=func.now())
        .returning(
            columns.id, columns.attempt, cast(columns.params, Text), columns.worker_deaths >= DEATHS_BEFORE_ISOLATION
        )
    )
    return sorted((Announcement(*row) for row in rows), key=lambda announcement: announcement.id)


def _of(ids: Sequence[int]) -> ColumnElement[bool]:
    """Say whether an experiment is one of these, however many: messages may be forged, and values be 65,535 at most."""
    return tables.experiment.c.id == any_(literal(list(ids), ARRAY(BigInteger)))


def _is_in(chosen: CTE) -> ColumnElement[bool]:
    """
    Say whether an experiment is among those that a part of the statement has locked, whose status is certain by that.

    An array is looked up by id whatever the planner believes. A join that names the status again it may make a loop
    over all that wait: after a million have changed theirs it still takes them for none.
    """
    return tables.experiment.c.id == func.any(func.array(select(chosen.c.id).scalar_subquery()))


def announced(connection: Connection, queue: str, level: int) -> int:
    """Return how many experiments wait on one of a queue's lists."""
    study = tables.study.c
    query = (
        select(func.count())
        .select_from(tables.experiment.join(tables.study, study.id == tables.experiment.c.study))
        .where(tables.experiment.c.status == Status.QUEUED, study.queue == queue, level_of(study.priority) == level)
    )
    return connection.execute(query).scalar_one()


def announced_of(connection: Connection, study: int) -> int:
    """Return how many experiments of a study were announced and not taken yet."""
    columns = tables.experiment.c
    query = select(func.count()).where(columns.study == study, columns.status == Status.QUEUED)
    return connection.execute(query).scalar_one()


def announced_at(connection: Connection, ids: Sequence[int]) -> datetime | None:
    """Return when some experiments were announced that were not taken yet, the first of them."""
    columns = tables.experiment.c
    query = select(func.min(columns.queued_at)).where(_of(ids), columns.status == Status.QUEUED)
    found: datetime | None = connection.execute(query).scalar_one()
    return found


@dataclass(frozen=True)
class Pace:
    """How long the last experiments of a study have taken, in seconds."""

    median: float
    longest: float


def pace(connection: Connection, study: int) -> Pace | None:
    """Return how long the last experiments of a study have taken; None: none has ended."""
    columns = tables.experiment.c
    last = (
        select(func.extract("epoch", columns.finished_at - columns.started_at).label("seconds"))
        .where(columns.study == study, columns.status.in_([Status.DONE, Status.FAILED]))
        .order_by(columns.finished_at.desc())
        .limit(_TELLING)
        .subquery()
    )
    # not the mean: the first experiment of each process has what it imports to wait for
    middle = func.percentile_cont(0.5).within_group(last.c.seconds)
    median, longest = connection.execute(select(middle, func.max(last.c.seconds))).one()
    return None if median is None else Pace(float(median), float(longest))


def pending(connection: Connection, study: int) -> int:
    """Return how many experiments of a study were not announced yet."""
    columns = tables.experiment.c
    query = select(func.count()).where(columns.study == study, columns.status == Status.PENDING)
    return connection.execute(query).scalar_one()


@dataclass(frozen=True)
class Line:
    """The experiments of a study that were announced and not taken yet."""

    study: int
    queue: str
    level: int
    """Which list of the queue."""
    number: int
    oldest: datetime | None
    """When the first of them was announced."""
    now: datetime


def lines(connection: Connection) -> list[Line]:
    """Return what was announced and not taken yet, by study."""
    columns, study = tables.experiment.c, tables.study.c
    query = (
        select(study.id, study.queue, level_of(study.priority), func.count(), func.min(columns.queued_at), func.now())
        .join_from(tables.experiment, tables.study, study.id == columns.study)
        .where(columns.status == Status.QUEUED)
        .group_by(study.id)
    )
    return [Line(*row) for row in connection.execute(query)]


def put_back(connection: Connection, ids: Sequence[int]) -> list[int]:
    """
    Mark experiments whose announcement failed as pending again; those that a worker has taken stay as they are.

    Return the studies of those that are pending by now.
    """
    columns = tables.experiment.c
    _withdraw(connection, _of(ids))
    query = select(columns.study).where(_of(ids), columns.status == Status.PENDING).distinct()
    return list(connection.execute(query).scalars())


def withdraw(connection: Connection, study: int) -> None:
    """Mark what was announced of a study as pending again; what a worker has taken stays as it is."""
    _withdraw(connection, tables.experiment.c.study == study)


def _withdraw(connection: Connection, condition: ColumnElement[bool]) -> None:
    columns = tables.experiment.c
    chosen = (
        select(columns.id)
        .where(condition, columns.status == Status.QUEUED)
        .order_by(columns.id)
        .with_for_update()
        .cte("chosen")
    )
    connection.execute(update(tables.experiment).where(columns.id == chosen.c.id).values(status=Status.PENDING))
