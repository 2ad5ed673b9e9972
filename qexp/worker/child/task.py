"""What a pool child does with a message: runs its experiments, one after the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from uuid import UUID

from qexp.errors import ExperimentFailedError
from qexp.model import Claim, Failure, Outcome
from qexp.queueing.messages import LARGEST
from qexp.settings import Settings
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.writes import claiming
from qexp.truncation import single_line
from qexp.worker.attempt import failure
from qexp.worker.attempt.runner import AttemptRunner
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.child.bundle import Bundle
from qexp.worker.tenure import Tenure

log = logging.getLogger(__name__)

_TOLD = 2_000
"""The most bytes that a monitor receives about the failures of one message."""
_BRIEFLY = 5.0
"""Seconds for which a process that is given up waits for Postgres: it may be what keeps it from answering."""


class MessageRunner:
    """
    A process that runs experiments. Nothing is opened before the fork.

    *retire* has it end when its message is over, and another take its place.
    """

    def __init__(
        self,
        settings: Settings,
        worker: UUID,
        scratch: Scratch,
        slot: Callable[[], int | None],
        tenure: Tenure,
        retire: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings, self.scratch = settings, scratch
        self._slot, self._retire = slot, retire
        self._postgres = ReconnectingConnection(settings)
        self._bundle = Bundle(settings, worker, scratch, self._postgres, tenure, lambda: slot() or 0)

    @cached_property
    def _runner(self) -> AttemptRunner:
        return AttemptRunner(self.settings, self._postgres, self.scratch, self._slot(), self._bundle.look)

    def work(self, ids: Sequence[int]) -> None:
        """Run those of the announced experiments that are still to be had; ExperimentFailedError if any failed."""
        if len(ids) > LARGEST:  # it is forged, and most of its experiments are not to be had
            ids = self._postgres.run(lambda raw: claiming.queued(raw, ids), "the published experiments")
        self._bundle.open(ids)
        try:
            while self._attempt_next():
                self._runner.note_idle()
            self._runner.note_idle()
        except SystemExit:  # this process was told to stop, perhaps with its whole group
            self._bundle.stop()  # until that is done, and longer if it cannot be, the board says what had begun
            raise
        except BaseException:
            if not self._bundle.is_at_work:  # otherwise whoever finds this process dead has to know
                self._runner.note_idle()
            raise
        if failures := self._bundle.close():
            raise ExperimentFailedError(single_line("; ".join(failures), _TOLD))

    def _attempt_next(self) -> bool:
        """Run an experiment; False: none is left."""
        claim = self._bundle.next(self._runner.note_claiming)
        if claim is None:
            return False
        if not self._runner.note_begun(claim):
            self._bundle.refuse(claim)
            return False
        began = time.monotonic()
        outcome = self._outcome(claim)
        if lost := self._runner.unrestored:
            what = ", ".join(lost)
            log.warning("experiment %d: its process is replaced, because it cannot undo a change: %s", claim.id, what)
            self._postgres.most_patience = _BRIEFLY
            self._bundle.hold_no_more()
            self._retire()
        self._bundle.end(claim, outcome, began)
        if lost:
            self._bundle.record()
            self._bundle.hand_back()
        return True

    def _outcome(self, claim: Claim) -> Outcome:
        """Return how an attempt has ended; what this machine lacks for it is a crash."""
        try:
            return self._runner.attempt(claim)
        except Exception as error:
            log.exception(
                "experiment %d: attempt %d failed, because its folder cannot be created", claim.id, claim.attempt
            )
            return Outcome(error=failure.describe(error, Failure.CRASHED, claim.folder))
