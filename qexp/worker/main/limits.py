"""Enforce the limits of attempts in time and memory: send a signal first, then kill their processes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable

from qexp.store.reconnecting import PATIENCE
from qexp.worker.attempt.process_control import born, kill_tree, memory_of
from qexp.worker.periodic_thread import PeriodicThread
from qexp.worker.slots import ChildRequest, SlotEntry, SlotTable

log = logging.getLogger(__name__)

_INTERVAL = 0.2
"""Seconds between two checks."""
_EACH_TREE = 5
"""Every fifth check measures all processes of an attempt, since finding them reads the whole process list."""
_GRACE = 1.2
"""Seconds between the signal of a timeout and the kill, so that no attempt exceeds its timeout by two seconds."""
_STUCK = 3 * PATIENCE
"""Seconds from the end of a function until its child counts as stuck; recording may wait for Postgres three times."""


class LimitEnforcer(PeriodicThread):
    """A thread in the main process that checks the slots; start it after the pool has forked its children."""

    def __init__(self, slots: SlotTable, killed: Callable[[SlotEntry], None]) -> None:
        super().__init__("qexp-limits", self.enforce, _INTERVAL, "limits could not be checked")
        self.slots = slots
        self._killed = killed
        """Called for an attempt whose processes were killed."""
        self._checks = 0

    def enforce(self) -> None:
        """Check each attempt now."""
        now = time.monotonic()
        for slot, entry in self.slots.occupied().items():
            if entry.attempt and not entry.process and now > entry.deadline + _STUCK:
                self._end_stuck(slot, entry)
            if born(entry.process) != entry.process_born:
                continue  # the process is dead; Celery or the reconciler notices that
            if now > entry.deadline + _GRACE:
                self._end(slot, entry, ChildRequest.TIMEOUT)
            elif now > entry.deadline and entry.request != ChildRequest.TIMEOUT:
                send_request(self.slots, slot, entry, ChildRequest.TIMEOUT)
            elif entry.memory and memory_of(entry.process, self._checks % _EACH_TREE == 0) > entry.memory:
                self._end(slot, entry, ChildRequest.MEMORY)
        self._checks += 1

    def _end_stuck(self, slot: int, entry: SlotEntry) -> None:
        """Kill a child whose function ended long ago, unless its slot has changed meanwhile."""
        if entry.pid == os.getpid() or self.slots.read(slot) != entry or born(entry.pid) != entry.born:
            return
        log.error("process %d hangs since experiment %d ended: killed", entry.pid, entry.experiment)
        self.slots.request(slot, ChildRequest.STUCK)
        kill_tree(entry.pid, entry.born)

    def _end(self, slot: int, entry: SlotEntry, why: ChildRequest) -> None:
        if entry.process == os.getpid() or self.slots.read(slot) != entry:
            return  # the main process itself runs the function, or the attempt has just ended
        self.slots.request(slot, why)
        kill_tree(entry.process, entry.process_born)
        self._killed(entry._replace(request=why))


def send_request(slots: SlotTable, slot: int, entry: SlotEntry, request: ChildRequest) -> None:
    """Write a request to a slot and signal its process, unless the slot has another attempt by now."""
    now = slots.read(slot)
    if now is None or (now.experiment, now.attempt) != (entry.experiment, entry.attempt):
        return
    slots.request(slot, request)
    if born(entry.process) == entry.process_born:
        with contextlib.suppress(ProcessLookupError):
            os.kill(entry.process, signal.SIGUSR1)
