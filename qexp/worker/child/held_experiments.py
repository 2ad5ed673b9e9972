"""The experiments that a process holds, from their claims to their recorded outcomes."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from qexp.model import Claim
from qexp.worker.attempt.process_control import born
from qexp.worker.child.outbox import UnrecordedResult
from qexp.worker.child.result_log import ResultLog
from qexp.worker.slots import SlotEntry, SlotTable

log = logging.getLogger(__name__)


class HeldExperiments:
    """
    Knows the experiments that a process holds, and writes them to its slot and to its file of unrecorded results.

    If the process dies, the main process reads both. It records the results in the file, ends the attempt in the slot,
    and undoes the other claims. Threads claim and record while the function runs, and SystemExit may come between any
    two lines. So an experiment enters its next state before it leaves the last one.
    """

    def __init__(self, slots: SlotTable, slot: int, folder: Path) -> None:
        self._slots, self._slot, self._folder = slots, slot, folder
        slots.occupy(slot)
        self._born = born(os.getpid()) or 0.0
        self._lock = threading.RLock()
        """Held only for moments, never during calls to Postgres or the broker."""
        self._claimed: deque[Claim] = deque()
        self.running: Claim | None = None
        self._unrecorded: list[UnrecordedResult] = []
        self._in_outbox: set[int] = set()
        """Experiments whose outcomes the outbox has, and Postgres has not confirmed yet."""
        self._log: ResultLog | None = None
        self.batching = False
        """Whether experiments are claimed and recorded in batches, which needs the file."""
        self.ended = 0
        """The number of attempts that this process has ended."""

    @property
    def ids(self) -> list[int]:
        """The experiments that Postgres counts as running in this process, as far as it knows."""
        with self._lock:
            running = [] if self.running is None else [self.running.id]
            return [*self.claimed_ids, *running, *(item.claim.id for item in self._unrecorded), *self._in_outbox]

    @property
    def claimed_ids(self) -> list[int]:
        """The experiments that are claimed but not begun."""
        with self._lock:
            return [claim.id for claim in self._claimed]

    @property
    def unrecorded(self) -> list[UnrecordedResult]:
        """The results that wait for the next batch."""
        with self._lock:
            return list(self._unrecorded)

    def expect(self, experiment: int) -> None:
        """Write to the slot the experiment that is claimed next, since the answer of a claim may be lost."""
        entry = SlotEntry(os.getpid(), self._born, experiment, started=time.monotonic())
        self._slots.write(self._slot, entry)

    def mark_claiming(self, is_claiming: bool) -> None:
        """Write to the slot whether a claim is under way."""
        self._slots.mark_claiming(self._slot, is_claiming)

    def add(self, claims: Sequence[Claim]) -> None:
        """Hold new claims."""
        with self._lock:
            self._claimed.extend(claims)
            self._in_outbox.difference_update(claim.id for claim in claims)

    def drop_claimed(self) -> list[int]:
        """Remove the claims that are not begun, and return their experiments."""
        with self._lock:
            ids = self.claimed_ids
            self._claimed.clear()
            return ids

    def start_next(self) -> Claim | None:
        """Begin the next claimed experiment, and write it to the slot. Returns None if none is claimed."""
        with self._lock:
            if not self._claimed:
                return None
            claim = self.running = self._claimed[0]
            self._claimed.popleft()
            now, pid = time.monotonic(), os.getpid()
            deadline = now + claim.timeout if claim.timeout else math.inf
            memory = claim.memory or 0
            entry = SlotEntry(pid, self._born, claim.id, claim.attempt, pid, self._born, now, deadline, memory)
            self._slots.write(self._slot, entry)
            return claim

    def unstart(self) -> None:
        """Turn the running experiment back into one that is claimed but not begun."""
        with self._lock:
            if self.running is not None:
                self._claimed.appendleft(self.running)
                self.running = None

    def add_result(self, item: UnrecordedResult) -> None:
        """Hold the result of the running experiment, in the file too, until it is recorded."""
        with self._lock:
            self._unrecorded.append(item)
            if self._log is not None:
                try:
                    self._log.add(item.encoded)
                except OSError as error:
                    self._stop_batching(error)
            self.running = None

    def has_result(self, claim: Claim) -> bool:
        """Say whether the result of a claim waits to be recorded."""
        return any(item.claim is claim for item in self.unrecorded)

    def drop_results(self, number: int) -> None:
        """Remove the first results, which are recorded, also from the file."""
        with self._lock:
            del self._unrecorded[:number]
            if self._log is not None:
                try:
                    self._log.keep([item.encoded for item in self._unrecorded])
                except OSError as error:
                    self._stop_batching(error)

    def move_to_outbox(self, claim: Claim) -> None:
        """Note that the outbox has the outcome of an experiment, usually the running one."""
        with self._lock:
            self._in_outbox.add(claim.id)
            self.running = None

    def confirm(self, claim: Claim) -> None:
        """Note that Postgres has the outcome that the outbox had."""
        with self._lock:
            self._in_outbox.discard(claim.id)

    def clear_slot(self) -> None:
        """Free the slot, once the last outcome is recorded or in a file."""
        self._slots.clear(self._slot)

    def start_batching(self) -> None:
        """Claim and record experiments in batches from now on, if the file can be made."""
        try:
            self._log = self._log or ResultLog(self._folder, os.getpid())
            self.batching = True
        except OSError as error:
            self._stop_batching(error)

    def _stop_batching(self, error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        log.warning("results are recorded one by one, because their file cannot be written: %s", reason)
        self.batching, self._log = False, None
