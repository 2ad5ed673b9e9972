"""The periodic jobs of the leader: failure limits, quarantine, notifications, views."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from qexp.errors import ServiceError
from qexp.store.connection import Database
from qexp.store.rules import failure_limit, worker_quarantine
from qexp.store.schema import views
from qexp.store.writes import control
from qexp.worker.main.notifier import Notifier

log = logging.getLogger(__name__)

_SHARE = 0.05
"""The largest share of time that a job may take; its interval grows if the tables are large."""


@dataclass
class PeriodicJob:
    """A job that runs every few seconds, and is safe to run twice."""

    name: str
    do: Callable[[], None]
    every: float
    due: float = 0.0


class LeaderJobs:
    """The jobs of the leader; a job that fails is logged and does not stop the others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._notifier = Notifier(database)
        self._jobs = [
            PeriodicJob("pausing failing studies", self._pause_failing_studies, every=0.5),
            PeriodicJob("quarantining workers", self._quarantine_workers, every=2.0),
            PeriodicJob("noting news for people", self._notifier.note_news, every=2.0),
            PeriodicJob("renewing views", lambda: views.renew(database), every=5.0),
        ]

    def start(self) -> None:
        """Start the notifier's thread, after the pool has forked its children."""
        self._notifier.start()

    def stop(self, hurry: bool = False) -> None:
        """Stop the notifier's thread; without *hurry*, wait a little while it sends the last notifications."""
        self._notifier.stop(hurry)

    def note_last_news(self) -> None:
        """Note the news of studies once more, since this worker stops."""
        try:
            self._notifier.note_news()
        except ServiceError as error:
            log.warning("messages to people are left to the next worker: %s", error)
        except Exception:
            log.exception("messages to people are left to the next worker")

    def run_due(self, run_all: bool = False) -> bool:
        """Run the jobs that are due, or all. Returns False if one failed."""
        succeeded = True
        for job in self._jobs:
            began = time.monotonic()
            if began < job.due and not run_all:
                continue
            try:
                job.do()
            except ServiceError as error:
                log.warning("%s failed: %s", job.name, error)
                return False
            except Exception:
                log.exception("%s failed", job.name)  # the next run may succeed
                succeeded = False
            took = time.monotonic() - began
            job.due = began + max(job.every, took / _SHARE)
        return succeeded

    def _pause_failing_studies(self) -> None:
        """Pause studies with more failures than their grids allow."""
        with self._database.begin() as connection:
            for excess in failure_limit.exceeded(connection):
                reason = failure_limit.reason(connection, excess)
                if control.pause(connection, excess.name, reason):
                    self._notifier.note_paused(connection, excess.name, reason)
                    log.warning("%s is paused: %s", excess.name, reason)

    def _quarantine_workers(self) -> None:
        """Quarantine workers whose attempts fail while other workers succeed on the same studies."""
        lease = self._database.settings.lease
        with self._database.begin() as connection:
            for suspect in worker_quarantine.suspects(connection, lease):
                reason = worker_quarantine.conviction(connection, suspect)
                if reason is not None and worker_quarantine.quarantine(connection, suspect, reason, lease):
                    log.error("%s is quarantined: %s", suspect.name, reason)
