"""Rows of `experiment`: added, announced, sent back to be run again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import LiteralString

import psycopg
from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Text,
    any_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    true,
    update,
)

from qexp.model import CLOSED, OPEN, Json, Origin, Status
from qexp.store import tables
from qexp.store.connect import Connection, raw

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
_STAGE = text("CREATE TEMP TABLE staged (position bigint, fingerprint uuid, params text) ON COMMIT DROP")
# identity values are drawn for new rows only, so that ids have no gaps where a grid is enqueued again
_MERGE = text(
    """
    INSERT INTO experiment (study, fingerprint, params, origin)
    SELECT :study, s.fingerprint, s.params::jsonb, :origin
    FROM   staged s
    WHERE  NOT EXISTS (SELECT FROM experiment e WHERE e.study = :study AND e.fingerprint = s.fingerprint)
    ORDER  BY s.position
    ON CONFLICT (study, fingerprint) DO NOTHING
    """
)
_MARK = text(  # experiments are locked in the order of their ids, here as everywhere: no two verbs wait for each other
    """
    WITH chosen AS (
      SELECT e.id FROM experiment e LEFT JOIN staged s ON s.fingerprint = e.fingerprint
      WHERE  e.study = :study AND (e.origin = 'grid') = (s.fingerprint IS NULL)
      ORDER  BY e.id
      FOR    NO KEY UPDATE OF e
    )
    UPDATE experiment e SET origin = CASE e.origin WHEN 'grid' THEN 'orphaned' ELSE 'grid' END
    FROM   chosen c WHERE e.id = c.id
    """
)
_COPY = "COPY experiment (study, fingerprint, params) FROM STDIN"
_COMPARE = text(  # a join: EXISTS inside of FILTER would look through all staged rows for each experiment
    """
    SELECT count(s.fingerprint), count(*) FILTER (WHERE e.origin <> 'code' AND s.fingerprint IS NULL)
    FROM   experiment e LEFT JOIN staged s ON s.fingerprint = e.fingerprint
    WHERE  e.study = :study
    """
)
_AT_ONCE = 1_000
"""Rows that are sent to the server together."""

Encoded = tuple[bytes, str]
"""A parameter set as its 16-byte fingerprint and its JSON text."""


@dataclass(frozen=True)
class Added:
    """How many experiments a grid has, how many of them were new, and how many of the study's it leaves out."""

    total: int
    new: int
    orphaned: int = 0


def add(connection: Connection, study: int, rows: Callable[[], Iterable[Encoded]]) -> Added:
    """
    Add the parameter sets of a grid that its study does not have yet, and mark those that the grid leaves out.

    The study's row is locked. *rows* gives the sets anew each time that it is called.
    """
    if (total := _add_first(connection, study, rows)) is not None:
        return Added(total, total)
    total = _stage(connection, rows())
    new = connection.execute(_MERGE, {"study": study, "origin": Origin.GRID}).rowcount
    connection.execute(_MARK, {"study": study})
    _unstage(connection)
    columns = tables.experiment.c
    left_out = select(func.count()).where(columns.study == study, columns.origin == Origin.ORPHANED)
    return Added(total, new, connection.execute(left_out).scalar_one())


def _add_first(connection: Connection, study: int, rows: Callable[[], Iterable[Encoded]]) -> int | None:
    """Send the rows of a study that has none straight to their table, for half the price; None: it cannot be done."""
    columns = tables.experiment.c
    if connection.execute(select(columns.id).where(columns.study == study).limit(1)).first() is not None:
        return None
    try:
        with connection.begin_nested():
            return _copy(connection, _COPY, ((study, row) for row in rows()))
    except psycopg.errors.UniqueViolation:  # what is drawn may repeat
        return None


def add_by_code(connection: Connection, study: int, rows: Iterable[Encoded]) -> Added:
    """Add parameter sets that the study does not have yet, beside its grid."""
    total = _stage(connection, rows)
    new = connection.execute(_MERGE, {"study": study, "origin": Origin.CODE}).rowcount
    _unstage(connection)
    return Added(total, new)


def compare(connection: Connection, study: int, rows: Iterable[Encoded]) -> Added:
    """Say what `add` would do, without doing it."""
    total = _stage(connection, rows)
    kept, orphaned = connection.execute(_COMPARE, {"study": study}).one()
    _unstage(connection)
    return Added(total, total - kept, orphaned)


def _stage(connection: Connection, rows: Iterable[Encoded]) -> int:
    """Send rows through COPY into a table of this transaction; return how many they were."""
    connection.execute(_STAGE)
    total = _copy(connection, "COPY staged FROM STDIN", enumerate(rows, 1))
    connection.execute(text("ANALYZE staged"))
    # the planner does not know yet how many experiments this transaction adds; taking them for few, it would loop
    connection.execute(text("SET LOCAL enable_nestloop = off"))
    return total


def _copy(connection: Connection, statement: LiteralString, rows: Iterable[tuple[int, Encoded]]) -> int:
    """Send rows, each after a number, through COPY; return how many they were."""
    rows, total = iter(rows), 0
    with raw(connection).cursor() as cursor, cursor.copy(statement) as copy:
        while batch := list(itertools.islice(rows, _AT_ONCE)):
            total += len(batch)
            # in COPY's text format only the backslash has a meaning that JSON text can hold
            lines = [
                f"{number}\t{digest.hex()}\t{params.replace(_BACKSLASH, _ESCAPED)}"
                for number, (digest, params) in batch
            ]
            copy.write("\n".join(lines) + "\n")
    return total


def _unstage(connection: Connection) -> None:
    connection.execute(text("SET LOCAL enable_nestloop = on"))
    connection.execute(text("DROP TABLE staged"))


_BACKSLASH, _ESCAPED = "\\", "\\\\"


def level_of(priority: ColumnElement[int]) -> ColumnElement[int]:
    """Return what `qexp.broker.level` says, in SQL."""
    return func.least(9, func.greatest(0, 5 - priority))


@dataclass(frozen=True)
class Announcement:
    """What a message needs to say of an experiment."""

    id: int
    attempt: int
    params: Mapping[str, Json]


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
            true() if first is None else columns.id.in_(first),
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
        .returning(columns.id, columns.attempt, columns.params)
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
        .returning(columns.id, columns.attempt, columns.params)
    )
    return sorted((Announcement(*row) for row in rows), key=lambda announcement: announcement.id)


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
    query = select(func.min(columns.queued_at)).where(columns.id.in_(ids), columns.status == Status.QUEUED)
    found: datetime | None = connection.execute(query).scalar_one()
    return found


@dataclass(frozen=True)
class Pace:
    """How long the last experiments of a study have taken, in seconds."""

    mean: float
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
    mean, longest = connection.execute(select(func.avg(last.c.seconds), func.max(last.c.seconds))).one()
    return None if mean is None else Pace(float(mean), float(longest))


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
    _withdraw(connection, columns.id.in_(ids))
    query = select(columns.study).where(columns.id.in_(ids), columns.status == Status.PENDING).distinct()
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


@dataclass(frozen=True)
class Cancelled:
    """The ids that were cancelled, and those among them that were running."""

    ids: list[int]
    running: list[int]


def cancel(connection: Connection, condition: ColumnElement[bool], reason: str | None) -> Cancelled:
    """End the chosen experiments that are open; the attempts of those that run end here and now."""
    columns, past = tables.experiment.c, tables.attempt.c
    names = ("worker", "pid", "started_at", "study", "revision", "result")
    chosen = (
        select(columns.id, columns.status, columns.attempt, *(columns[name] for name in names))
        .where(condition, columns.status.in_(OPEN))
        .order_by(columns.id)
        .with_for_update()
        .cte("chosen")
    )
    ended = (
        insert(tables.attempt)
        .from_select(
            ["experiment", "number", *names, "finished_at", "outcome", "error_message", "source"],
            select(
                chosen.c.id,
                chosen.c.attempt,
                *(chosen.c[name] for name in names),
                func.now(),
                literal("cancelled"),
                literal(reason, Text),
                select(tables.revision.c.source)
                .where(
                    tables.revision.c.study == chosen.c.study,
                    tables.revision.c.number == chosen.c.revision,
                )
                .scalar_subquery(),
            ).where(chosen.c.status == Status.RUNNING),
        )
        .returning(past.experiment)
        .cte("ended")
    )
    rows = connection.execute(
        update(tables.experiment)
        .where(columns.id == chosen.c.id)
        .values(
            status=Status.CANCELLED,
            reason=reason,
            not_before=None,
            finished_at=case((chosen.c.status == Status.RUNNING, func.now())),
        )
        .returning(columns.id, exists(ended.c.experiment).where(ended.c.experiment == columns.id))
        .add_cte(ended)
    ).all()
    return Cancelled(sorted(row[0] for row in rows), sorted(row[0] for row in rows if row[1]))


@dataclass(frozen=True)
class Requeued:
    """The ids that go back to pending, the studies they belong to, and how many others were chosen but still open."""

    ids: list[int]
    studies: list[int]
    still_open: int
    urls: list[str] = field(default_factory=list)
    """Files of checkpoints that were forgotten."""


def count(connection: Connection, condition: ColumnElement[bool]) -> tuple[int, int]:
    """Return how many of the chosen experiments are closed, so that they can be requeued, and how many are open."""
    columns = tables.experiment.c
    closed = func.count().filter(columns.status.in_(CLOSED))
    row = connection.execute(select(closed, func.count()).select_from(tables.experiment).where(condition)).one()
    return row[0], row[1] - row[0]


def requeue(connection: Connection, condition: ColumnElement[bool], fresh: bool = False) -> Requeued:
    """
    Send the chosen closed experiments back to pending, with all of their retries ahead of them.

    Their attempts stay, and take over what they had found so far: a result is the experiment's only while it lasts.
    With *fresh* their checkpoints go; the URLs of files that have to go too are in what is returned.
    """
    columns, past, study = tables.experiment.c, tables.attempt.c, tables.study.c
    _, still_open = count(connection, condition)
    # studies are locked before their experiments, as by an enqueue or a pause: a requeue may make a new revision
    affected = select(columns.study).where(condition, columns.status.in_(CLOSED))
    locked = connection.execute(select(study.id).where(study.id.in_(affected)).order_by(study.id).with_for_update())
    chosen = (
        select(columns.id, columns.attempt, columns.result)
        # of no other study, of which something has ended meanwhile
        .where(condition, columns.status.in_(CLOSED), columns.study.in_(locked.scalars().all()))
        .order_by(columns.id)
        .with_for_update()
        .cte("chosen")
    )
    kept = (  # in the same statement: what is done after this one has looked stays done
        update(tables.attempt)
        .where(past.experiment == chosen.c.id, past.number == chosen.c.attempt, chosen.c.result.is_not(None))
        .values(result=chosen.c.result)
        .cte("kept")
    )
    rows = connection.execute(
        update(tables.experiment)
        .where(columns.id == chosen.c.id)
        .values(
            status=Status.PENDING,
            result=null(),
            recorded_at=null(),
            failure=None,
            error_fingerprint=None,
            reason=None,
            not_before=None,
            forgiven=columns.attempt,
            started_at=None,
            finished_at=None,
            worker=None,
            pid=None,
        )
        .returning(columns.id, columns.study)
        .add_cte(kept)
    ).all()
    ids = sorted(row[0] for row in rows)
    urls = _forget(connection, ids) if fresh else []
    return Requeued(ids, sorted({row[1] for row in rows}), still_open, urls)


def _forget(connection: Connection, ids: list[int]) -> list[str]:
    """Delete the checkpoints of experiments; return the URLs of those that are files."""
    columns = tables.checkpoint.c
    gone = (
        delete(tables.checkpoint)
        .where(columns.experiment == any_(literal(ids, ARRAY(BigInteger))))
        .returning(columns.url)
    )
    return [url for url in connection.execute(gone).scalars() if url is not None]
