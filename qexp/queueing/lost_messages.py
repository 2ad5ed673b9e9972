"""Find messages that the broker has lost, by comparing it with Postgres, and publish their ids again."""

from __future__ import annotations

import time
from datetime import datetime
from uuid import UUID

from qexp.queueing import broker, sizing
from qexp.queueing.publisher import Publisher
from qexp.store.connection import Connection, Database
from qexp.store.reads import study_rows
from qexp.store.writes import publishing
from qexp.store.writes.publishing import QueuedBacklog

LOST_AFTER = 5.0
"""Seconds after which missing messages count as lost: a child takes a message before it claims the experiments."""


class LostMessages:
    """
    Publishes lost messages again. Each of three signs shows that messages are lost.

    - The broker was wiped: the key that qexp keeps on it is gone.
    - A list is empty, although Postgres has queued experiments for it.
    - Experiments that were published before the next message of their list are still queued: lists keep their order.
    """

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database, self._publisher = database, publisher
        self._missing: dict[int, tuple[float, datetime]] = {}
        """By study: the time at which missing messages were noticed, and the time before which they were published."""

    def republish(self, site: UUID, is_first: bool = False) -> int:
        """
        Publish the experiments of lost messages again; return their number.

        *is_first* says that no worker has checked before, so that a missing key is no sign.
        """
        with self._database.begin() as connection:
            backlogs = publishing.backlogs(connection)
        key = f"qexp:{site}"
        with self._publisher.broker.use() as connected:
            wiped = not connected.exists(key)
            found = broker.waiting(connected, sorted({(backlog.queue, backlog.level) for backlog in backlogs}))
        with self._database.begin() as connection:
            missing = {
                backlog.study: _missing_before(connection, backlog, found[backlog.queue, backlog.level])
                for backlog in backlogs
            }
        number = 0
        for backlog in backlogs:
            is_lost = wiped and not is_first
            before = backlog.now if is_lost else self._lost_before(backlog.study, missing[backlog.study])
            if before is not None:
                number += self._republish_study(backlog.study, before)
        if wiped:
            with self._publisher.broker.use() as connected:
                connected.set(key, "this broker was not wiped since this site has published")
        self._missing = {study: since for study, since in self._missing.items() if missing.get(study)}
        return number

    def _lost_before(self, study: int, missing: datetime | None) -> datetime | None:
        """Return the time before which messages were lost. Returns None until they are missing for LOST_AFTER."""
        if missing is None:
            return None
        since, before = self._missing.setdefault(study, (time.monotonic(), missing))
        if time.monotonic() - since < LOST_AFTER:
            return None
        del self._missing[study]
        return before

    def _republish_study(self, number: int, before: datetime) -> int:
        """Publish again the experiments of a study that were queued before a time."""
        published = 0
        while True:
            with self._database.begin() as connection:
                (study,) = study_rows.rows(connection, [number])
                durations = self._publisher.durations(connection, study)
                batch = publishing.mark_republished(connection, number, before, sizing.BATCH)
            if not batch:
                return published
            size = sizing.message_size(durations, self._publisher.settings.bundle)
            self._publisher.send(study, sizing.divide(batch, size, 1, is_tail=False))
            published += len(batch)


def _missing_before(connection: Connection, backlog: QueuedBacklog, waiting: broker.WaitingMessages) -> datetime | None:
    """Return the time before which messages are missing. Returns None if none is missing."""
    before = publishing.oldest_queued(connection, waiting.next_ids) if waiting.number else backlog.now
    return before if before is not None and (backlog.oldest is None or backlog.oldest < before) else None
