"""The leader, one worker by a lease: it recovers experiments of silent workers, publishes, and runs periodic jobs."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from uuid import UUID

from qexp.errors import DatabaseUnreachableError, ServiceError, SettingsError
from qexp.model import Error, Failure
from qexp.queueing import broker
from qexp.queueing.lost_messages import LostMessages
from qexp.queueing.publisher import Publisher
from qexp.settings import Settings
from qexp.store.connection import Database, RawConnection, connect
from qexp.store.reconnecting import translated
from qexp.store.writes import worker_rows
from qexp.truncation import single_line
from qexp.worker.attempt.failure import fingerprint
from qexp.worker.main.leader_jobs import LeaderJobs
from qexp.worker.periodic_thread import PeriodicThread
from qexp.worker.slots import SlotTable

log = logging.getLogger(__name__)

_INTERVAL = 1.0
"""Seconds between two runs."""
_IDLE_INTERVAL = 3.0
"""Seconds between two runs while no experiment is open; the client publishes the experiments that it enqueues."""
_SHORTEST_INTERVAL = 0.05
"""Seconds from a probe until the next run."""
_STAYS_ACTIVE = 10.0
"""Seconds for which the leader stays active after the last open experiment, since a worker may reappear."""
_LEASE = 10.0
"""Seconds after which another worker replaces a silent leader; less if workers' leases are shorter."""


class Leader:
    """
    A thread in the main process of each worker; the worker with the leader's lease in Postgres leads.

    All work is safe to do twice, so two leaders at a time do no harm.
    """

    def __init__(self, settings: Settings, worker: UUID, slots: SlotTable, recover: Callable[[], None]) -> None:
        self.settings, self.worker, self._slots, self._recover = settings, worker, slots, recover
        self._database = Database(settings, keeps=True)
        self._publisher = Publisher(self._database)
        self._lost = LostMessages(self._database, self._publisher)
        self.jobs = LeaderJobs(self._database)
        self._lease = min(_LEASE, settings.lease)
        self.connection: RawConnection | None = None
        self._reached = self._answered = 0.0
        """The time since which Postgres has been reachable, and the time of its last answer."""
        self._ran_at, self._active, self._had_work_at = 0.0, True, -math.inf
        self._has_published = True
        """Whether the last run published experiments, so that more may follow soon."""
        self._hurry = False
        self._leads = True
        """Whether this worker leads, as far as it knows; a new worker tries to lead immediately."""
        self._probed: dict[int, float] = {}
        """By study: the time at which this worker took its first probe, until a probe has ended."""
        self._thread = PeriodicThread(
            "qexp-leader",
            self._lead_if_due,
            self._pause,
            "the leader could not do its work",
            gather=_SHORTEST_INTERVAL,
            last=self._finish,
        )

    def start(self) -> None:
        """Start the thread, after the pool has forked its children."""
        self.jobs.start()
        self._thread.start()

    def stop(self, hurry: bool = False, patience: float | None = None) -> None:
        """
        Stop the thread and resign, so that another worker can lead. Without *hurry*, send the last notifications first.

        Wait at most *patience* seconds for a run under way.
        """
        self._hurry = hurry
        self._thread.stop(patience)
        self.jobs.stop(hurry)
        self._close()

    def wake(self, study: int) -> None:
        """
        Run soon, because a child of this worker has taken a probe of a study.

        After the probe ends, this worker publishes the rest of the study even if it does not lead: the leader may be
        dead.
        """
        self._probed.setdefault(study, time.monotonic())
        self._thread.wake()

    def run_once(self) -> bool:
        """Do the work of the leader now. Returns False if another worker leads."""
        raw = self._connection()
        lead = worker_rows.lead(raw, self.worker, self._lease, self.settings.lease)
        self._answered = time.monotonic()
        if lead is None:
            self._active = True  # if this worker leads again, the other leader may have left work
            return False
        self._ran_at = time.monotonic()
        if not lead.has_work and not self._active:
            self._mark(lead.site)
            return True
        self._active = True
        if lead.has_work:
            self._had_work_at = time.monotonic()
        self._recover_silent(raw)
        try:
            self._mark(lead.site)
            self._publish(lead)
        finally:  # the jobs do not need the broker; people may wait to hear of the last experiment
            succeeded = self.jobs.run_due(run_all=not lead.has_work)
            if succeeded:  # Postgres answered the jobs, which may take long on a slow machine
                self._answered = time.monotonic()
            self._active = not succeeded or time.monotonic() < self._had_work_at + _STAYS_ACTIVE
        return True

    def _is_idle(self) -> bool:
        """Say whether no experiment is open, as far as this worker knows, so that the next run can wait."""
        is_open = self._active or self._probed or self._slots.occupied()
        return not is_open and time.monotonic() < self._ran_at + _IDLE_INTERVAL

    def _mark(self, site: UUID) -> None:
        """Set a key on the broker that expires soon; it says that a leader reaches Postgres."""
        with self._publisher.broker.use() as connection:
            connection.set(broker.leader_key(site), "a leader reaches Postgres", px=round(5000 * _INTERVAL))

    def _publish(self, lead: worker_rows.Leadership) -> None:
        """Publish the experiments of lost messages again, then pending ones: their messages cannot be lost yet."""
        try:
            again = self._lost.republish(lead.site, lead.is_first)
            if again:
                log.warning("%d experiments were published again: the broker had lost their messages", again)
        finally:  # also after an error above
            self._has_published = self._publisher.publish_all() > 0

    def _close(self) -> None:
        self._publisher.close()
        self._database.close()

    def _recover_silent(self, raw: RawConnection) -> None:
        """
        Recover the experiments of silent workers; their retries are due immediately.

        The files of silent workers on this machine show which attempts ended and which did not begin. After an outage
        of Postgres all workers look silent, so wait for one lease first.
        """
        lease = self.settings.lease
        if time.monotonic() - self._reached < lease:
            return
        gone = worker_rows.silent(raw, lease)
        if gone:
            try:
                self._recover()
            except SettingsError as error:  # other users may have written the files, so all attempts count as lost
                log.error("files of silent workers on this machine cannot be read: %s", error)
        for silent in gone:
            message = f"the last heartbeat of its worker {silent.name} was at {silent.last_seen:%Y-%m-%d %H:%M:%S %Z}"
            message += ", and its host is alive" if silent.died else ""
            mark = fingerprint("WorkerLost", [])
            lost = worker_rows.recover(raw, silent, Error(Failure.LOST, "WorkerLost", message, fingerprint=mark))
            if lost:
                many = "1 experiment was" if len(lost) == 1 else f"{len(lost)} experiments were"
                log.warning("worker %s is silent: %s recovered from it", silent.name, many)

    def _lead_if_due(self) -> None:
        if self._leads and self._is_idle():
            return
        probed = dict(self._probed)
        try:
            with translated(self.settings):
                self._leads = self.run_once()
            if not self._leads:
                if probed:
                    self._publisher.publish_studies(probed)
                self._close()
        except DatabaseUnreachableError:
            self.connection = None
            raise
        for study, since in probed.items():
            if study not in self._publisher.awaiting or time.monotonic() - since > self._lease:
                del self._probed[study]  # its durations are known, or the leader has had enough time

    def _finish(self) -> None:
        """Note the last news, and resign, so that another worker can lead."""
        if self.connection is not None and self._leads:
            if not self._hurry:
                self.jobs.note_last_news()
            self._resign(self.connection)

    def _pause(self) -> float:
        """
        Return the seconds until the next run.

        While a study waits for its probes, the pauses are short at first, and grow with the time since the probe.
        """
        waited = time.monotonic() - max([*self._probed.values()], default=-math.inf)
        pause = self._lease / 2 if not self._leads else _INTERVAL / 2 if self._has_published else _INTERVAL
        return min(pause, max(_SHORTEST_INTERVAL, waited / 2))

    def _resign(self, raw: RawConnection) -> None:
        try:
            with translated(self.settings):
                worker_rows.resign(raw, self.worker)
                raw.close()
        except ServiceError as error:
            log.warning("the leader's lease was not given up, and ends by itself: %s", single_line(error))

    def _connection(self) -> RawConnection:
        if self.connection is None or self.connection.closed:
            self.connection, now = connect(self.settings), time.monotonic()
            if now - self._answered > self.settings.lease / 3:  # otherwise only the connection was lost
                self._reached = now
        return self.connection
