"""A worker says that it is there, from its main process: never from a child that may be busy for days."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from uuid import UUID

from qexp.errors import ServiceError
from qexp.queueing import broker
from qexp.settings import Settings
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.writes import worker_rows
from qexp.worker.attempt.signals import GRACE
from qexp.worker.attendance import Attendance
from qexp.worker.child.outbox import ResultOutbox
from qexp.worker.child.outbox_files import ChildDeath
from qexp.worker.periodic import PeriodicThread
from qexp.worker.tenure import Tenure

log = logging.getLogger(__name__)

_LOOK = 0.25
"""Seconds between two looks whether the worker was told to stop."""


class Heart:
    """A thread that beats, then delivers what dead processes have left, and looks after what the children are at."""

    def __init__(
        self,
        settings: Settings,
        worker: UUID,
        postgres: ReconnectingConnection,
        attendance: Attendance,
        outbox: ResultOutbox,
        tenure: Tenure,
        died: Callable[[ChildDeath], None],
    ) -> None:
        self.settings, self._worker, self._postgres = settings, worker, postgres
        self._attendance, self._outbox, self._tenure = attendance, outbox, tenure
        self._told = False
        """Postgres knows that the worker was told to stop."""
        self._died = died
        """Deals with deaths that Postgres could not be told when they came."""
        self._heard = time.monotonic()
        self._site: UUID | None = None
        self._stop_taking: Callable[[], None] | None = None
        self._due = 0.0
        self._thread = PeriodicThread("qexp-heartbeat", self._beat_if_due, self._until_next_look, "heartbeat failed")

    def start(self, stop_taking: Callable[[], None] | None = None) -> None:
        """
        Start the thread, after the pool has forked its children.

        *stop_taking* is called when the worker is to take nothing any more.
        """
        self._stop_taking = stop_taking
        self._due = time.monotonic() + self.settings.heartbeat
        self._thread.start()

    def stop(self, patience: float | None = None) -> None:
        """Stop the thread; wait at most *patience* seconds for the beat under way."""
        if self._thread.stop(patience):
            self._postgres.release()

    def beat(self) -> None:
        """Say that the worker is there, now, and end what is not its own any more."""
        stopping = self._attendance.board.stopping
        pulse = self._postgres.run(
            lambda raw: worker_rows.beat(raw, self._worker, stopping=stopping), "the heartbeat", patience=0
        )
        self._told = stopping
        self._heard, self._site = time.monotonic(), pulse.site
        if pulse.quarantine is not None and self._stop_taking is not None:
            log.error("this worker is quarantined and takes no more experiments: %s", pulse.quarantine)
            self._stop_taking()
            self._stop_taking = None
        self._outbox.drain(died=self._died)
        if pulse.given_up:
            log.error("this worker missed its lease: its experiments run elsewhere and are killed here")
        grace = 0.0 if pulse.given_up else GRACE
        self._postgres.run(lambda raw: self._attendance.check(raw, grace), "reconciling", patience=0)
        self._postgres.run(lambda raw: self._tenure.look(raw, self._attendance.busy), "the shutdown policy", patience=0)

    def _beat_if_due(self) -> None:
        """Beat if it is time, or if the worker was told to stop: Postgres must know before the worker is gone."""
        if time.monotonic() < self._due and (self._told or not self._attendance.board.stopping):
            return
        try:
            self.beat()
        except ServiceError:
            self._give_up_if_cut_off()
            raise
        finally:
            self._due = time.monotonic() + self.settings.heartbeat

    def _until_next_look(self) -> float:
        return max(0.0, min(_LOOK, self._due - time.monotonic()))

    def _give_up_if_cut_off(self) -> None:
        """
        End what the children are at if it is run elsewhere by now.

        That is so when this worker was not heard for a lease while others are: the leader keeps a mark on the broker
        while it reaches Postgres. Where Postgres is away for all, nobody takes anything, and work of days goes on.
        """
        if time.monotonic() - self._heard <= self.settings.lease or self._site is None:
            return
        try:
            with broker.connected(self.settings) as connection:
                others_are_heard = bool(connection.exists(broker.leader_key(self._site)))
        except ServiceError as error:
            log.warning("the heartbeats of other workers are unknown: %s", error)
            return
        if others_are_heard:
            log.error("this worker missed its lease while others did not: its experiments are killed here")
            self._attendance.end_all()
