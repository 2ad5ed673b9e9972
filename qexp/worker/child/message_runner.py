"""Run the experiments of a message in a pool child, one after the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from qexp.errors import ExperimentFailedError
from qexp.model import Claim, Departure, Error, Failure, Outcome
from qexp.queueing.messages import LARGEST
from qexp.settings import Settings
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.writes import claiming
from qexp.truncation import single_line
from qexp.worker.attempt import failure
from qexp.worker.attempt.runner import AttemptRunner
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.child.held_experiments import HeldExperiments
from qexp.worker.child.prefetch import ClaimPrefetcher
from qexp.worker.child.result_batcher import ResultBatcher
from qexp.worker.lifetime import WorkerLifetime
from qexp.worker.slots import SlotTable

log = logging.getLogger(__name__)

_SHOWN = 2_000
"""The most bytes that a monitor receives about the failures of one message."""
_PATIENCE_OF_RETIRED = 5.0
"""Seconds that a process to be replaced waits for Postgres: a change made by its function may break connections."""
_SIGNAL_DELAY = 2.0
"""Seconds within which a signal to all processes of a worker reaches its main process."""

STOPPED = Error(
    Failure.CRASHED,
    "ProcessStopped",
    "a signal told its process to stop, but not its worker",
    fingerprint=failure.fingerprint("ProcessStopped", []),
)


class MessageRunner:
    """
    Runs the experiments of messages. Make it in the pool child, since a fork cannot use its threads and connections.

    *slot* is the number of the child, or None in the worker's main process. *retire* ends this process after the
    message; the pool replaces it.
    """

    def __init__(
        self,
        settings: Settings,
        postgres: ReconnectingConnection,
        worker: UUID,
        scratch: Scratch,
        slot: int | None,
        lifetime: WorkerLifetime,
        retire: Callable[[], None] = lambda: None,
    ) -> None:
        self._postgres, self._retire = postgres, retire
        self._slots = SlotTable(scratch.slots)
        self._held = HeldExperiments(self._slots, slot or 0, scratch.folder)
        self._claims = ClaimPrefetcher(settings, worker, postgres, lifetime, self._slots, self._held)
        self._results = ResultBatcher(settings, postgres, self._held, self._claims.claim_ahead)
        self._runner = AttemptRunner(settings, postgres, scratch, self._slots, slot, self._each_second)

    def run(self, ids: Sequence[int]) -> None:
        """Run the experiments that can be claimed. Raises ExperimentFailedError if any fails."""
        if len(ids) > LARGEST:  # the message is forged; most of its experiments are not queued
            ids = self._postgres.run(lambda raw: claiming.queued(raw, ids), "the published experiments")
        ids = list(dict.fromkeys(ids))
        self._results.start_message(len(ids))
        self._claims.start_message(ids)
        try:
            while (claim := self._claims.next()) is not None:
                self._attempt(claim)
                self._held.clear_slot()
            self._held.clear_slot()
        except SystemExit:  # this process was told to stop, perhaps with its whole group
            self._stop()  # if this fails, the slot still has the running attempt
            raise
        except BaseException:
            if self._held.running is None:  # otherwise the main process needs the slot
                self._held.clear_slot()
            raise
        if failures := self._results.failures:
            raise ExperimentFailedError(single_line("; ".join(failures), _SHOWN))

    def _attempt(self, claim: Claim) -> None:
        """Make an attempt, and record its outcome; retire this process if it cannot undo a change."""
        began = time.monotonic()
        outcome = self._outcome(claim)
        lost = self._runner.unrestored
        if lost:
            what = ", ".join(lost)
            log.warning("experiment %d: its process is replaced, because it cannot undo a change: %s", claim.id, what)
            self._postgres.most_patience = _PATIENCE_OF_RETIRED
            self._held.batching = False
            self._retire()
        self._results.record(claim, outcome, began)
        if lost:
            self._results.flush()
            self._claims.give_back()

    def _outcome(self, claim: Claim) -> Outcome:
        """Return the outcome of an attempt: a crash if its folder or output file cannot be made."""
        try:
            return self._runner.attempt(claim)
        except Exception as error:
            log.debug("the folder of attempt %d of #%d cannot be made", claim.attempt, claim.id, exc_info=True)
            return Outcome(error=failure.describe(error, Failure.CRASHED, claim.folder))

    def _each_second(self) -> None:
        """Record waiting results, and give back waiting experiments, while a long experiment runs."""
        self._results.flush()
        self._claims.give_back_if_late()

    def _stop(self) -> None:
        """
        End the running experiment, give back those that are not begun, and record results.

        If the whole worker stops, the running experiment is given back. Otherwise its attempt has crashed: a signal to
        one process comes from its function, or from a person who wants to end the attempt.
        """
        if claim := self._held.running:
            if self._worker_stops():
                self._results.record_now(claim, Outcome(departure=Departure("released")))
            else:
                self._results.record_now(claim, Outcome(error=STOPPED))
        self._claims.give_back()
        self._results.flush()

    def _worker_stops(self) -> bool:
        """Say whether the whole worker was told to stop; its main process may know it a moment later."""
        deadline = time.monotonic() + _SIGNAL_DELAY
        while not (self._slots.worker_stops or self._slots.refuses_new):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True
