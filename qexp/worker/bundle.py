"""The experiments of one message on their way through a process: claimed a few at a time, and recorded together."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

import psycopg

from qexp import broker
from qexp.client import Client
from qexp.errors import QexpError, ServiceError
from qexp.settings import Settings
from qexp.store import hot
from qexp.store.connect import Raw
from qexp.store.line import Line
from qexp.worker.attempt.delivery import Delivery, Ended
from qexp.worker.attempt.ledger import Ledger
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.board import Board
from qexp.worker.tenure import Tenure

log = logging.getLogger(__name__)

_AHEAD = 0.25
"""Seconds of work that are claimed at once."""
_TOGETHER = 0.05
"""Seconds for which results wait for others, to be recorded with one commit."""
_LATE = 2.0
"""Seconds, beside those that a message should take, after which the rest of it is given to others."""


class Bundle:
    """
    One per process. A message of one experiment takes none of the shortcuts.

    What is claimed and not begun, or ended and not recorded, is in a ledger as well: whoever finds the process dead
    takes the one back and records the other. Its methods may be called by several threads.
    """

    def __init__(self, settings: Settings, worker: UUID, scratch: Scratch, line: Line, tenure: Tenure) -> None:
        self.settings, self.worker = settings, worker
        self._line, self._tenure = line, tenure
        self._delivery = Delivery(settings, line)
        self._board = Board(scratch.board)
        self._scratch = scratch
        self._ledger: Ledger | None = None
        self._recording = threading.RLock()
        """Held by who records; taken before the lock."""
        self._lock = threading.RLock()
        self._due = threading.Event()
        self._recorder: tuple[int, threading.Thread] | None = None
        self._waiting: deque[int] = deque()
        self._claimed: deque[hot.Claim] = deque()
        self._ended: list[Ended] = []
        self._holds = False
        """Results may wait for each other."""
        self._began = self._claimed_at = 0.0
        self._number, self._at_once = 0, 1
        self._failures: list[str] = []

    def open(self, ids: Sequence[int]) -> None:
        """Begin with a message."""
        with self._lock:
            self._waiting, self._began, self._failures = deque(ids), time.monotonic(), []
            self._holds = len(ids) > 1 and self._has_ledger()

    def next(self, expect: Callable[[int], None]) -> hot.Claim | None:
        """
        Return a claimed experiment that is to be run now; None: none is left.

        *expect* is told of what is claimed before it is.
        """
        while True:
            with self._lock:
                if self._claimed and not self._board.closed:
                    return self._claimed.popleft()
            with self._recording, self._lock:
                if self._board.closed:
                    self.hand_back()
                if self._claimed:
                    continue
                ids = [self._waiting.popleft() for _ in range(min(self._pace(), len(self._waiting)))]
                if not ids:
                    self.record()
                    return None
                expect(ids[0])
                self._claimed.extend(self._claim(ids))

    def end(self, claim: hot.Claim, outcome: hot.Outcome, began: float) -> None:
        """Record how an attempt ended; a result at the latest when the next ones are claimed."""
        if not self._holds or outcome.error is not None or outcome.departure is not None:
            self._recorded(claim, self._delivery.deliver(claim, outcome))
            return
        item = Ended(claim, outcome, hot.done(claim, outcome, began, time.monotonic()))
        with self._lock:
            self._note(item)
            self._ended.append(item)
        if time.monotonic() - self._claimed_at > _TOGETHER:  # else the claim of the next ones comes soon enough
            self._wake()

    def record(self) -> None:
        """Record the results that wait; the function may go on meanwhile."""
        with self._recording:
            items = list(self._ended)
            if items:
                refused = self._delivery.deliver_all(items)
                with self._lock:
                    del self._ended[: len(items)]
                    for claim, outcome in refused:
                        self._recorded(claim, outcome)

    def _wake(self) -> None:
        """Have a thread record what waits in a moment: no experiment waits for the disk of the one before."""
        if self._recorder is None or self._recorder[0] != os.getpid():  # a fork takes no threads along
            thread = threading.Thread(target=self._record_soon, name="qexp-results", daemon=True)
            self._recorder = os.getpid(), thread
            thread.start()
        self._due.set()

    def _record_soon(self) -> None:
        while self._due.wait():
            time.sleep(_TOGETHER)  # for others to come, rather than for anything
            self._due.clear()
            try:
                self.record()
            except (psycopg.Error, QexpError) as error:
                log.warning("results wait: %s", " ".join(str(error).split()))  # until the next ones are claimed
            except Exception:
                log.exception("results wait")

    def hand_back(self) -> None:
        """Give to others what was not begun."""
        with self._lock:
            claimed, waiting = [claim.id for claim in self._claimed], list(self._waiting)
            self._claimed.clear()
            self._waiting.clear()
            if claimed:
                self._line.do(lambda raw: hot.undo(raw, claimed, self.worker, os.getpid()), "what was not begun")
            if claimed or waiting:
                Client(self.settings).put_back(claimed + waiting)

    def look(self) -> None:
        """Let nothing wait for an experiment that takes longer than others did; called each second, by a thread."""
        self.record()
        with self._lock:
            if (self._claimed or self._waiting) and time.monotonic() - self._began > self.settings.bundle + _LATE:
                log.info("%d experiments of a message are given to others", len(self._claimed) + len(self._waiting))
                self.hand_back()

    def close(self) -> list[str]:
        """End a message; return a line for each experiment that has failed."""
        self.record()
        with self._lock:
            if self._holds and self._ledger is not None:
                self._ledger.clear()
            return self._failures

    def _pace(self) -> int:
        """Return how many experiments to claim: as many as took a moment, as far as the last ones tell."""
        if not self._holds:
            return 1
        if self._number:
            took = (time.monotonic() - self._claimed_at) / self._number
            fitting = min(int(_AHEAD / took), 4 * self._at_once) if took else broker.LARGEST
            self._at_once, self._number = max(1, min(broker.LARGEST, fitting)), 0
        return self._at_once

    def _claim(self, ids: Sequence[int]) -> list[hot.Claim]:
        """Claim experiments; of a claim whose answer was lost the second try finds what the first has taken."""
        claims = self._turn(ids)
        again, pid = bool(self._ended), os.getpid()
        if claims is None:
            self.record()

        def claim(raw: Raw) -> list[hot.Claim]:
            nonlocal again
            found = hot.adopt(raw, ids, self.worker, pid) if again else []
            again = True
            had = {item.id for item in found}
            rest = [number for number in ids if number not in had and self._tenure.takes(raw, number)]
            return found + (hot.claims(raw, rest, self.worker, pid, self.settings.relaxed) if rest else [])

        if claims is None:
            self._intend(ids)
            claims = self._line.do(claim, f"claim of {', '.join(map(str, ids))}")
        self._claimed_at, self._number = time.monotonic(), len(ids)
        if missing := set(ids) - {item.id for item in claims}:
            self._miss(sorted(missing))
        return claims

    def _turn(self, ids: Sequence[int]) -> list[hot.Claim] | None:
        """Record what waits and claim what is next with one commit; None: something is in the way of that."""
        items, pid = [item.done for item in self._ended], os.getpid()

        def turn(raw: Raw) -> tuple[dict[int, hot.Finished], list[hot.Claim]] | None:
            if raw.prepare_threshold is None:  # a pool stands between, and may know no pipelines
                return None
            return hot.finish_and_claim(raw, self.worker, items, ids, pid, self.settings.relaxed)

        if not items or not self._tenure.is_unlimited or not self._intend(ids, items):
            return None
        try:
            done = self._line.do(turn, "results and claims", patience=0)
        except (psycopg.Error, ServiceError) as error:  # each by itself is tried again, for as long as it takes
            log.info("results are recorded by themselves: %s", " ".join(str(error).split()))
            return None
        if done is None:
            return None
        self._delivery.note(self._ended)
        self._ended.clear()
        self._delivery.clear(items, done[0])
        return done[1]

    def _intend(self, ids: Sequence[int], items: Sequence[hot.Done] = ()) -> bool:
        """Note what is about to be claimed; False: nothing can be noted."""
        if self._holds and self._ledger is not None:
            try:
                self._ledger.intend(ids, items)
            except OSError as error:
                self._give_up_holding(error)
        return self._holds

    def _miss(self, ids: Sequence[int]) -> None:
        if back := self._line.do(lambda raw: hot.hand_over(raw, ids, self.worker), "what was not to be had"):
            log.warning("experiments %s: put back for others, this worker is quarantined", _listed(back))
        if rest := sorted(set(ids) - set(back)):
            log.info("experiments %s: not to be had, their message is dropped", _listed(rest))

    def _recorded(self, claim: hot.Claim, outcome: hot.Outcome | None) -> None:
        """Note in one line how an attempt failed, if it did."""
        if outcome is None:
            return
        if outcome.departure is not None:
            log.info("experiment %d: %s", claim.id, outcome.departure.outcome)
            if outcome.departure.outcome == "released":
                Client(self.settings).announce_studies([claim.study_id])
        if outcome.error is not None:
            self._failures.append(f"{claim.study} #{claim.id}: {outcome.error.type}: {outcome.error.message}")

    def _has_ledger(self) -> bool:
        if self._ledger is None:
            try:
                self._ledger = Ledger(self._scratch.folder, os.getpid())
            except OSError as error:
                self._give_up_holding(error)
        return self._ledger is not None

    def _note(self, item: Ended) -> None:
        if self._ledger is not None:
            try:
                self._ledger.add(item.done)
            except OSError as error:
                self._give_up_holding(error)

    def _give_up_holding(self, error: OSError) -> None:
        """Go on one by one: without a ledger nothing may be held."""
        log.warning("results are recorded one by one: %s", (error.strerror or str(error)).lower())
        self._holds, self._ledger = False, None


def _listed(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:5]))
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5} others"
