"""Send the heartbeat of a worker in its main process, since a child may run for days."""

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
from qexp.worker.lifetime import WorkerLifetime
from qexp.worker.main.reconciler import Reconciler
from qexp.worker.main.recovery import Recovery
from qexp.worker.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

_CHECK = 0.25
"""Seconds between two checks whether the worker was told to stop."""


class Heartbeat:
    """A thread that renews the worker's lease, records outcomes, reconciles, and stops the worker in time."""

    def __init__(
        self,
        settings: Settings,
        recovery: Recovery,
        reconciler: Reconciler,
        lifetime: WorkerLifetime,
    ) -> None:
        self.settings, self._worker, self._record_death = settings, recovery.worker, recovery.record_death
        self._postgres, self._outbox = recovery.postgres, recovery.outbox
        self._reconciler, self._lifetime = reconciler, lifetime
        self._stop_is_known = False
        """Whether Postgres knows that the worker stops."""
        self._sent_at = time.monotonic()
        self._site: UUID | None = None
        self._stop_taking: Callable[[], None] | None = None
        self._due = 0.0
        self._thread = PeriodicThread("qexp-heartbeat", self._send_if_due, self._pause, "heartbeat failed")

    def start(self, stop_taking: Callable[[], None] | None = None) -> None:
        """
        Start the thread, after the pool has forked its children.

        The thread calls *stop_taking* when the worker is quarantined.
        """
        self._stop_taking = stop_taking
        self._due = time.monotonic() + self.settings.heartbeat
        self._thread.start()

    def stop(self, patience: float | None = None) -> None:
        """Stop the thread; wait at most *patience* seconds for a heartbeat under way."""
        if self._thread.stop(patience):
            self._postgres.release()

    def send(self) -> None:
        """Renew the lease now, and end attempts that this worker has lost."""
        stopping = self._reconciler.slots.worker_stops
        reply = self._postgres.run(
            lambda raw: worker_rows.beat(raw, self._worker, stopping=stopping), "the heartbeat", patience=0
        )
        self._stop_is_known = stopping
        self._sent_at, self._site = time.monotonic(), reply.site
        if reply.quarantine is not None and self._stop_taking is not None:
            log.error("this worker is quarantined and takes no more experiments: %s", reply.quarantine)
            self._stop_taking()
            self._stop_taking = None
        self._outbox.drain(died=self._record_death)
        if reply.given_up:
            log.error("this worker missed its lease: its experiments run elsewhere and are killed here")
        grace = 0.0 if reply.given_up else GRACE
        self._postgres.run(lambda raw: self._reconciler.reconcile(raw, grace), "reconciling", patience=0)
        self._postgres.run(
            lambda raw: self._lifetime.check(raw, self._reconciler.busy), "the shutdown policy", patience=0
        )

    def _send_if_due(self) -> None:
        """Send a heartbeat if it is due, or if Postgres does not know yet that the worker stops."""
        if time.monotonic() < self._due and (self._stop_is_known or not self._reconciler.slots.worker_stops):
            return
        try:
            self.send()
        except Exception:
            self._give_up_if_cut_off()
            raise
        finally:
            self._due = time.monotonic() + self.settings.heartbeat

    def _pause(self) -> float:
        return max(0.0, min(_CHECK, self._due - time.monotonic()))

    def _give_up_if_cut_off(self) -> None:
        """
        Kill the attempts of this worker if other workers may run them by now.

        They may if the lease has expired and a leader's key on the broker shows that other workers reach Postgres. If
        no worker reaches Postgres, none takes experiments, and the attempts here continue.
        """
        if time.monotonic() - self._sent_at <= self.settings.lease or self._site is None:
            return
        try:
            with broker.connected(self.settings) as connection:
                is_led = bool(connection.exists(broker.leader_key(self._site)))
        except ServiceError as error:
            log.warning("the heartbeats of other workers are unknown: %s", error)
            return
        if is_led:
            log.error("this worker missed its lease while others did not: its experiments are killed here")
            self._reconciler.kill_all()
