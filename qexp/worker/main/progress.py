"""Log the progress of the studies that a worker runs, and why it has nothing to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
"""Seconds without a running experiment of a study after which it may have finished."""
_WAITS = 5.0
"""Seconds without a running experiment after which a worker says that it waits."""
_STARVES = 20.0
"""Seconds after which a worker says that experiments are ready, but do not arrive."""
_MOST = 5
"""The most studies with a line a minute."""
_LONGEST_CHECK = 30.0
"""The longest pause between two checks whether a study has finished, which may run on other workers."""


@dataclass
class TakenStudy:
    """A study whose message a child has taken."""

    taken_at: float
    """When a child took its last message."""
    check_at: float
    """When to check whether it has finished."""
    pause: float = _SETTLES
    """Seconds between two checks."""

    def run(self, now: float) -> None:
        """Note that an experiment runs."""
        self.check_at, self.pause = now + _SETTLES, _SETTLES

    def checked(self, now: float, took: float) -> None:
        """Note that it has not finished, by a check that *took* seconds; it may run on other workers."""
        self.pause = min(2 * self.pause, _LONGEST_CHECK)
        self.check_at = now + max(self.pause, took / _SHARE)


class ProgressLogger:
    """
    A thread in the main process. It asks Postgres at most once a minute while experiments run, over its own connection.

    It does so too when the last one of a study has ended here (has the study finished?), and when none runs here (is
    anything left to do?).
    """

    def __init__(self, settings: Settings, slots: SlotTable, worker_log: WorkerLog) -> None:
        self._database, self._lease = Database(settings), settings.lease
        self._slots, self._worker_log = slots, worker_log
        self._queues: Sequence[str] = ()
        self._taken: dict[str, TakenStudy] = {}
        """By study. Celery's thread adds; this thread removes."""
        self._children: dict[int, str] = {}
        """By child: the study of its last message."""
        self._shown: dict[str, str] = {}
        """By study: its last line."""
        self._report_at = 0.0
        self._busy_at = time.monotonic()
        """When an experiment ran last."""
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
            self._tell(lambda: self._log_settled(list(self._taken)))

    def stop_taking(self) -> None:
        """Note that this worker takes no more experiments, so that it does not say why it waits."""
        self._takes = False

    def note(self, study: str, child: int) -> None:
        """Note that a child process has taken a message of a study."""
        now = self._busy_at = time.monotonic()
        if not self._taken:
            self._report_at = now + _EVERY
        self._children[child] = study
        self._taken[study] = TakenStudy(now, now + _SETTLES)
        self._has_said_why = False

    def look(self) -> None:
        """Look at the slots, and log what is due."""
        now = time.monotonic()
        for entry in self._slots.occupied().values():
            self._busy_at = now
            if (running := self._taken.get(self._children.get(entry.pid, ""))) is not None:
                running.run(now)
        if self._taken and now >= self._report_at:
            self._tell(self._log_progress)
            self._report_at = now + max(_EVERY, (time.monotonic() - now) / _SHARE)
        due = {name: study for name, study in list(self._taken.items()) if now >= study.check_at}
        if due:
            self._tell(lambda: self._log_settled(list(due)))
            for study in due.values():
                study.checked(now, time.monotonic() - now)
        if self._takes and now - self._busy_at >= _WAITS and not self._has_said_why:
            self._tell(self._log_waiting)

    def _tell(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ServiceError as error:  # the heartbeat says so
            log.debug("the progress of studies is unknown: %s", error)

    def _log_progress(self) -> None:
        taken = dict(self._taken)
        newest = sorted(taken, key=lambda name: taken[name].taken_at, reverse=True)
        with self._database.begin() as connection:
            found = worker_progress.progress(connection, newest[:_MOST], self._lease)
        for progress in found:
            line = progress_lines.progress(progress)
            if progress.open and line != self._shown.get(progress.study):
                self._shown[progress.study] = line
                log.info("%s", line, extra=ALWAYS)
        if len(newest) > _MOST:
            log.info("%d more studies run here; see 'qexp status --open'", len(newest) - _MOST, extra=ALWAYS)

    def _log_settled(self, names: Sequence[str]) -> None:
        taken = dict(self._taken)
        with self._database.begin() as connection:
            found = worker_progress.settled(connection, names, self._lease)
        for settled in found:
            study = settled.progress.study
            self._worker_log.repetitions.forget(study)
            log.info("%s", progress_lines.settled(settled), extra=ALWAYS)
            if self._taken.get(study) is taken[study]:  # no child has taken another message meanwhile
                self._taken.pop(study, None)
                for child in [child for child, name in list(self._children.items()) if name == study]:
                    self._children.pop(child, None)
            self._shown.pop(study, None)

    def _log_waiting(self) -> None:
        with self._database.begin() as connection:
            state = worker_progress.open_studies(connection, self._queues)
        if state.ready and time.monotonic() - self._busy_at < _STARVES:
            return  # their messages may be on the way
        self._has_said_why = True
        log.info("%s", progress_lines.waiting(self._queues, state), extra=ALWAYS)
