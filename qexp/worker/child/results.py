"""Records results of short experiments together: a commit waits for the disk, and many results share one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from qexp.errors import QexpError
from qexp.model import Claim, Outcome
from qexp.queueing.publisher import open_publisher
from qexp.settings import Settings
from qexp.store.reconnecting import PATIENCE, ReconnectingConnection
from qexp.truncation import single_line
from qexp.worker.child.held import HeldExperiments
from qexp.worker.child.outbox import ResultOutbox
from qexp.worker.periodic import PeriodicThread

log = logging.getLogger(__name__)

_TOGETHER = 0.05
"""Seconds for which a result waits for others."""
_SHORT = 0.5
"""Seconds below which an attempt is short, and the next one may share its commit: a hundred flushes of a disk."""


class ResultBatcher:
    """
    Records the outcomes of attempts: results of a batch together, in a thread; all other outcomes at once.

    *claim_ahead* is called in that thread too. An experiment that comes alone after a long one is no batch.
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
            "qexp-results", self._flush_and_claim, None, "results are not recorded yet", gather=_TOGETHER
        )
        self._was_short = False
        self.failures: list[str] = []
        """A line for each experiment of the message that has failed."""

    def open(self, number: int) -> None:
        """Begin with a message of so many experiments."""
        self.failures = []
        self._held.batching = False
        if number > 1 or self._was_short:
            self._held.start_batching()
        if self._held.batching:
            self._thread.start()  # before a function has run: it may leave no memory for a thread

    def record(self, claim: Claim, outcome: Outcome, began: float) -> None:
        """
        Record how an attempt ended; a result of a batch is recorded in a moment.

        SystemExit: this process was told to stop meanwhile. The outcome is recorded, or will be, all the same.
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
            except QexpError as error:  # it is in the outbox
                log.warning("experiment %d: its outcome is not recorded yet: %s", claim.id, single_line(error))
            self._held.running = None
            raise

    def _record(self, claim: Claim, outcome: Outcome, began: float, ended: float, patience: float = PATIENCE) -> None:
        if self._held.batching and outcome.is_done:
            self._held.add_result(self._outbox.encode(claim, outcome, began, ended))
            self._thread.wake()
        else:
            self.record_now(claim, outcome, patience)

    def record_now(self, claim: Claim, outcome: Outcome, patience: float = PATIENCE) -> None:
        """Record one outcome, and note its failure."""
        self._held.move_to_outbox(claim)
        recorded = self._outbox.record(claim, outcome, patience)
        self._held.confirm(claim)
        if recorded is None:
            return
        if recorded.departure is not None:
            log.info("experiment %d: %s", claim.id, recorded.departure.outcome)
            if recorded.departure.outcome == "released":
                with open_publisher(self._settings) as publisher:
                    publisher.publish_studies([claim.study_id])
        if recorded.error is not None:
            self.failures.append(f"{claim.study} #{claim.id}: {recorded.error.line}")

    def flush(self) -> None:
        """Record the results that wait; an experiment may run meanwhile."""
        with self._lock:
            if not (items := self._held.unrecorded):
                return
            refused = self._outbox.record_together(items)
            self._held.drop_results(len(items))
            for claim, outcome in refused:  # their message may be over
                if outcome is not None and outcome.error is not None:
                    log.error("experiment %d: %s", claim.id, outcome.error.line)

    def _flush_and_claim(self) -> None:
        """Record and claim beside the function: no experiment waits for the disk of the one before."""
        try:
            self.flush()
        finally:
            self._claim_ahead()
