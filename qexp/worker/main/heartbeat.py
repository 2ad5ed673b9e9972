"""The heartbeat of a worker, from its main process: a child may be busy for days."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from uuid import UUID

from qexp.errors import ServiceError
from qexp.queueing import broker
from qexp.settings import Settings
from qexp.store.writes import worker_rows
from qexp.worker.attempt.signals import GRACE
from qexp.worker.main.reconciler import Reconciler
from qexp.worker.main.recovery import Recovery
from qexp.worker.periodic_thread import PeriodicThread
from qexp.worker.shutdown import ShutdownPolicy

log = logging.getLogger(__name__)

_CHECK = 0.25
"""Seconds between two checks whether the worker was told to stop."""


class Heartbeat:
    """A thread that renews the worker's lease, drains the outbox, reconciles, and applies the shutdown policy."""

    def __init__(
        self,
        settings: Settings,
        recovery: Recovery,
        reconciler: Reconciler,
        shutdown_policy: ShutdownPolicy,
    ) -> None:
        self.settings, self._worker, self._record_death = settings, recovery.worker, recovery.record_death
        self._postgres, self._outbox = recovery.postgres, recovery.outbox
        self._reconciler, self._shutdown_policy = reconciler, shutdown_policy
        self._told = False
        """Postgres knows that the worker stops."""
        self._heard = time.monotonic()
        self._site: UUID | None = None
        self._stop_taking: Callable[[], None] | None = None
        self._due = 0.0
        self._thread = PeriodicThread("qexp-heartbeat", self._beat_if_due, self._pause, "heartbeat failed")

    def start(self, stop_taking: Callable[[], None] | None = None) -> None:
        """
        Start the thread, after the pool has forked its children.

        It calls *stop_taking* when the worker is quarantined.
        """
        self._stop_taking = stop_taking
        self._due = time.monotonic() + self.settings.heartbeat
        self._thread.start()

    def stop(self, patience: float | None = None) -> None:
        """Stop the thread; wait at most *patience* seconds for the beat under way."""
        if self._thread.stop(patience):
            self._postgres.release()

    def beat(self) -> None:
        """Renew the lease now, and end attempts that this worker has lost."""
        stopping = self._reconciler.slots.worker_stops
        pulse = self._postgres.run(
            lambda raw: worker_rows.beat(raw, self._worker, stopping=stopping), "the heartbeat", patience=0
        )
        self._told = stopping
        self._heard, self._site = time.monotonic(), pulse.site
        if pulse.quarantine is not None and self._stop_taking is not None:
            log.error("this worker is quarantined and takes no more experiments: %s", pulse.quarantine)
            self._stop_taking()
            self._stop_taking = None
        self._outbox.drain(died=self._record_death)
        if pulse.given_up:
            log.error("this worker missed its lease: its experiments run elsewhere and are killed here")
        grace = 0.0 if pulse.given_up else GRACE
        self._postgres.run(lambda raw: self._reconciler.reconcile(raw, grace), "reconciling", patience=0)
        self._postgres.run(
            lambda raw: self._shutdown_policy.check(raw, self._reconciler.busy), "the shutdown policy", patience=0
        )

    def _beat_if_due(self) -> None:
        """Beat if it is time, or if the worker was told to stop: Postgres must know before the worker is gone."""
        if time.monotonic() < self._due and (self._told or not self._reconciler.slots.worker_stops):
            return
        try:
            self.beat()
        except ServiceError:
            self._give_up_if_cut_off()
            raise
        finally:
            self._due = time.monotonic() + self.settings.heartbeat

    def _pause(self) -> float:
        return max(0.0, min(_CHECK, self._due - time.monotonic()))

    def _give_up_if_cut_off(self) -> None:
        """
        Kill the attempts of this worker if other workers run them by now.

        They do if this worker could not renew its lease while others could: the leader then keeps a key on the broker.
        If nobody reaches Postgres, nobody takes experiments, and long ones continue.
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
            self._reconciler.kill_all()
