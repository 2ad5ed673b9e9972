"""Notifications about events of studies: one row for each event and address, sent once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert

from qexp.model import OPEN, Status
from qexp.notification_addresses import digest
from qexp.store.connection import Connection, by_index
from qexp.store.reads.revisions import is_newest
from qexp.store.reads.workers import live, serves
from qexp.store.schema import tables
from qexp.store.schema.expressions import has

MOST_TRIES = 5
_FIRST_PAUSE = 30.0
"""Seconds from the first try to the second; pauses grow fourfold. No try takes so long, so tries never overlap."""
_RECENT = timedelta(hours=1)
"""Older events are not notified, so that a new address does not get the whole history."""
KEPT = timedelta(days=1)
"""A notification is dropped after this time if no worker could send it."""


class Event(StrEnum):
    """An event of a study that people are notified of."""

    FAILED = "failed"
    """The first experiment failed since the study got work."""
    BRAKED = "braked"
    """The failure limit paused the study."""
    STALLED = "stalled"
    """Its experiments wait, and no experiment of its queue begins or ends."""
    FINISHED = "finished"


@dataclass(frozen=True)
class StudyEvents:
    """A study and the facts that determine its events."""

    id: int
    name: str
    queue: str
    addresses: Sequence[str]
    """The addresses in its grid."""
    renewed_at: datetime
    """When it last got work."""
    open: bool
    last_end: datetime | None
    """When an experiment of it last ended."""
    failed: int | None
    """The id of an experiment that failed since *renewed_at*."""
    stalled: bool
    heard: bool
    """A live worker listens on its queue."""

    def events(self) -> dict[Event, datetime]:
        """Return the events, each with a time that differs from the times of earlier events of its kind."""
        found = {}
        moved_at = max(self.renewed_at, self.last_end or self.renewed_at)
        if self.failed is not None:
            found[Event.FAILED] = self.renewed_at
        if self.stalled:
            found[Event.STALLED] = moved_at
        if not self.open and moved_at > self.renewed_at:
            found[Event.FINISHED] = self.renewed_at
        return found


def news(connection: Connection, everyone: bool, lease: float, stalled_after: float) -> list[StudyEvents]:
    """
    Return studies with addresses that have open experiments, or had some within the hour; *everyone*: also the others.

    A study is stalled if its experiments wait, and its queue does not move. In such a queue no experiment began or
    ended within *stalled_after* minutes; also, none runs there or no live worker listens.
    """
    by_index(connection)
    study, revision, experiment = tables.study.c, tables.revision.c, tables.experiment.c
    here = experiment.study == study.id
    last_end = _last_end(study.id)
    failed = (
        select(experiment.id)
        .where(
            here,
            experiment.status == Status.FAILED,
            experiment.error_fingerprint.is_not(None),
            experiment.finished_at >= func.greatest(study.renewed_at, func.now() - _RECENT),
        )
        .limit(1)
    ).scalar_subquery()
    heard = exists(tables.worker.c.id).where(live(lease), serves())
    moving = or_(*map(has, OPEN))
    facts = (study.id, study.name, study.queue, revision.notify, study.renewed_at, moving, last_end, failed)
    query = (
        select(*facts, _stalled(heard, stalled_after), heard)
        .join_from(tables.study, tables.revision, is_newest())
        .where(
            study.deleted_at.is_(None),
            or_(moving, last_end > func.now() - _RECENT),
            func.cardinality(revision.notify) > 0 if not everyone else true(),
        )
        .order_by(study.id)
    )
    return [StudyEvents(*row) for row in connection.execute(query)]


def _last_end(study: ColumnElement[int]) -> ColumnElement[datetime]:
    """Return when an experiment of a study last ended; the maximum is one look-up in the index."""
    experiment = tables.experiment.alias("ended").c
    ended = experiment.status.in_([Status.DONE, Status.FAILED])
    return select(func.max(experiment.finished_at)).where(experiment.study == study, ended).scalar_subquery()


def _stalled(heard: ColumnElement[bool], minutes: float) -> ColumnElement[bool]:
    study, experiment, neighbour = tables.study.c, tables.experiment.c, tables.study.alias("neighbour")
    since = func.now() - timedelta(minutes=minutes)
    on_queue = exists(neighbour.c.id).where(neighbour.c.queue == study.queue, experiment.study == neighbour.c.id)
    begun = (experiment.status == Status.RUNNING) & (experiment.started_at > since)
    ended = exists(neighbour.c.id).where(neighbour.c.queue == study.queue, _last_end(neighbour.c.id) > since)
    moved = or_(ended, on_queue.where(begun))
    waits_long = exists(experiment.id).where(
        experiment.study == study.id, experiment.status == Status.QUEUED, experiment.queued_at < since
    )
    could_go = exists(experiment.id).where(
        experiment.study == study.id,
        experiment.status == Status.PENDING,
        or_(experiment.not_before.is_(None), experiment.not_before < since),
    )
    waits = or_(waits_long, could_go & ~has(Status.QUEUED), has(Status.RUNNING) & ~heard)
    runs = on_queue.where(experiment.status == Status.RUNNING)
    return study.paused_at.is_(None) & (study.renewed_at < since) & waits & or_(~runs, ~heard) & ~moved


def told(connection: Connection, studies: Sequence[int]) -> set[tuple[int, str, datetime, str]]:
    """Return the stored notifications of studies: (study, event, since, recipient)."""
    columns = tables.notice.c
    query = select(columns.study, columns.event, columns.since, columns.recipient).where(columns.study.in_(studies))
    return {(row[0], row[1], row[2], row[3]) for row in connection.execute(query)}


def note(
    connection: Connection, study: int, event: Event, since: datetime, text: str, addresses: Sequence[str]
) -> None:
    """Store the notifications of an event, one for each address, unless they are stored."""
    rows = [
        {"study": study, "event": event, "since": since, "text": text, "recipient": digest(address)}
        for address in addresses
    ]
    connection.execute(upsert(tables.notice).on_conflict_do_nothing(), rows)


@dataclass(frozen=True)
class Notification:
    """A notification that is due."""

    study: int
    event: str
    since: datetime
    recipient: str
    text: str
    tries: int
    """Tries so far."""
    addresses: Sequence[str]
    """The addresses in the study's grid. The recipient is a digest of one of them, or of one in the settings."""


def due(connection: Connection) -> list[Notification]:
    """Return the notifications that are due, the oldest first."""
    columns, study, revision = tables.notice.c, tables.study.c, tables.revision.c
    names = ("study", "event", "since", "recipient", "text", "tries")
    query = (
        select(*[*(columns[name] for name in names), revision.notify])
        .join_from(tables.notice, tables.study, study.id == columns.study)
        .join(tables.revision, is_newest())
        .where(
            study.deleted_at.is_(None),
            columns.sent_at.is_(None),
            columns.tries < MOST_TRIES,
            columns.due_at <= func.now(),
            columns.created_at > func.now() - KEPT,
        )
        .order_by(columns.created_at, columns.event)  # if both are seen together, a failure comes before the end
    )
    return [Notification(*row) for row in connection.execute(query)]


def take(connection: Connection, notice: Notification) -> bool:
    """Take a notification before sending it. Returns False if another worker took it."""
    pause = timedelta(seconds=_FIRST_PAUSE * 4**notice.tries)
    taken = connection.execute(
        update(tables.notice)
        .where(_is(notice), tables.notice.c.sent_at.is_(None), tables.notice.c.tries == notice.tries)
        .values(tries=notice.tries + 1, due_at=func.now() + pause)
    )
    return bool(taken.rowcount)


def sent(connection: Connection, notice: Notification) -> None:
    """Store that a notification was sent."""
    connection.execute(update(tables.notice).where(_is(notice)).values(sent_at=func.now(), error=None))


def refused(connection: Connection, notice: Notification, error: str) -> None:
    """Store why a notification could not be sent."""
    connection.execute(update(tables.notice).where(_is(notice)).values(error=error))


def _is(notice: Notification) -> ColumnElement[bool]:
    names = ("study", "event", "since", "recipient")
    return and_(*(tables.notice.c[name] == getattr(notice, name) for name in names))
