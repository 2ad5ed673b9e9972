"""Which experiments are announced when, and what to do about announcements that were lost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from uuid import UUID

from qexp import broker
from qexp.client.progress import Progress, nobody
from qexp.model import describe, short_names
from qexp.settings import Settings
from qexp.store.connection import Connection
from qexp.store.reads import study_rows, workers
from qexp.store.writes import publishing

_AT_ONCE = 5_000
"""Experiments that are marked and announced together."""
_AT_FIRST = 500
"""Those of them that come first, as children may wait for something to do."""
_WORTHWHILE = 0.2
"""The share of that which there must be room for when some were announced: workers make a little of it meanwhile."""
FRESH = timedelta(seconds=5)
"""What was announced since may be on its way to a child."""
_UNKNOWN = 40
"""Experiments of a study that are announced while nobody knows how long one takes, if fewer children are there."""
_EXPECTED = 8
"""Children that are counted on while none is there."""
_SPREAD = 5
"""How much longer than a message should take an experiment as long as the longest ones may make it."""
_GOLDEN = 0.6180339887
"""The fractional parts of its multiples lie apart from each other, however many there are (Weyl, 1916)."""


class Announcer:
    """
    Keeps the broker shallow: a window of announced ids per queue and priority, refilled as workers empty it.

    Whatever is announced is marked first, so that a worker that is quick finds it; a claim absorbs what comes twice.
    """

    def __init__(self, settings: Settings, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self.settings, self._begin = settings, begin
        self.holds_back = False
        """Something of a study was not announced as nobody knows yet how long its experiments take."""
        self._missing: dict[int, tuple[float, datetime]] = {}
        """Since when messages of studies are missing, and before which moment they were sent."""

    def announce(self, study: study_rows.StudyRow, progress: Progress = nobody) -> int:
        """
        Publish ids of pending experiments of a study that is not paused, as far as the window has room.

        Return how many. BrokerUnreachableError: the marks of a batch that the broker did not take are taken back.
        """
        announced, level = 0, broker.level(study.priority)
        while study.paused_at is None:
            with self._begin() as connection:
                publishing.lock_study(connection, study.id)
                pace = self._pace(connection, study)
                children = workers.children(connection, study.queue, self.settings.lease)
                room = self.settings.window - publishing.queued_on(connection, study.queue, level)
                if pace is None and self.settings.bundle:
                    self.holds_back = True
                    known = max(_UNKNOWN, 4 * children)
                    room = min(room, known - publishing.queued_of(connection, study.id))
                if announced and room < min(_AT_ONCE, self.settings.window) * _WORTHWHILE:
                    break
                limit = max(0, min(_AT_ONCE if announced else _AT_FIRST, room))
                batch = publishing.mark_queued(connection, study.id, limit, study.longest_first)
            if not batch:
                break
            try:
                most = size(pace, self.settings.bundle)
                scout = study.id if pace is None and self.settings.bundle else None
                self._publish(study, bundles(batch, most, children, is_tail=len(batch) < limit), scout)
            except BaseException:
                with self._begin() as connection:
                    publishing.mark_pending(connection, [item.id for item in batch])
                raise
            announced += len(batch)
            progress("announced", announced)
        return announced

    def top_up(self) -> int:
        """Announce what waits, retries that are due among it, for all studies by priority; return how many."""
        self.holds_back = False
        with self._begin() as connection:
            waiting = study_rows.waiting(connection)
        return sum(self.announce(study) for study in waiting)

    def go_on(self, ids: Iterable[int]) -> set[int]:
        """Announce what waits of some studies; return those of which nobody knows yet how long an experiment takes."""
        with self._begin() as connection:
            found = study_rows.rows(connection, sorted(ids))
        unknown = set()
        for study in found:
            self.holds_back = False
            self.announce(study)
            if self.holds_back:
                unknown.add(study.id)
        return unknown

    def announce_again(self, site: UUID, is_first: bool = False) -> int:
        """
        Announce again what was announced and is not on the broker any more; return how many.

        Known by three signs: a key that says the broker was not wiped since is gone; a list is empty; or what is next
        on it was announced later than what should have come before. The latter must hold for a while: a process may
        have taken a message, and not claimed all of it yet. *is_first*: nobody has looked before, so that no such key
        says nothing.
        """
        with self._begin() as connection:
            lines = publishing.backlogs(connection)
        with broker.client(self.settings) as connected:
            key = f"qexp:{site}"
            wiped = not connected.exists(key)
            found = broker.backlogs(connected, sorted({(line.queue, line.level) for line in lines}))
            with self._begin() as connection:
                missing = {
                    line.study: _missing_before(connection, line, found[line.queue, line.level]) for line in lines
                }
            again = 0
            for line in lines:
                before = line.now if wiped and not is_first else self._lost_before(line.study, missing[line.study])
                if before is not None:
                    again += self._again(line, before)
            if wiped:
                connected.set(key, "this broker was not wiped since the announcements of this site")
        self._missing = {study: since for study, since in self._missing.items() if missing.get(study)}
        return again

    def _lost_before(self, study: int, missing: datetime | None) -> datetime | None:
        """Return the moment before which messages were missing for a while; None: there is none."""
        if missing is None:
            return None
        since, before = self._missing.setdefault(study, (time.monotonic(), missing))
        if time.monotonic() - since < FRESH.total_seconds():
            return None
        del self._missing[study]
        return before

    def _again(self, line: publishing.QueuedBacklog, before: datetime) -> int:
        """Announce again what was announced of a study before a moment."""
        again = 0
        while True:
            with self._begin() as connection:
                (study,) = study_rows.rows(connection, [line.study])
                pace = self._pace(connection, study)
                batch = publishing.mark_republished(connection, line.study, before, _AT_ONCE)
            if not batch:
                return again
            self._publish(study, bundles(batch, size(pace, self.settings.bundle), 1, is_tail=False))
            again += len(batch)

    def _pace(self, connection: Connection, study: study_rows.StudyRow) -> publishing.RecentDurations | None:
        return publishing.recent_durations(connection, study.id) if self.settings.bundle else None

    def _publish(
        self,
        study: study_rows.StudyRow,
        messages: Sequence[Sequence[publishing.QueuedExperiment]],
        scout: int | None = None,
    ) -> None:
        alone = [message[0].params for message in messages if len(message) == 1]
        short = {name: short_names(params.get(name) for params in alone) for name in study.parameters}
        level = broker.level(study.priority)
        broker.publish(
            self.settings,
            [
                broker.Message(
                    study.queue,
                    tuple(item.id for item in message),
                    max(item.attempt for item in message) + 1,
                    _described(study, message, short),
                    level,
                    scout,
                )
                for message in messages
            ],
        )


def _missing_before(connection: Connection, line: publishing.QueuedBacklog, backlog: broker.Backlog) -> datetime | None:
    """Return the moment before which messages are missing of what was announced; None: none is."""
    before = publishing.oldest_queued(connection, backlog.next) if backlog.depth else line.now
    return before if before is not None and (line.oldest is None or line.oldest < before) else None


def _described(
    study: study_rows.StudyRow, message: Sequence[publishing.QueuedExperiment], short: Mapping[str, Mapping[str, str]]
) -> str:
    """Return what monitors show of a message."""
    first, last = message[0], message[-1]
    if len(message) > 1:
        return f"{study.name} #{first.id} to #{last.id}  {len(message)} experiments"
    return f"{study.name} #{first.id}  {describe(first.params, study.parameters, short)}"


def size(pace: publishing.RecentDurations | None, seconds: float) -> int:
    """
    Return how many experiments one message should announce, so that they take so many seconds together.

    >>> size(None, 1), size(publishing.RecentDurations(0.02, 0.03), 1), size(publishing.RecentDurations(0.02, 2), 1)
    (1, 50, 2)
    """
    if pace is None:
        return 1
    together = seconds / max(pace.median, 1e-6)
    unlucky = _SPREAD * seconds / max(pace.longest, 1e-6)
    return max(1, min(broker.LARGEST, int(together), int(unlucky)))


def bundles(
    items: Sequence[publishing.QueuedExperiment], most: int, children: int, is_tail: bool
) -> list[Sequence[publishing.QueuedExperiment]]:
    """
    Divide experiments into messages of about *most*, so that each child finds two; those of a tail get smaller.

    Sizes differ by up to a quarter: children that have begun together would end together, each time, and wait for
    each other at the worker's main process. The last ones of a study end at one time by guided self-scheduling
    (Polychronopoulos and Kuck, 1987): each message has a share of what is left. With no children yet some are counted
    on. What is to run alone has a message of its own.
    """
    found: list[Sequence[publishing.QueuedExperiment]] = [[item] for item in items if item.alone]
    items = [item for item in items if not item.alone] if found else items
    start = 0
    shares = 2 * (children or _EXPECTED)
    most = min(most, math.ceil(len(items) / shares))
    while start < len(items):
        left = len(items) - start
        share = math.ceil(left / shares) if is_tail else left
        uneven = round(most * (0.75 + len(found) * _GOLDEN % 1 / 2))
        number = share if share <= most else min(share, uneven, broker.LARGEST)
        found.append(items[start : start + number])
        start += number
    return found
