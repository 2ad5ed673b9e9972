"""Record the results of short experiments in batches, since each commit waits for the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from qexp.errors import QexpError
from qexp.model import Claim, Departure, Outcome, duration
from qexp.queueing.publisher import open_publisher
from qexp.settings import Settings
from qexp.store.reconnecting import PATIENCE, REFUSALS, ReconnectingConnection
from qexp.truncation import MAX_LINE, single_line
from qexp.worker.child.held_experiments import HeldExperiments
from qexp.worker.child.outbox import ResultOutbox
from qexp.worker.log.attempt_line import AttemptLine
from qexp.worker.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

_TOGETHER = 0.05
"""Seconds for which a result waits for others."""
_LONG = 60.0
"""Seconds of an attempt that is worth a line when it is done."""
_SHORT = 0.5
"""Seconds; after a shorter attempt the next message records in batches. About 100 commits take as long."""


class ResultBatcher:
    """
    Records the outcomes of attempts: results in batches, in a thread; all other outcomes immediately.

    The thread also calls *claim_ahead*. A message with one experiment, after a long one, uses no batches.
    """

    def __init__(
        self,
        settings: Settings,
        postgres: ReconnectingConnection,
        held: HeldExperiments,
        claim_ahead: Callable[[], None],
    ) -> None:
        self._settings, self._held, self._claim_ahead = settings, held, claim_ahead
        self._outbox = ResultOutbox(settings, postgres)
        self._lock = threading.RLock()
        """Held while results are recorded together."""
        self._thread = PeriodicThread(
            "qexp-results",
            self._flush_and_claim,
            None,
            "results could not be recorded, or claims not made",
            gather=_TOGETHER,
        )
        self._was_short = False
        self.failures: list[str] = []
        """A line for each experiment of the message that has failed."""

    def start_message(self, number: int) -> None:
        """Begin a message of *number* experiments."""
        self.failures = []
        self._held.batching = False
        if number > 1 or self._was_short:
            self._held.start_batching()
        if self._held.batching:
            self._thread.start()  # now, since a function may leave no memory for a thread

    def record(self, claim: Claim, outcome: Outcome, began: float) -> None:
        """
        Record the outcome of an attempt; the thread records a result of a batch a moment later.

        Raises SystemExit if this process was told to stop meanwhile. The outcome is recorded even then.
        """
        ended = time.monotonic()
        self._was_short = ended - began < _SHORT
        self._held.ended += 1
        try:
            self._record(claim, outcome, began, ended)
        except SystemExit:
            try:
                if not self._held.has_result(claim):
                    self._record(claim, outcome, began, ended, patience=0)
            except (QexpError, *REFUSALS) as error:  # the outcome may be in the outbox
                log.warning("experiment %d: its outcome is not recorded yet: %s", claim.id, single_line(error))
            self._held.running = None
            raise

    def _record(self, claim: Claim, outcome: Outcome, began: float, ended: float, patience: float = PATIENCE) -> None:
        if self._held.batching and outcome.is_done:
            self._held.add_result(self._outbox.encode(claim, outcome, began, ended))
            self._thread.wake()
            self._log_long(claim, outcome, ended - began)
        else:
            self.record_now(claim, outcome, patience, ended - began)

    def record_now(
        self, claim: Claim, outcome: Outcome, patience: float = PATIENCE, seconds: float | None = None
    ) -> None:
        """Record one outcome without a batch, and log it. Its row says how long it ran, or *seconds* if unknown."""
        self._held.move_to_outbox(claim)
        recorded = self._outbox.record(claim, outcome, patience)
        self._held.confirm(claim)
        if recorded is None:
            return
        outcome = recorded.outcome
        seconds = seconds if recorded.seconds is None else recorded.seconds
        self._log_long(claim, outcome, seconds)
        if outcome.departure is not None:
            if not recorded.was_known:
                self._log_departure(claim, outcome.departure, seconds)
            if outcome.departure.outcome == "released":
                with open_publisher(self._settings) as publisher:
                    publisher.publish_studies([claim.study_id])
        if outcome.error is not None:
            AttemptLine.of(claim.study, claim.id, outcome.error, seconds, recorded.retry_in).log(log)
            self.failures.append(f"{claim.study} #{claim.id}: {outcome.error.line}")

    def _log_long(self, claim: Claim, outcome: Outcome, seconds: float | None) -> None:
        """Log that a long experiment is done; lines about short ones would cost as much as the experiments."""
        if outcome.is_done and seconds is not None and seconds >= _LONG:
            log.info("%s #%d done in %s", claim.study, claim.id, duration(seconds))

    def _log_departure(self, claim: Claim, departure: Departure, seconds: float | None) -> None:
        how = "given back" if departure.outcome == "released" else departure.outcome
        after = "" if seconds is None else f" after {duration(seconds)}"
        reason = f": {single_line(departure.reason, MAX_LINE)}" if departure.reason else ""
        log.info("%s #%d is %s%s%s", claim.study, claim.id, how, after, reason)

    def flush(self) -> None:
        """Record the waiting results; an experiment may run meanwhile."""
        with self._lock:
            if not (items := self._held.unrecorded):
                return
            refused = self._outbox.record_together(items)
            self._held.drop_results(len(items))
            for claim, recorded in refused:
                if recorded is not None and recorded.outcome.error is not None:
                    error = recorded.outcome.error
                    AttemptLine.of(claim.study, claim.id, error, recorded.seconds, recorded.retry_in).log(log)

    def _flush_and_claim(self) -> None:
        """Record and claim while a function runs, so that no experiment waits for the commit of the one before."""
        try:
            self.flush()
        finally:
            self._claim_ahead()
