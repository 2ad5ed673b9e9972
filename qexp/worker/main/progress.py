"""Log the progress of the studies that a worker runs, and why it has nothing to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from qexp.errors import ServiceError
from qexp.settings import Settings
from qexp.store.connection import Database
from qexp.store.reads import worker_progress
from qexp.worker.log.repetition import ALWAYS
from qexp.worker.log.worker_log import WorkerLog
from qexp.worker.main import progress_lines
from qexp.worker.periodic_thread import PeriodicThread
from qexp.worker.slots import SlotTable

log = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds between two looks at the slots."""
_EVERY = 60.0
"""Seconds between two lines about a study."""
_SHARE = 0.004
"""The largest share of time that counting may take; then the lines become rarer. All workers of a site count."""
_SETTLES = 2.0
"""Seconds without a running experiment after which studies may have finished."""
_WAITS = 5.0
"""Seconds without a running experiment after which a worker says that it waits."""
_STARVES = 20.0
"""Seconds after which a worker says that experiments are ready, but do not arrive."""
_MOST = 5
"""The most studies with a line a minute."""
_LONGEST_CHECK = 30.0
"""The longest pause between two checks whether a study has finished, which may run on other workers."""


class ProgressLogger:
    """
    A thread in the main process. It asks Postgres at most once a minute while experiments run, over its own connection.

    It does so too when the last one has ended: have its studies finished, and is anything left to do?
    """

    def __init__(self, settings: Settings, slots: SlotTable, worker_log: WorkerLog) -> None:
        self._database, self._lease = Database(settings), settings.lease
        self._slots, self._worker_log = slots, worker_log
        self._queues: Sequence[str] = ()
        self._taken: dict[str, float] = {}
        """By study: when a child took its last message. Celery's thread adds; this thread removes."""
        self._shown: dict[str, str] = {}
        """By study: its last line."""
        self._report_at = 0.0
        self._busy_at = time.monotonic()
        """When an experiment ran last."""
        self._check_at, self._check_pause = 0.0, _SETTLES
        self._has_said_why = False
        """Whether the log says why this worker waits."""
        self._takes = True
        self._thread = PeriodicThread("qexp-progress", self.look, _LOOK, "the progress of studies is unknown")

    def start(self, queues: Sequence[str]) -> None:
        """Start the thread, after the pool has forked its children."""
        self._queues = queues
        self._busy_at = time.monotonic()
        self._thread.start()

    def stop(self, patience: float | None = None) -> None:
        """Stop the thread; wait at most *patience* seconds for a query under way."""
        self._thread.stop(patience)

    def log_last(self) -> None:
        """Log which studies have finished, since this worker stops."""
        if self._taken:
            self._tell(self._log_settled)

    def stop_taking(self) -> None:
        """Note that this worker takes no more experiments, so that it does not say why it waits."""
        self._takes = False

    def note(self, study: str) -> None:
        """Note that a child has taken a message of a study."""
        if not self._taken:
            self._report_at = time.monotonic() + _EVERY
        self._taken[study] = self._busy_at = time.monotonic()
        self._has_said_why = False

    def look(self) -> None:
        """Look at the slots, and log what is due."""
        now = time.monotonic()
        if self._slots.occupied():
            self._busy_at, self._check_pause = now, _SETTLES
            self._check_at = now + _SETTLES
        if self._taken and now >= self._report_at:
            self._tell(self._log_progress)
            self._report_at = now + max(_EVERY, (time.monotonic() - now) / _SHARE)
        idle = now - self._busy_at
        if self._taken and idle >= _SETTLES and now >= self._check_at:
            self._tell(self._log_settled)
            self._check_pause = min(2 * self._check_pause, _LONGEST_CHECK)
            self._check_at = now + max(self._check_pause, (time.monotonic() - now) / _SHARE)
        if self._takes and idle >= _WAITS and not self._has_said_why:
            self._tell(self._log_waiting)

    def _tell(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ServiceError as error:  # the heartbeat says so
            log.debug("the progress of studies is unknown: %s", error)

    def _log_progress(self) -> None:
        newest = sorted(self._taken, key=self._taken.__getitem__, reverse=True)
        with self._database.begin() as connection:
            found = worker_progress.progress(connection, newest[:_MOST], self._lease)
        for progress in found:
            line = progress_lines.progress(progress)
            if progress.open and line != self._shown.get(progress.study):
                self._shown[progress.study] = line
                log.info("%s", line, extra=ALWAYS)
        if len(newest) > _MOST:
            log.info("%d more studies run here; see 'qexp status --open'", len(newest) - _MOST, extra=ALWAYS)

    def _log_settled(self) -> None:
        taken = dict(self._taken)
        with self._database.begin() as connection:
            found = worker_progress.settled(connection, taken, self._lease)
        for settled in found:
            study = settled.progress.study
            self._worker_log.repetitions.forget(study)
            log.info("%s", progress_lines.settled(settled), extra=ALWAYS)
            if self._taken.get(study) == taken[study]:
                self._taken.pop(study, None)
            self._shown.pop(study, None)

    def _log_waiting(self) -> None:
        with self._database.begin() as connection:
            state = worker_progress.open_studies(connection, self._queues)
        if state.ready and time.monotonic() - self._busy_at < _STARVES:
            return  # their messages may be on the way
        self._has_said_why = True
        log.info("%s", progress_lines.waiting(self._queues, state), extra=ALWAYS)
