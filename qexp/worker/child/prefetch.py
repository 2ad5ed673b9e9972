"""Claim the experiments of a message ahead of their turn: short ones in batches, while another one runs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from uuid import UUID

from qexp.model import Claim
from qexp.queueing.messages import LARGEST
from qexp.queueing.publisher import open_publisher
from qexp.settings import Settings
from qexp.store.connection import RawConnection
from qexp.store.reconnecting import PATIENCE, ReconnectingConnection
from qexp.store.writes import claiming
from qexp.truncation import listed
from qexp.worker.child.held_experiments import HeldExperiments
from qexp.worker.lifetime import WorkerLifetime
from qexp.worker.slots import SlotTable

log = logging.getLogger(__name__)

_AHEAD = 0.5
"""Seconds of work in a batch of claims; the next batch is claimed when less than half of it is left."""
_LATE = 2.0
"""Seconds over the planned duration of a message, after which other processes get its other experiments."""


class ClaimPrefetcher:
    """Claims the experiments of a message, and gives back those that are not begun. Threads may share it."""

    def __init__(
        self,
        settings: Settings,
        worker: UUID,
        postgres: ReconnectingConnection,
        lifetime: WorkerLifetime,
        slots: SlotTable,
        held: HeldExperiments,
    ) -> None:
        self._settings, self._worker, self._postgres = settings, worker, postgres
        self._lifetime, self._slots, self._held = lifetime, slots, held
        self._lock = threading.RLock()
        """Held while experiments are claimed or given back, also during calls to Postgres and the broker."""
        self._waiting: deque[int] = deque()
        """Experiments of the message that are not claimed yet."""
        self._answer_lost = False
        """Whether Postgres may have made claims whose answer did not arrive."""
        self._opened_at = 0.0
        self._batch_size = 1
        self._sized_at, self._ended_before = 0.0, 0
        """The time at which the size of a batch was computed last, and the attempts that had ended by then."""

    def start_message(self, ids: Sequence[int]) -> None:
        """Begin a message with these experiments."""
        with self._lock:
            self._waiting = deque(ids)
            self._opened_at = time.monotonic()

    def next(self) -> Claim | None:
        """Begin the next experiment and return its claim. Returns None if none is left, or if the worker stops now."""
        claim = None if self._slots.refuses_new else self._start_next()
        if not self._slots.refuses_new:
            return claim
        self._held.unstart()  # the main process sets `refuses_new` before it reads slots, so it misses no begun attempt
        self.give_back()
        return None

    def _start_next(self) -> Claim | None:
        if claim := self._held.start_next():
            return claim
        with self._lock:  # a thread may claim it just now
            while (claim := self._held.start_next()) is None:
                ids = self._take()
                if self._slots.refuses_new or not (ids or self._answer_lost):
                    return None
                if ids:
                    self._held.expect(ids[0])
                self._claim(ids)
            return claim

    def claim_ahead(self) -> None:
        """Claim the next batch while an experiment runs, so that the process does not wait for it later."""
        with self._lock:
            is_enough = 2 * len(self._held.claimed_ids) >= self._batch_size
            if is_enough or self._held.running is None or not self._held.batching or self._slots.refuses_new:
                return
            if ids := self._take():
                self._claim(ids, patience=0)

    def give_back(self) -> None:
        """Publish again, for other processes, the experiments that are not begun."""
        with self._lock:
            self._answer_lost |= bool(self._held.claimed_ids)  # until Postgres has undone these claims
            ids = [*self._held.drop_claimed(), *self._waiting]
            self._waiting.clear()
            if self._answer_lost:
                undone = self._postgres.run(
                    lambda raw: claiming.undo(raw, self._worker, os.getpid(), self._held.ids),
                    "experiments that did not start",
                )
                self._answer_lost = False
                ids = [*dict.fromkeys([*ids, *undone])]
            if ids:
                with open_publisher(self._settings) as publisher:
                    publisher.republish(ids)

    def give_back_if_late(self) -> None:
        """Give the rest of a message to other processes if an experiment takes much longer than the others did."""
        with self._lock:
            number = len(self._held.claimed_ids) + len(self._waiting)
            if number and time.monotonic() - self._opened_at > self._settings.bundle + _LATE:
                log.debug("gave %d experiments of a message to other processes", number)
                self.give_back()

    def _take(self) -> list[int]:
        """Remove the next batch of experiments from the message."""
        return [self._waiting.popleft() for _ in range(min(self._size(), len(self._waiting)))]

    def _size(self) -> int:
        """Return the number of experiments in the next batch, from the durations of the last ones."""
        if not self._held.batching:
            return 1
        now, ended = time.monotonic(), self._held.ended
        if ran := ended - self._ended_before:
            took = (now - self._sized_at) / ran
            fitting = min(int(_AHEAD / took), 4 * self._batch_size) if took else LARGEST
            self._batch_size = max(1, min(LARGEST, fitting))
        self._sized_at, self._ended_before = now, ended
        return self._batch_size

    def _claim(self, ids: Sequence[int], patience: float = PATIENCE) -> None:
        """Claim experiments, and wait *patience* seconds for Postgres; put them back after an error."""
        self._held.mark_claiming(True)
        try:
            if not self._slots.refuses_new:  # the main process sets it, and then awaits running claims
                self._claim_now(ids, patience)
        except BaseException:
            claimed = set(self._held.claimed_ids)
            self._waiting.extendleft(number for number in reversed(ids) if number not in claimed)
            raise
        finally:
            self._held.mark_claiming(False)

    def _claim_now(self, ids: Sequence[int], patience: float) -> None:
        pid = os.getpid()

        def claim(raw: RawConnection) -> list[Claim]:
            adopted = claiming.adopt(raw, self._worker, pid, self._held.ids) if self._answer_lost else []
            self._answer_lost = True
            known = {item.id for item in adopted}
            new = [number for number in ids if number not in known and self._lifetime.allows(raw, number)]
            return adopted + (claiming.claims(raw, new, self._worker, pid) if new else [])

        claims = self._postgres.run(claim, f"claim of {_shown(ids)}", patience)
        self._held.add(claims)  # first, since SystemExit may come at any moment
        self._answer_lost = False
        if missing := set(ids) - {item.id for item in claims}:
            self._skip(sorted(missing))

    def _skip(self, ids: Sequence[int]) -> None:
        """Log why experiments were not claimed; give them back if this worker is quarantined."""
        given_back = self._postgres.run(lambda raw: claiming.hand_over(raw, ids, self._worker), "skipped experiments")
        if given_back:
            log.warning("experiments %s: given back, because this worker is quarantined", _shown(given_back))
        if rest := sorted(set(ids) - set(given_back)):
            log.debug("experiments %s: paused or already taken: skipped", _shown(rest))


def _shown(ids: Sequence[int]) -> str:
    return listed([str(number) for number in ids], 5)
