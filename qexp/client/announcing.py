"""Which experiments are announced when, and what to do about announcements that were lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from uuid import UUID

from qexp import broker
from qexp.model import describe, short_names
from qexp.settings import Settings
from qexp.store import experiments, studies
from qexp.store.connect import Connection

_AT_ONCE = 5_000
"""Experiments that are marked and announced together."""
FRESH = timedelta(seconds=5)
"""What was announced since may be on its way to a child."""
_DEFICIT = 60.0
"""Seconds for which a queue must hold fewer messages than it should before it is believed."""

Progress = Callable[[str, int], None]
"""Is told what was done to how many experiments so far: "written" or "announced"."""


def nobody(what: str, number: int) -> None:
    """Take progress and say nothing."""


class Announcer:
    """
    Keeps the broker shallow: a window of announced ids per queue and priority, refilled as workers empty it.

    Whatever is announced is marked first, so that a worker that is quick finds it; a claim absorbs what comes twice.
    """

    def __init__(self, settings: Settings, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self.settings, self._begin = settings, begin
        self._deficits: dict[str, float] = {}
        """Since when a queue has held fewer messages than were announced."""

    def announce(self, study: studies.StudyRow, progress: Progress = nobody) -> int:
        """
        Publish ids of pending experiments of a study that is not paused, as far as the window has room.

        Return how many. BrokerUnreachableError: the marks of a batch that the broker did not take are taken back.
        """
        announced, level = 0, broker.level(study.priority)
        while study.paused_at is None:
            with self._begin() as connection:
                room = self.settings.window - experiments.announced(connection, study.queue, level)
                batch = experiments.take_pending(connection, study.id, max(0, min(_AT_ONCE, room)))
            if not batch:
                break
            try:
                self._publish(study, batch)
            except BaseException:
                with self._begin() as connection:
                    experiments.put_back(connection, [item.id for item in batch])
                raise
            announced += len(batch)
            progress("announced", announced)
        return announced

    def top_up(self) -> int:
        """Announce what waits, retries that are due among it, for all studies by priority; return how many."""
        with self._begin() as connection:
            waiting = studies.waiting(connection)
        return sum(self.announce(study) for study in waiting)

    def announce_again(self, site: UUID) -> int:
        """
        Announce again what was announced and is not on the broker any more; return how many.

        Known by three signs: a key that says the broker was not wiped since is gone; a queue is empty; or it has held
        fewer messages than it should for a minute.
        """
        with self._begin() as connection:
            lines = experiments.lines(connection)
        queues = sorted({line.queue for line in lines})
        with broker.client(self.settings) as connected:
            key = f"qexp:{site}"
            wiped = not connected.exists(key)
            depths = broker.depths(connected, queues)
            again = 0
            for line in self._lost(lines, depths, wiped):
                age = timedelta() if wiped else FRESH if depths[line.queue] == 0 else timedelta(seconds=_DEFICIT)
                again += self._again(line, line.now - age)
            if wiped:
                connected.set(key, "this broker was not wiped since the announcements of this site")
        return again

    def _lost(self, lines: list[experiments.Line], depths: dict[str, int], wiped: bool) -> list[experiments.Line]:
        """Return those lines of which messages are missing."""
        now, missing = time.monotonic(), set()
        for queue, depth in depths.items():
            if depth >= sum(line.number for line in lines if line.queue == queue):
                self._deficits.pop(queue, None)
            elif wiped or depth == 0 or now - self._deficits.setdefault(queue, now) > _DEFICIT:
                self._deficits.pop(queue, None)
                missing.add(queue)
        return [line for line in lines if wiped or line.queue in missing]

    def _again(self, line: experiments.Line, before: datetime) -> int:
        """Announce again what was announced of a study before a moment."""
        again = 0
        while True:
            with self._begin() as connection:
                (study,) = studies.rows(connection, [line.study])
                batch = experiments.take_queued(connection, line.study, before, _AT_ONCE)
            if not batch:
                return again
            self._publish(study, batch)
            again += len(batch)

    def _publish(self, study: studies.StudyRow, batch: Sequence[experiments.Announcement]) -> None:
        names = study.parameters
        short = {name: short_names(item.params.get(name) for item in batch) for name in names}
        broker.publish(
            self.settings,
            [
                broker.Message(
                    study.queue,
                    (item.id,),
                    item.attempt + 1,
                    f"{study.name} #{item.id}  {describe(item.params, names, short)}",
                    broker.level(study.priority),
                )
                for item in batch
            ],
        )
