"""Publish the experiments of one study on a queue of their own, for a worker that takes only this study."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from qexp.queueing import broker, sizing
from qexp.queueing.broker import TemporaryQueue
from qexp.queueing.messages import ids_in, is_of, level
from qexp.queueing.publisher import Publisher
from qexp.store.connection import Database
from qexp.store.reads import study_rows
from qexp.store.reads.study_rows import StudyRow
from qexp.store.writes import publishing
from qexp.store.writes.publishing import QueuedExperiment

_KEPT = 60
"""Seconds after which the broker deletes the queue of a worker that died."""
_AGAIN = 5.0
"""Seconds, besides those of a message, after which an experiment that is still queued is published here again."""
_AHEAD = 4
"""Messages that wait for each child."""
_UNSIZED = 1000
"""Experiments that wait if messages are not sized by their durations."""

Batch = Sequence[QueuedExperiment]


class StudyFeed:
    """
    Keeps a few messages with the next experiments of a study on a queue that only one worker reads.

    Each of these experiments also has a message on the study's queue. So other workers can take it too, and it is not
    lost with this queue. A claim succeeds once, whichever message comes first.
    """

    def __init__(self, database: Database, study: str, children: int) -> None:
        self.study, self._children = study, children
        self._database, self._publisher = database, Publisher(database)
        self._queue = TemporaryQueue()
        self._published: dict[tuple[int, int], float] = {}
        """By experiment and attempt: the time of its last message here, for a few seconds."""

    @property
    def queue(self) -> str:
        """The name of the queue."""
        return self._queue.name

    def top_up(self) -> int:
        """Publish the next experiments if less than half of the intended ones wait; return their number."""
        with self._publisher.broker.use() as server:
            waiting = self._queue.renew(server, _KEPT)
        study = self._study()
        if study is None or study.paused_at is not None:
            return 0
        bundle = self._publisher.settings.bundle
        with self._database.begin() as connection:
            durations = self._publisher.durations(connection, study)
        is_probe, most = durations is None and bundle > 0, sizing.message_size(durations, bundle)
        room = self._intended(is_probe, most) - len(waiting)
        if room < len(waiting):
            return 0

        def send(batch: Batch, queue: str | None) -> None:
            messages = sizing.divide(batch, most, self._children, is_tail=len(batch) < room)
            self._publisher.send(study, messages, is_probe, queue)

        known = self._next_queued(study, room, waiting)
        new = self._mark_queued(study, room - len(known), lambda batch: send(batch, None)) if len(known) < room else []
        if batch := [*known, *new]:
            send(batch, self.queue)
            self._published.update(dict.fromkeys(((item.id, item.attempt) for item in batch), time.monotonic()))
        return len(batch)

    def _intended(self, is_probe: bool, most: int) -> int:
        """Return the number of experiments that should wait, given the number in a message."""
        if not self._publisher.settings.bundle:
            return _UNSIZED
        return sizing.probes(self._children) if is_probe else _AHEAD * self._children * most

    def _next_queued(self, study: StudyRow, room: int, waiting: Sequence[int]) -> Batch:
        """Return queued experiments that have no message here, and had none lately: a child may be claiming those."""
        since = time.monotonic() - self._publisher.settings.bundle - _AGAIN
        self._published = {key: at for key, at in self._published.items() if at > since}
        here = set(waiting)
        with self._database.begin() as connection:
            limit = room + len(here) + len(self._published)
            found = publishing.next_queued(connection, study.id, limit, study.longest_first)
        return [item for item in found if item.id not in here and (item.id, item.attempt) not in self._published][:room]

    def _mark_queued(self, study: StudyRow, room: int, send: Callable[[Batch], None]) -> Batch:
        """Publish pending experiments on the study's queue, even if its window is full, and return them."""
        with self._database.begin() as connection:
            publishing.lock_study(connection, study.id)
            batch = publishing.mark_queued(connection, study.id, room, study.longest_first)
        if batch:
            with self._publisher.pending_unless_sent(item.id for item in batch):
                send(batch)
        return batch

    def sweep(self) -> int:
        """
        Remove messages from the study's queue whose experiments were taken from this one; return their number.

        If no other worker reads that queue, it would grow with each run.
        """
        study = self._study()
        if study is None:
            return 0

        def spent(part: Sequence[bytes]) -> Sequence[bytes]:
            ids = {message: ids_in(message) for message in part if is_of(message, study.name)}
            if not ids:
                return []
            with self._database.begin() as connection:
                wanted = publishing.still_queued(connection, study.id, [one for some in ids.values() for one in some])
            return [message for message, some in ids.items() if wanted.isdisjoint(some)]

        with self._publisher.broker.use() as server:
            return broker.drop(server, study.queue, level(study.priority), spent)

    def _study(self) -> StudyRow | None:
        """Return the study as it is now. Returns None if it was deleted."""
        with self._database.begin() as connection:
            return next(iter(study_rows.named(connection, [self.study])), None)

    def close(self) -> None:
        """Delete the queue, and close the connections."""
        with self._publisher.broker.use() as server:
            self._queue.delete(server)
        self._publisher.close()
        self._database.close()
