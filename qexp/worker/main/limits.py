"""Enforce the limits of attempts: send a signal first, then kill their processes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable

from qexp.store.reconnecting import PATIENCE
from qexp.worker.attempt.processes import born, kill_tree, memory_of
from qexp.worker.periodic_thread import PeriodicThread
from qexp.worker.slots import Request, SlotEntry, SlotTable

log = logging.getLogger(__name__)

_PULSE = 0.2
"""Seconds between two checks."""
_EACH_TREE = 5
"""Every fifth check measures all processes of an attempt: finding them means reading the whole process list."""
_GRACE = 1.2
"""Seconds between the signal of a timeout and the end: the limit holds to within two seconds."""


_STUCK = 3 * PATIENCE
"""Seconds after the end of its function in which a child must continue: recording may wait for Postgres so often."""


class LimitEnforcer(PeriodicThread):
    """A thread in a worker's main process that watches the slots; started after the pool has forked its children."""

    def __init__(self, slots: SlotTable, killed: Callable[[SlotEntry], None]) -> None:
        super().__init__("qexp-limits", self.enforce, _PULSE, "limits could not be checked")
        self.slots = slots
        self._killed = killed
        """Called for an attempt whose processes were killed."""
        self._looks = 0

    def enforce(self) -> None:
        """Check each attempt now."""
        now = time.monotonic()
        for slot, entry in self.slots.occupied().items():
            if entry.attempt and not entry.process and now > entry.deadline + _STUCK:
                self._end_stuck(slot, entry)
            if born(entry.process) != entry.process_born:
                continue  # it is dead, which Celery or the reconciler notices
            if now > entry.deadline + _GRACE:
                self._end(slot, entry, Request.TIMEOUT)
            elif now > entry.deadline and entry.request != Request.TIMEOUT:
                send_request(self.slots, slot, entry, Request.TIMEOUT)
            elif entry.memory and memory_of(entry.process, self._looks % _EACH_TREE == 0) > entry.memory:
                self._end(slot, entry, Request.MEMORY)
        self._looks += 1

    def _end_stuck(self, slot: int, entry: SlotEntry) -> None:
        """Kill a child whose function ended long ago, unless it has just continued."""
        if entry.pid == os.getpid() or self.slots.read(slot) != entry or born(entry.pid) != entry.born:
            return
        log.error("process %d hangs since experiment %d ended: killed", entry.pid, entry.experiment)
        self.slots.request(slot, Request.STUCK)
        kill_tree(entry.pid, entry.born)

    def _end(self, slot: int, entry: SlotEntry, why: Request) -> None:
        if entry.process == os.getpid() or self.slots.read(slot) != entry:
            return  # a pool without children can only be asked; or the attempt has just ended
        self.slots.request(slot, why)
        kill_tree(entry.process, entry.process_born)
        self._killed(entry._replace(request=why))


def send_request(slots: SlotTable, slot: int, entry: SlotEntry, request: Request) -> None:
    """Write a request to a slot and signal its process, unless that runs another attempt by now."""
    now = slots.read(slot)
    if now is None or (now.experiment, now.attempt) != (entry.experiment, entry.attempt):
        return
    slots.request(slot, request)
    if born(entry.process) == entry.process_born:
        with contextlib.suppress(ProcessLookupError):
            os.kill(entry.process, signal.SIGUSR1)
