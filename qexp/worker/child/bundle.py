"""Experiments on their way through a process: short ones are claimed a few at a time, and recorded together."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

from qexp.errors import QexpError
from qexp.model import Claim, Error, Failure, Outcome
from qexp.queueing.messages import LARGEST
from qexp.queueing.publisher import open_publisher
from qexp.settings import Settings
from qexp.store.connection import Raw
from qexp.store.reconnecting import PATIENCE, ReconnectingConnection
from qexp.store.writes import claiming
from qexp.truncation import single_line
from qexp.worker.attempt.failure import fingerprint
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.board import Board
from qexp.worker.child.outbox import ResultOutbox, UnrecordedResult
from qexp.worker.child.result_log import ResultLog
from qexp.worker.periodic import PeriodicThread
from qexp.worker.tenure import Tenure

log = logging.getLogger(__name__)

_AHEAD = 0.5
"""Seconds of work that are claimed at once; when less than half of it is left, the next is."""
_TOGETHER = 0.05
"""Seconds for which results wait for others, to be recorded with one commit."""
_LATE = 2.0
"""Seconds, beside those that a message should take, after which the rest of it is given to others."""
_HEARS = 2.0
"""Seconds in which a signal to all processes of a worker reaches its main process."""
_BRIEF = 0.5
"""Seconds below which an experiment lets the next one be taken for a short one: a hundred flushes of a disk."""


STOPPED = Error(
    Failure.CRASHED,
    "ProcessStopped",
    "a signal told its process to stop, but not its worker",
    fingerprint=fingerprint("ProcessStopped", []),
)


class Bundle:
    """
    One per process. An experiment that comes alone takes no shortcut, unless the one before it was short.

    The shortcuts: to claim several together, and to record results and to claim what comes next beside the function.
    Results that are not recorded yet are in a file as well: if the process dies its main process records them, and
    takes back what was claimed and not begun. Its methods may be called by several threads.
    """

    def __init__(
        self,
        settings: Settings,
        worker: UUID,
        scratch: Scratch,
        postgres: ReconnectingConnection,
        tenure: Tenure,
        slot: Callable[[], int] = lambda: 0,
    ) -> None:
        self.settings, self.worker = settings, worker
        self._postgres, self._tenure, self._slot = postgres, tenure, slot
        self._outbox = ResultOutbox(settings, postgres)
        self._board = Board(scratch.board)
        self._scratch = scratch
        self._log: ResultLog | None = None
        self._recording = threading.RLock()
        """Held by who records; taken before the lock."""
        self._claiming = threading.RLock()
        """Held by who claims, or gives back; taken before the lock."""
        self._lock = threading.RLock()
        """Held for moments, and never while Postgres or the broker is waited for."""
        self._thread = PeriodicThread(
            "qexp-results", self._record_and_claim, None, "results are not recorded yet", gather=_TOGETHER
        )
        self._waiting: deque[int] = deque()
        self._claimed: deque[Claim] = deque()
        self._current: Claim | None = None
        self._ended: list[UnrecordedResult] = []
        self._undelivered: set[int] = set()
        """Experiments whose outcomes are left to the outbox."""
        self._holds = self._was_brief = False
        """Results may wait for each other; the last experiment was a short one."""
        self._is_unsure = False
        """There may be claims that are not known here: an answer was lost."""
        self._began = self._paced_at = 0.0
        self._ran, self._at_once = 0, 1
        self._failures: list[str] = []

    def open(self, ids: Sequence[int]) -> None:
        """Begin with a message."""
        with self._lock:
            self._waiting = deque(dict.fromkeys(ids))
            self._began, self._failures = time.monotonic(), []
            self._holds = (len(self._waiting) > 1 or self._was_brief) and self._has_log()
        if self._holds:
            self._thread.start()  # before a function has run: it may leave no memory for a thread

    @property
    def is_at_work(self) -> bool:
        """Whether an experiment has begun whose outcome is nowhere yet."""
        return self._current is not None

    def hold_no_more(self) -> None:
        """Record what ends from now on at once: this process is spoiled, and another one takes its place."""
        self._holds = False

    def next(self, expect: Callable[[int], None]) -> Claim | None:
        """
        Return a claimed experiment that is to be run now; None: none is left.

        *expect* is told of what is claimed before it is.
        """
        if self._board.closed:
            self.hand_back()
        if claim := self._pop():
            return claim
        with self._claiming:  # perhaps it is being claimed just now
            while not (claim := self._pop()):
                ids = self._take()
                if self._board.closed or not (ids or self._is_unsure):
                    return None
                if ids:
                    expect(ids[0])
                self._get(ids)
            return claim

    def _pop(self) -> Claim | None:
        with self._lock:
            self._current = self._claimed[0] if self._claimed else None
            if self._current is not None:
                self._claimed.popleft()  # not before, or a signal could come when it is in neither
            return self._current

    def _take(self) -> list[int]:
        """Return what is to be claimed next."""
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(self._pace(), len(self._waiting)))]

    def end(self, claim: Claim, outcome: Outcome, began: float) -> None:
        """
        Record how an attempt ended; a result that may wait for others is recorded in a moment.

        SystemExit: this process was told to stop meanwhile, and what has ended is recorded, or will be, all the same.
        """
        ended = time.monotonic()
        self._was_brief = ended - began < _BRIEF
        self._ran += 1
        try:
            self._end(claim, outcome, began, ended)
        except SystemExit:
            try:
                if all(item.claim is not claim for item in self._ended):
                    self._end(claim, outcome, began, ended, patience=0)
            except QexpError as error:  # it is in the outbox
                log.warning("experiment %d: its outcome is not recorded yet: %s", claim.id, single_line(error))
            self._current = None
            raise

    def _end(self, claim: Claim, outcome: Outcome, began: float, ended: float, patience: float = PATIENCE) -> None:
        if not self._holds or outcome.error is not None or outcome.departure is not None:
            self._undelivered.add(claim.id)
            self._current = None
            recorded = self._outbox.record(claim, outcome, patience)
            self._undelivered.discard(claim.id)
            self._recorded(claim, recorded)
            return
        item = self._outbox.encode(claim, outcome, began, ended)
        with self._lock:
            self._ended.append(item)
            self._note(item)
            self._current = None
        self._thread.wake()

    def record(self) -> None:
        """Record the results that wait; the function may go on meanwhile."""
        with self._recording:
            items = list(self._ended)
            if items:
                refused = self._outbox.record_together(items)
                with self._lock:
                    del self._ended[: len(items)]
                    self._tidy()
                for claim, outcome in refused:  # their message may be over
                    if outcome is not None and outcome.error is not None:
                        log.error("experiment %d: %s", claim.id, outcome.error.line)

    def _tidy(self) -> None:
        """Have the file hold no more than what waits."""
        if self._log is not None:
            try:
                self._log.keep([item.encoded for item in self._ended])
            except OSError as error:
                self._give_up_holding(error)

    def _record_and_claim(self) -> None:
        """Record results that wait and claim ahead, in a thread: no experiment waits for the disk of the one before."""
        try:
            self.record()
        finally:
            self._claim_ahead()

    def _claim_ahead(self) -> None:
        """Claim what comes next while the function runs, so that it need not be waited for."""
        with self._claiming:
            with self._lock:
                is_enough = 2 * len(self._claimed) >= self._at_once
                if is_enough or self._current is None or not self._holds or self._board.closed:
                    return
            if ids := self._take():
                self._get(ids, patience=0)

    def hand_back(self) -> None:
        """Give to others what was not begun."""
        with self._claiming:
            with self._lock:
                ids = [*(claim.id for claim in self._claimed), *self._waiting]
                self._is_unsure |= bool(self._claimed)  # until it is undone, whatever comes between
                self._claimed.clear()
                self._waiting.clear()
            if self._is_unsure:
                undone = self._postgres.run(
                    lambda raw: claiming.undo(raw, self.worker, os.getpid(), self._known()),
                    "experiments that did not start",
                )
                self._is_unsure = False
                ids = [*dict.fromkeys([*ids, *undone])]
            if ids:
                with open_publisher(self.settings) as publisher:
                    publisher.republish(ids)

    def refuse(self, claim: Claim) -> None:
        """Give it to others, with all that was not begun either."""
        with self._lock:
            self._claimed.appendleft(claim)
            self._current = None
        self.hand_back()

    def stop(self) -> None:
        """
        End what is at work, give to others what was not begun, and record what has ended: this process is to stop.

        What is at work is given back if the worker was told so, too. Otherwise it is charged: a signal to one process
        alone comes from its function, or from a person who wants that to end.
        """
        if claim := self._current:
            if self._worker_stops():
                if self._postgres.run(lambda raw: claiming.give_back(raw, claim), f"experiment {claim.id}"):
                    log.warning("experiment %d: given back, because its worker stops", claim.id)
                    with open_publisher(self.settings) as publisher:
                        publisher.publish_studies([claim.study_id])
            else:
                log.error("experiment %d: %s", claim.id, STOPPED.message)
                self._outbox.record(claim, Outcome(error=STOPPED))
            self._current = None
        self.hand_back()
        self.record()

    def _worker_stops(self) -> bool:
        """Say whether the whole worker was told to stop; its main process may hear of it a moment later."""
        deadline = time.monotonic() + _HEARS
        while not (self._board.stopping or self._board.closed):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def look(self) -> None:
        """Let nothing wait for an experiment that takes longer than others did; called each second, by a thread."""
        self.record()
        with self._claiming:
            number = len(self._claimed) + len(self._waiting)
            if number and time.monotonic() - self._began > self.settings.bundle + _LATE:
                log.info("gave %d experiments of a message to other processes", number)
                self.hand_back()

    def close(self) -> list[str]:
        """End a message; return a line for each experiment that has failed."""
        with self._lock:
            return self._failures

    def _pace(self) -> int:
        """Return how many experiments to claim: as many as took a moment, as far as the last ones tell."""
        if not self._holds:
            return 1
        if self._ran:
            took = (time.monotonic() - self._paced_at) / self._ran
            fitting = min(int(_AHEAD / took), 4 * self._at_once) if took else LARGEST
            self._at_once = max(1, min(LARGEST, fitting))
        self._paced_at, self._ran = time.monotonic(), 0
        return self._at_once

    def _get(self, ids: Sequence[int], patience: float = PATIENCE) -> None:
        """Claim experiments; those that could not be claimed within *patience* seconds wait on."""
        slot = self._slot()
        self._board.claiming(slot, True)
        try:
            if not self._board.closed:  # whoever closes it looks afterwards who claims
                self._claim(ids, patience)
        except BaseException:
            with self._lock:
                had = {claim.id for claim in self._claimed}
                self._waiting.extendleft(number for number in reversed(ids) if number not in had)
            raise
        finally:
            self._board.claiming(slot, False)

    def _claim(self, ids: Sequence[int], patience: float) -> None:
        """Claim experiments; of a claim whose answer was lost the next try finds what that has taken."""
        pid = os.getpid()

        def claim(raw: Raw) -> list[Claim]:
            found = claiming.adopt(raw, self.worker, pid, self._known()) if self._is_unsure else []
            self._is_unsure = True
            had = {item.id for item in found}
            rest = [number for number in ids if number not in had and self._tenure.takes(raw, number)]
            return found + (claiming.claims(raw, rest, self.worker, pid) if rest else [])

        claims = self._postgres.run(claim, f"claim of {_listed(ids)}", patience)
        with self._lock:  # first of all: this process may be told to stop at any moment
            self._claimed.extend(claims)
            self._is_unsure = False
            self._undelivered.difference_update(claim.id for claim in claims)
        if missing := set(ids) - {item.id for item in claims}:
            self._miss(sorted(missing))

    def _known(self) -> list[int]:
        """Return what runs in this process by its row, as far as is known here."""
        with self._lock:
            held = [*self._claimed, *(item.claim for item in self._ended)]
            if self._current is not None:
                held.append(self._current)
            return [*(claim.id for claim in held), *self._undelivered]

    def _miss(self, ids: Sequence[int]) -> None:
        if back := self._postgres.run(lambda raw: claiming.hand_over(raw, ids, self.worker), "skipped experiments"):
            log.warning("experiments %s: given back, because this worker is quarantined", _listed(back))
        if rest := sorted(set(ids) - set(back)):
            log.info("experiments %s: paused or already taken: skipped", _listed(rest))

    def _recorded(self, claim: Claim, outcome: Outcome | None) -> None:
        """Note in one line how an attempt failed, if it did."""
        if outcome is None:
            return
        if outcome.departure is not None:
            log.info("experiment %d: %s", claim.id, outcome.departure.outcome)
            if outcome.departure.outcome == "released":
                with open_publisher(self.settings) as publisher:
                    publisher.publish_studies([claim.study_id])
        if outcome.error is not None:
            self._failures.append(f"{claim.study} #{claim.id}: {outcome.error.line}")

    def _has_log(self) -> bool:
        if self._log is None:
            try:
                self._log = ResultLog(self._scratch.folder, os.getpid())
            except OSError as error:
                self._give_up_holding(error)
        return self._log is not None

    def _note(self, item: UnrecordedResult) -> None:
        if self._log is not None:
            try:
                self._log.add(item.encoded)
            except OSError as error:
                self._give_up_holding(error)

    def _give_up_holding(self, error: OSError) -> None:
        """Go on one by one: without a file results may not wait."""
        log.warning(
            "results are recorded one by one, because their file cannot be written: %s",
            (error.strerror or str(error)).lower(),
        )
        self._holds, self._log = False, None


def _listed(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:5]))
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5} others"
