"""What a pool child does with an id: claim it, run it, finish it."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from uuid import UUID

from qexp.client import Client
from qexp.errors import ExperimentFailedError
from qexp.model import Failure
from qexp.settings import Settings
from qexp.store import hot
from qexp.store.connect import Raw
from qexp.store.line import Line
from qexp.worker.attempt import trace
from qexp.worker.attempt.delivery import Delivery
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attempt.session import Desk
from qexp.worker.tenure import Tenure

log = logging.getLogger(__name__)


class Child:
    """A process that runs experiments. Nothing is opened before the fork."""

    def __init__(
        self, settings: Settings, worker: UUID, scratch: Scratch, slot: Callable[[], int], tenure: Tenure
    ) -> None:
        self.settings, self.worker, self.scratch, self._tenure = settings, worker, scratch, tenure
        self._slot = slot
        self._line = Line(settings)
        self._delivery = Delivery(settings, self._line)

    @cached_property
    def _desk(self) -> Desk:
        # pool children are daemons, which Python forbids children of their own; experiments use multiprocessing
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        return Desk(self.settings, self._line, self.scratch, self._slot())

    def work(self, ids: Sequence[int]) -> None:
        """Run those of the announced experiments that are still to be had; ExperimentFailedError if any failed."""
        if len(ids) > 1:
            ids = self._line.do(lambda raw: hot.queued(raw, ids), "what was announced")
        failures = [failure for number in ids if (failure := self._attempt(number)) is not None]
        if failures:
            raise ExperimentFailedError("; ".join(failures))

    def _attempt(self, number: int) -> str | None:
        self._desk.expect(number)
        try:
            claim = self._claim(number)
            if claim is not None:
                return self._run(claim)
            if self._line.do(lambda raw: hot.hand_over(raw, number, self.worker), f"experiment {number}"):
                log.warning("experiment %d: put back for others, this worker is quarantined", number)
                return None
            log.info("experiment %d: not to be had, its message is dropped", number)
            return None
        finally:
            self._desk.leave()

    def _run(self, claim: hot.Claim) -> str | None:
        try:
            return self._finish(claim, self._outcome(claim))
        except SystemExit:  # this process was told to stop, perhaps with its whole group
            if self._line.do(lambda raw: hot.give_back(raw, claim), f"experiment {claim.id}"):
                log.warning("experiment %d: given back, its process was told to stop", claim.id)
                Client(self.settings).announce_studies([claim.study_id])
            raise

    def _outcome(self, claim: hot.Claim) -> hot.Outcome:
        """Return how an attempt has ended; what this machine lacks for it is a crash."""
        try:
            return self._desk.attempt(claim)
        except Exception as error:
            log.exception("experiment %d: attempt %d has no place to run", claim.id, claim.attempt)
            return hot.Outcome(error=trace.of(error, Failure.CRASHED, claim.folder))

    def _claim(self, number: int) -> hot.Claim | None:
        """Claim an experiment; of a claim whose answer was lost the second try finds what the first has taken."""
        again = False

        def claim(raw: Raw) -> hot.Claim | None:
            nonlocal again
            if not self._tenure.takes(raw, number):
                return None
            found = hot.adopt(raw, number, self.worker, os.getpid()) if again else None
            again = True
            return found or hot.claim(raw, number, self.worker, os.getpid())

        return self._line.do(claim, f"claim of {number}")

    def _finish(self, claim: hot.Claim, outcome: hot.Outcome) -> str | None:
        """Record an outcome, and say in one line how it failed, if it did."""
        recorded = self._delivery.deliver(claim, outcome)
        if recorded is None:
            return None
        if recorded.departure is not None:
            log.info("experiment %d: %s", claim.id, recorded.departure.outcome)
            if recorded.departure.outcome == "released":
                Client(self.settings).announce_studies([claim.study_id])
        if recorded.error is None:
            return None
        return f"{claim.study} #{claim.id}: {recorded.error.type}: {recorded.error.message}"
