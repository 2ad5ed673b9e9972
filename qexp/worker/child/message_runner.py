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
from qexp.worker.shutdown import ShutdownPolicy
from qexp.worker.slots import SlotTable

log = logging.getLogger(__name__)

_SHOWN = 2_000
"""The most bytes that a monitor receives about the failures of one message."""
_BRIEFLY = 5.0
"""Seconds for which a process that is replaced waits for Postgres: a change made by its function may be in the way."""
_NOTICED = 2.0
"""Seconds in which a signal to all processes of a worker reaches its main process."""

STOPPED = Error(
    Failure.CRASHED,
    "ProcessStopped",
    "a signal told its process to stop, but not its worker",
    fingerprint=failure.fingerprint("ProcessStopped", []),
)


class MessageRunner:
    """
    Runs the experiments of messages. It is made in a pool child, since a fork copies no threads and connections.

    *slot* is the number of the child; None: this is the worker's main process. *retire* ends this process after the
    message, and another one takes its place.
    """

    def __init__(
        self,
        settings: Settings,
        postgres: ReconnectingConnection,
        worker: UUID,
        scratch: Scratch,
        slot: int | None,
        shutdown_policy: ShutdownPolicy,
        retire: Callable[[], None] = lambda: None,
    ) -> None:
        self._postgres, self._retire = postgres, retire
        self._slots = SlotTable(scratch.slots)
        self._held = HeldExperiments(self._slots, slot or 0, scratch.folder)
        self._claims = ClaimPrefetcher(settings, worker, postgres, shutdown_policy, self._slots, self._held)
        self._results = ResultBatcher(settings, postgres, self._held, self._claims.claim_ahead)
        self._runner = AttemptRunner(settings, postgres, scratch, slot, self._each_second)

    def run(self, ids: Sequence[int]) -> None:
        """Run those of the announced experiments that can be claimed; ExperimentFailedError if any fails."""
        if len(ids) > LARGEST:  # the message is forged; most of its experiments are not queued
            ids = self._postgres.run(lambda raw: claiming.queued(raw, ids), "the published experiments")
        ids = list(dict.fromkeys(ids))
        self._results.open(len(ids))
        self._claims.open(ids)
        try:
            while (claim := self._claims.next()) is not None:
                self._attempt(claim)
                self._held.clear_slot()
            self._held.clear_slot()
        except SystemExit:  # this process was told to stop, perhaps with its whole group
            self._stop()  # if that cannot be done, the slot says what had begun
            raise
        except BaseException:
            if self._held.running is None:  # otherwise the slot tells the main process
                self._held.clear_slot()
            raise
        if failures := self._results.failures:
            raise ExperimentFailedError(single_line("; ".join(failures), _SHOWN))

    def _attempt(self, claim: Claim) -> None:
        """Make an attempt, and record how it ended; a process that is changed for good retires."""
        began = time.monotonic()
        outcome = self._outcome(claim)
        lost = self._runner.unrestored
        if lost:
            what = ", ".join(lost)
            log.warning("experiment %d: its process is replaced, because it cannot undo a change: %s", claim.id, what)
            self._postgres.most_patience = _BRIEFLY
            self._held.batching = False
            self._retire()
        self._results.record(claim, outcome, began)
        if lost:
            self._results.flush()
            self._claims.give_back()

    def _outcome(self, claim: Claim) -> Outcome:
        """Return how an attempt ended; it crashed if this machine lacks what an attempt needs."""
        try:
            return self._runner.attempt(claim)
        except Exception as error:
            log.exception(
                "experiment %d: attempt %d failed, because its folder cannot be created", claim.id, claim.attempt
            )
            return Outcome(error=failure.describe(error, Failure.CRASHED, claim.folder))

    def _each_second(self) -> None:
        """Let no result and no experiment wait for one that takes longer than others did."""
        self._results.flush()
        self._claims.give_back_if_late()

    def _stop(self) -> None:
        """
        End the running experiment, give back those that are not begun, and record results: this process is to stop.

        The running experiment is given back if the worker was told to stop too. Otherwise its attempt has crashed: a
        signal to one process alone comes from its function, or from a person who wants the attempt to end.
        """
        if claim := self._held.running:
            if self._worker_stops():
                log.warning("experiment %d: given back, because its worker stops", claim.id)
                self._results.record_now(claim, Outcome(departure=Departure("released")))
            else:
                log.error("experiment %d: %s", claim.id, STOPPED.message)
                self._results.record_now(claim, Outcome(error=STOPPED))
        self._claims.give_back()
        self._results.flush()

    def _worker_stops(self) -> bool:
        """Say whether the whole worker was told to stop; its main process may notice that a moment later."""
        deadline = time.monotonic() + _NOTICED
        while not (self._slots.worker_stops or self._slots.refuses_new):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True
