"""Reconcile the slots with the rows in Postgres: end unwanted attempts, and find deaths that Celery missed."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from uuid import UUID

import psutil

from qexp.store.connection import RawConnection
from qexp.store.writes import claiming, worker_rows
from qexp.worker.attempt.process_control import crash_error, kill_tree
from qexp.worker.attempt.signals import GRACE
from qexp.worker.child import result_log
from qexp.worker.child.outbox_files import ChildDeath
from qexp.worker.main.limits import send_request
from qexp.worker.slots import ChildRequest, SlotEntry, SlotTable

log = logging.getLogger(__name__)

_UNSEEN = 10.0
"""Seconds after which an attempt without a child is ended; Celery usually notices deaths earlier, with a reason."""


class Reconciler:
    """Reconciles with each heartbeat; calls *died* for a dead child whose experiment still has the status running."""

    def __init__(self, slots: SlotTable, worker: UUID, died: Callable[[ChildDeath], None]) -> None:
        self.slots, self.worker, self._died = slots, worker, died
        self._asked: dict[tuple[int, int], float] = {}
        """By experiment and attempt: the time at which an unwanted attempt was asked to stop."""
        self._missed: dict[tuple[int, int], float] = {}
        """By experiment and process: the time since which no child runs the experiment."""

    @property
    def busy(self) -> bool:
        """Whether a child runs an attempt."""
        return bool(self._entries(_living()))

    def _entries(self, living: set[int]) -> dict[int, SlotEntry]:
        """Return the slots of living children; slots of dead ones stay until their deaths are recorded."""
        return {slot: entry for slot, entry in self.slots.occupied().items() if entry.pid in living}

    def reconcile(self, raw: RawConnection, grace: float = GRACE) -> None:
        """Reconcile once; ask unwanted attempts to stop, and kill them after *grace* seconds."""
        living = _living()
        entries = self._entries(living)
        self._end_unwanted(raw, {slot: entry for slot, entry in entries.items() if entry.process}, grace)
        now, strays = time.monotonic(), worker_rows.strays(raw, self.worker, {entry.pid for entry in entries.values()})
        self._missed = {stray: self._missed.get(stray, now) for stray in strays}
        late = {stray for stray, since in self._missed.items() if now - since > _UNSEEN}
        for pid in {pid for _, pid in strays} - living:
            entry = self.slots.find(pid)
            if entry is None:  # its claim reached Postgres after its death was recorded
                self._died(ChildDeath(self.worker, pid, crash_error("nothing is left of it", None)))
            elif any(number == pid for _, number in late):
                error = crash_error("nothing is left of it", None)
                self._died(ChildDeath(self.worker, pid, error, entry.experiment, entry.attempt))
        for experiment, pid in late:
            if pid in living and experiment not in self._logged(pid):
                claiming.release(raw, self.worker, [experiment])
                log.warning("experiment %d: given back, because its process %d does not run it", experiment, pid)

    def _logged(self, pid: int) -> set[int]:
        """Return the experiments whose results a child has in its log."""
        return {item.id for item in result_log.read(self.slots.path.parent, pid).results}

    def kill_all(self) -> None:
        """Kill all attempts; outcomes in the outbox stay there."""
        for entry in self.slots.occupied().values():
            if entry.process and entry.process != os.getpid():
                kill_tree(entry.process, entry.process_born)

    def _end_unwanted(self, raw: RawConnection, entries: dict[int, SlotEntry], grace: float) -> None:
        held = [(entry.experiment, entry.attempt) for entry in entries.values()]
        unwanted = (
            {(item.id, item.attempt): item for item in worker_rows.unwanted(raw, self.worker, held)} if held else {}
        )
        self._asked = {key: at for key, at in self._asked.items() if key in unwanted}
        for slot, entry in entries.items():
            key = entry.experiment, entry.attempt
            if key not in unwanted:
                continue
            asked = self._asked.setdefault(key, time.monotonic())
            if time.monotonic() - asked < grace:
                log.debug("experiment %d: attempt %d is told to stop", *key)  # its end has a line
                send_request(self.slots, slot, entry, ChildRequest.STOP)
            elif entry.process != os.getpid():
                found = unwanted[key]
                if found.own:
                    claiming.release(raw, self.worker, [entry.experiment])
                    log.warning("%s #%d is given back: it did not stop, and is killed", found.study, found.id)
                elif not found.is_cancelled:
                    log.warning("%s #%d: attempt %d did not stop, and is killed", found.study, *key)
                elif entry.process == entry.pid:  # otherwise the child logs it
                    log.info("%s #%d cancelled", found.study, found.id)
                kill_tree(entry.process, entry.process_born)


def _living() -> set[int]:
    """Return the ids of this process, which runs attempts in the pool "solo", and of its living children."""
    living = {os.getpid()}
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                living.add(child.pid)
    return living
