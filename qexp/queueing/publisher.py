"""Publish ids of pending experiments on the broker, as many as a queue's window has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from qexp.model import Status, describe, short_names
from qexp.queueing import broker, sizing
from qexp.queueing.broker import BrokerConnection
from qexp.queueing.messages import Message, level
from qexp.settings import Settings
from qexp.store.connection import Connection, Database
from qexp.store.reads import study_rows, workers
from qexp.store.writes import publishing


class Publisher:
    """
    Publishes ids, with connections to Postgres and the broker that stay open.

    Each queue and priority has a window: the most experiments that are queued together. Experiments are marked as
    queued before their ids are published, so that a quick worker can claim them. An id may come twice: a claim succeeds
    only once.
    """

    def __init__(self, database: Database) -> None:
        self.settings, self._database = database.settings, database
        self.broker = BrokerConnection(self.settings)
        self.awaiting = set[int]()
        """Ids of studies whose probes had not ended at the last publication."""

    def close(self) -> None:
        """Close the connection to the broker; the next use opens it again."""
        self.broker.close()

    def publish(self, study: study_rows.StudyRow, progress: Callable[[int], None] = lambda number: None) -> int:
        """
        Publish pending experiments of a study while the window has room; return their number, 0 for a paused study.

        Raises BrokerUnreachableError; the experiments of the last batch are then pending again.
        """
        published = 0
        self.awaiting.discard(study.id)
        while batch := self._next_batch(study, published):
            with self.pending_unless_sent(item.id for message in batch[0] for item in message):
                self.send(study, *batch)
            published += sum(map(len, batch[0]))
            progress(published)
        return published

    def _next_batch(
        self, study: study_rows.StudyRow, published: int
    ) -> tuple[list[Sequence[publishing.QueuedExperiment]], bool] | None:
        """Mark the next experiments as queued; return them by message, and whether they are probes, or None."""
        if study.paused_at is not None:
            return None
        with self._database.begin() as connection:
            publishing.lock_study(connection, study.id)
            durations = self.durations(connection, study)
            is_probe = durations is None and self.settings.bundle > 0
            children = workers.children(connection, study.id, self.settings.lease)
            room = self.settings.window - publishing.queued_on(connection, study.queue, level(study.priority))
            if is_probe:
                self.awaiting.add(study.id)
                room = min(room, sizing.probes(children) - publishing.number_of(connection, study.id, Status.QUEUED))
            size = sizing.batch_size(room, self.settings.window, published)
            batch = publishing.mark_queued(connection, study.id, size, study.longest_first) if size else []
        if not batch:
            return None
        most = sizing.message_size(durations, self.settings.bundle)
        return sizing.divide(batch, most, children, is_tail=len(batch) < size), is_probe

    @contextmanager
    def pending_unless_sent(self, ids: Iterable[int]) -> Iterator[None]:
        """Mark queued experiments as pending again if the block, which sends them, fails."""
        try:
            yield
        except BaseException:
            with self._database.begin() as connection:
                publishing.mark_pending(connection, list(ids))
            raise

    def publish_all(self) -> int:
        """Publish pending experiments and due retries of all studies, by priority; return their number."""
        self.awaiting.clear()
        with self._database.begin() as connection:
            waiting = study_rows.waiting(connection)
        return sum(self.publish(study) for study in waiting)

    def publish_studies(self, ids: Iterable[int]) -> None:
        """Publish pending experiments of the studies with these ids."""
        with self._database.begin() as connection:
            studies = study_rows.rows(connection, sorted(ids))
        for study in studies:
            self.publish(study)

    def republish(self, ids: Sequence[int]) -> None:
        """Publish again those of these experiments that no worker has claimed."""
        with self._database.begin() as connection:
            affected = publishing.mark_pending(connection, ids)
        self.publish_studies(affected)

    def durations(self, connection: Connection, study: study_rows.StudyRow) -> publishing.RecentDurations | None:
        """Return the durations by which a study's messages are sized. Returns None if unknown, or without bundles."""
        return publishing.recent_durations(connection, study.id) if self.settings.bundle else None

    def send(
        self,
        study: study_rows.StudyRow,
        messages: Sequence[Sequence[publishing.QueuedExperiment]],
        is_probe: bool = False,
        queue: str | None = None,
    ) -> None:
        """Put one message on the study's queue, or on *queue*, for each of these groups of a study's experiments."""
        singles = [message[0].params for message in messages if len(message) == 1]
        short = {name: short_names(params.get(name) for params in singles) for name in study.parameters}
        with self.broker.use() as connection:
            broker.publish(
                connection,
                [
                    Message(
                        queue or study.queue,
                        tuple(item.id for item in message),
                        max(item.attempt for item in message) + 1,
                        _described(study, message, short),
                        0 if queue else level(study.priority),
                        study.id if is_probe else None,
                    )
                    for message in messages
                ],
            )


@contextmanager
def open_publisher(settings: Settings) -> Iterator[Publisher]:
    """Yield a publisher; close its connections at the end of the block."""
    with closing(Database(settings, keeps=True)) as database, closing(Publisher(database)) as publisher:
        yield publisher


def _described(
    study: study_rows.StudyRow, message: Sequence[publishing.QueuedExperiment], short: Mapping[str, Mapping[str, str]]
) -> str:
    """Return the line that monitors show for a message."""
    first, last = message[0], message[-1]
    if len(message) > 1:
        return f"{study.name} #{first.id} to #{last.id}  {len(message)} experiments"
    return f"{study.name} #{first.id}  {describe(first.params, study.parameters, short)}"
