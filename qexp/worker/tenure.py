"""How long a worker stays: until its machine is taken from it, or there is nothing left for it to do."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Sequence

from qexp.settings import Settings
from qexp.store.connection import Raw
from qexp.store.writes import claiming
from qexp.worker.attempt.signals import GRACE

log = logging.getLogger(__name__)

_MARGIN = GRACE + 10.0
"""Seconds before the end of its lifetime at which a worker gives back what it runs: enough for a slow one."""
_IDLE = 2
"""Looks in a row, one with each heartbeat, that find nothing to do before a worker ends."""


class Tenure:
    """
    Looks with each heartbeat whether it is time to go. Children ask it before they claim.

    It is made before the children are forked, so that all of them know the same end.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._ends = math.inf if settings.lifetime is None else time.monotonic() + settings.lifetime
        self._idle = 0
        self._quiet = False
        self._queues: Sequence[str] = ()
        self._stop_taking: Callable[[], None] = lambda: None

    def begin(self, queues: Sequence[str], stop_taking: Callable[[], None]) -> None:
        """Take office on these queues; *stop_taking* is called when nothing on them fits any more."""
        self._queues, self._stop_taking = queues, stop_taking

    @property
    def left(self) -> float | None:
        """Seconds in which an experiment has to end; None: it has all the time."""
        return None if self._ends == math.inf else self._ends - time.monotonic() - _MARGIN

    def takes(self, raw: Raw, experiment: int) -> bool:
        """
        Say whether an experiment may begin here; one that would not end in time waits for another worker.

        Its time is the longest that its study's last ones have taken; where none is known it may begin.
        """
        left = self.left
        return left is None or not claiming.decline(raw, experiment, left)

    def look(self, raw: Raw, busy: bool) -> None:
        """Go if it is time."""
        left = self.left
        if left is not None and left <= 0:
            log.warning("the lifetime of this worker is over: its running experiments are given back")
            os.kill(os.getpid(), signal.SIGQUIT)
            return
        if left is None and not self.settings.exit_when_idle:
            return
        wanted = claiming.is_wanted(raw, self._queues, left)
        if not wanted and left is not None and not self._quiet:
            self._quiet = True
            log.info("no waiting experiment fits into the last %.0f s: this worker takes no more", left)
            self._stop_taking()
        self._idle = 0 if wanted or busy else self._idle + 1
        if self.settings.exit_when_idle and self._idle >= _IDLE:
            log.info("there is nothing to do: this worker stops")
            os.kill(os.getpid(), signal.SIGTERM)
