"""End a worker whose lifetime is over, or that has nothing to do."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Sequence

from qexp.settings import Settings
from qexp.store.connection import RawConnection
from qexp.store.writes import claiming
from qexp.worker.attempt.signals import GRACE

log = logging.getLogger(__name__)

_MARGIN = GRACE + 10.0
"""Seconds before the end of its lifetime at which a worker gives back its experiments."""
_IDLE = 2
"""The number of checks in a row, one with each heartbeat, that find nothing to do before a worker ends."""


class WorkerLifetime:
    """
    Ends the worker in time; children ask it before they claim.

    Make it before the pool forks its children, so that all processes have the same end of the lifetime.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._ends = math.inf if settings.lifetime is None else time.monotonic() + settings.lifetime
        self._idle = 0
        self._takes_none = False
        self._queues: Sequence[str] = ()
        self._stop_taking: Callable[[], None] = lambda: None

    def start(self, queues: Sequence[str], stop_taking: Callable[[], None]) -> None:
        """Start with these queues; `check` calls *stop_taking* when no experiment on them fits into the time left."""
        self._queues, self._stop_taking = queues, stop_taking

    @property
    def seconds_left(self) -> float | None:
        """Seconds in which an experiment must end; None without a limit."""
        return None if self._ends == math.inf else self._ends - time.monotonic() - _MARGIN

    def allows(self, raw: RawConnection, experiment: int) -> bool:
        """
        Say whether an experiment may begin here; one that would not end in time waits for another worker.

        Its expected duration is the longest of its study's last experiments. Without any, it may begin.
        """
        left = self.seconds_left
        return left is None or not claiming.decline(raw, experiment, left)

    def check(self, raw: RawConnection, busy: bool) -> None:
        """Signal this worker to stop if its lifetime is over, or if it was idle for long enough."""
        left = self.seconds_left
        if left is not None and left <= 0:
            log.warning("the lifetime of this worker is over: its running experiments are given back")
            os.kill(os.getpid(), signal.SIGQUIT)
            return
        if left is None and not self.settings.exit_when_idle:
            return
        wanted = claiming.is_wanted(raw, self._queues, left)
        if not wanted and left is not None and not self._takes_none:
            self._takes_none = True
            log.info("no waiting experiment fits into the last %.0f s: this worker takes no more", left)
            self._stop_taking()
        self._idle = 0 if wanted or busy else self._idle + 1
        if self.settings.exit_when_idle and self._idle >= _IDLE:
            log.info("there is nothing to do: this worker stops")
            os.kill(os.getpid(), signal.SIGTERM)
