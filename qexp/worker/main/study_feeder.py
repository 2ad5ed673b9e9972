"""A thread of a worker that takes only one study: it publishes the study's next experiments for this worker."""

from __future__ import annotations

import logging
import os
import signal
import time

from qexp.errors import ServiceError
from qexp.queueing.study_feed import StudyFeed
from qexp.settings import Settings
from qexp.store.connection import Database
from qexp.store.reads import workers
from qexp.worker.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

_SHORTEST, _LONGEST = 0.05, 0.5
"""Seconds between two looks at the queue: after it was topped up, and after it was long enough for some time."""
_SWEEP = 10.0
"""Seconds between two sweeps of the study's queue."""
_SHARE = 0.02
"""The largest share of time that sweeps may take."""


class StudyFeeder:
    """
    Feeds a worker with one study, while the process that has started the worker lives.

    The worker reads only `queue`. It stops after its running experiments once the process *parent* is gone.
    """

    def __init__(self, settings: Settings, study: str, children: int, parent: int) -> None:
        self.serves = [workers.only(study)]
        """The queues by which Postgres knows the worker."""
        self._feed = StudyFeed(Database(settings, keeps=True), study, children)
        self._parent, self._pause, self._sweep_due = parent, 0.0, time.monotonic() + _SWEEP
        self._hurry = self._orphaned = False
        self._thread = PeriodicThread(
            "qexp-feeder",
            self._run,
            lambda: self._pause,
            "the next experiments of the study could not be published",
            gather=_SHORTEST,
            last=self._finish,
        )

    @property
    def queue(self) -> str:
        """The name of the queue that the worker reads."""
        return self._feed.queue

    def start(self) -> None:
        """Start the thread, after the pool has forked its children."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue soon: an experiment is about to say how long the others take."""
        self._pause = 0.0
        self._thread.wake()

    def stop(self, hurry: bool, patience: float | None) -> None:
        """Stop the thread, and wait *patience* seconds. With *hurry*, the study's queue is not swept."""
        self._hurry = hurry
        self._thread.stop(patience)

    def _run(self) -> None:
        self._pause = min(_LONGEST, max(_SHORTEST, 2 * self._pause))
        if os.getppid() != self._parent and not self._orphaned:
            self._orphaned = True
            log.warning("the process %d, which started this worker, is gone: this worker stops", self._parent)
            os.kill(os.getpid(), signal.SIGTERM)
        if self._orphaned:
            return
        if self._feed.top_up():
            self._pause = _SHORTEST
        if time.monotonic() > self._sweep_due:
            self._sweep()

    def _sweep(self) -> None:
        began = time.monotonic()
        self._feed.sweep()
        now = time.monotonic()
        self._sweep_due = now + max(_SWEEP, (now - began) / _SHARE)

    def _finish(self) -> None:
        try:
            if not self._hurry:
                self._feed.sweep()
            self._feed.close()
        except ServiceError as error:
            log.warning("messages of this study stay on its queue: %s", error)
