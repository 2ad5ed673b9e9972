"""Notifications about events of studies: one row for each event and address, sent once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, exists, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert

from qexp.model import Status
from qexp.notification_addresses import digest
from qexp.store.connection import Connection, by_index
from qexp.store.reads.revisions import is_newest
from qexp.store.reads.workers import live
from qexp.store.schema import tables

MOST_TRIES = 5
_FIRST_PAUSE = 30.0
"""Seconds after the first try; four times as long after each further one. No try takes so long, so no two overlap."""
_RECENT = timedelta(hours=1)
"""What happened before is told to nobody: an address that is new does not learn of all that was."""
KEPT = timedelta(days=1)
"""How long a message is tried to be sent, if workers were away."""


class Event(StrEnum):
    """What people are told of."""

    FAILED = "failed"
    """The first experiment has failed since the study was given something to do."""
    BRAKED = "braked"
    """The brake has paused the study."""
    STALLED = "stalled"
    """Nothing of it moves, and nothing runs that it could wait for."""
    FINISHED = "finished"


@dataclass(frozen=True)
class StudyEvents:
    """A study of which there may be something to tell."""

    id: int
    name: str
    queue: str
    addresses: Sequence[str]
    """Where its grid wants messages to go."""
    renewed_at: datetime
    """When it was given something to do last."""
    open: bool
    last_end: datetime | None
    """When an experiment of it has ended last."""
    failed: int | None
    """The id of one that has failed since then."""
    stalled: bool
    heard: bool
    """A live worker listens to its queue."""

    def events(self) -> dict[Event, datetime]:
        """Return what there is to tell, each with what makes it another one than the last of its kind."""
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
    Return the studies that have something open, or had within the hour, and of which anybody wants to hear.

    *everyone*: somebody wants to hear of all studies. A study is stalled when in *stalled_after* minutes nothing of its
    queue has begun or ended though some of it waits, and nothing runs there, or no live worker listens.
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
    heard = exists(tables.worker.c.id).where(live(lease), study.queue == func.any(tables.worker.c.queues))
    moving = or_(*(_some(status) for status in (Status.PENDING, Status.QUEUED, Status.RUNNING)))
    recently = _last_end(study.id) > func.now() - _RECENT
    query = (
        select(
            study.id,
            study.name,
            study.queue,
            revision.notify,
            study.renewed_at,
            moving,
            last_end,
            failed,
            _stalled(heard, stalled_after),
            heard,
        )
        .join_from(tables.study, tables.revision, is_newest())
        .where(or_(moving, recently), func.cardinality(revision.notify) > 0 if not everyone else true())
        .order_by(study.id)
    )
    return [StudyEvents(*row) for row in connection.execute(query)]


def _last_end(study: ColumnElement[int]) -> ColumnElement[datetime]:
    """Return when an experiment of a study has ended last; a maximum takes one look into the index."""
    experiment = tables.experiment.alias("ended").c
    ended = experiment.status.in_([Status.DONE, Status.FAILED])
    return select(func.max(experiment.finished_at)).where(experiment.study == study, ended).scalar_subquery()


def _some(status: Status) -> ColumnElement[bool]:
    """Say whether any experiment of the study has a status: each has its own index."""
    experiment = tables.experiment.c
    return exists(experiment.id).where(experiment.study == tables.study.c.id, experiment.status == status)


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
    waits = or_(waits_long, could_go & ~_some(Status.QUEUED), _some(Status.RUNNING) & ~heard)
    runs = on_queue.where(experiment.status == Status.RUNNING)
    return study.paused_at.is_(None) & (study.renewed_at < since) & waits & or_(~runs, ~heard) & ~moved


def told(connection: Connection, studies: Sequence[int]) -> set[tuple[int, str, datetime, str]]:
    """Return what was noted of studies: (study, event, since, recipient)."""
    columns = tables.notice.c
    query = select(columns.study, columns.event, columns.since, columns.recipient).where(columns.study.in_(studies))
    return {(row[0], row[1], row[2], row[3]) for row in connection.execute(query)}


def note(
    connection: Connection, study: int, event: Event, since: datetime, text: str, addresses: Sequence[str]
) -> None:
    """Make the rows of an event, one for each address; those that are there stay as they are."""
    rows = [
        {"study": study, "event": event, "since": since, "text": text, "recipient": digest(address)}
        for address in addresses
    ]
    connection.execute(upsert(tables.notice).on_conflict_do_nothing(), rows)


@dataclass(frozen=True)
class Notification:
    """A message that is to be sent now."""

    study: int
    event: str
    since: datetime
    recipient: str
    text: str
    tries: int
    """How often it was tried so far."""
    addresses: Sequence[str]
    """Where the study's grid wants messages to go; the recipient is a digest of one of them, or of the settings'."""


def due(connection: Connection) -> list[Notification]:
    """Return what is to be sent now, the oldest first."""
    columns, study, revision = tables.notice.c, tables.study.c, tables.revision.c
    names = ("study", "event", "since", "recipient", "text", "tries")
    query = (
        select(*[*(columns[name] for name in names), revision.notify])
        .join_from(tables.notice, tables.study, study.id == columns.study)
        .join(tables.revision, is_newest())
        .where(
            columns.sent_at.is_(None),
            columns.tries < MOST_TRIES,
            columns.due_at <= func.now(),
            columns.created_at > func.now() - KEPT,
        )
        .order_by(columns.created_at, columns.event)  # of one look the failure comes before the end
    )
    return [Notification(*row) for row in connection.execute(query)]


def take(connection: Connection, notice: Notification) -> bool:
    """Take a message to send it, before it is sent; False: somebody else did."""
    pause = timedelta(seconds=_FIRST_PAUSE * 4**notice.tries)
    taken = connection.execute(
        update(tables.notice)
        .where(_is(notice), tables.notice.c.sent_at.is_(None), tables.notice.c.tries == notice.tries)
        .values(tries=notice.tries + 1, due_at=func.now() + pause)
    )
    return bool(taken.rowcount)


def sent(connection: Connection, notice: Notification) -> None:
    """Note that a message was sent."""
    connection.execute(update(tables.notice).where(_is(notice)).values(sent_at=func.now(), error=None))


def refused(connection: Connection, notice: Notification, error: str) -> None:
    """Note why a message could not be sent."""
    connection.execute(update(tables.notice).where(_is(notice)).values(error=error))


def _is(notice: Notification) -> ColumnElement[bool]:
    columns = tables.notice.c
    return (
        (columns.study == notice.study)
        & (columns.event == notice.event)
        & (columns.since == notice.since)
        & (columns.recipient == notice.recipient)
    )
