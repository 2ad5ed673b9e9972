"""What a pool child does with an id: claim it, run it, finish it."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from uuid import UUID

import psycopg

from qexp.client import Client
from qexp.errors import ExperimentFailedError, ResultError
from qexp.model import Failure
from qexp.settings import Settings
from qexp.store import hot, views
from qexp.store.connect import Raw
from qexp.store.line import Line
from qexp.worker.attempt import trace
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attempt.session import Desk
from qexp.worker.context.journal import PostgresJournal

log = logging.getLogger(__name__)


class Child:
    """A process that runs experiments. Nothing is opened before the fork."""

    def __init__(self, settings: Settings, worker: UUID, scratch: Scratch, slot: Callable[[], int]) -> None:
        self.settings, self.worker, self.scratch = settings, worker, scratch
        self._slot = slot
        self._line = Line(settings)

    @cached_property
    def _desk(self) -> Desk:
        # pool children are daemons, which Python forbids children of their own; experiments use multiprocessing
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        return Desk(self.settings, self._line, self.scratch, self._slot())

    def work(self, ids: Sequence[int]) -> None:
        """Run those of the announced experiments that are still to be had; ExperimentFailedError if any failed."""
        failures = [failure for number in ids if (failure := self._attempt(number)) is not None]
        if failures:
            raise ExperimentFailedError("; ".join(failures))

    def _attempt(self, number: int) -> str | None:
        claim = self._line.do(lambda raw: hot.claim(raw, number, self.worker, os.getpid()), f"claim of {number}")
        if claim is None:
            log.info("experiment %d: not queued any more, its message is dropped", number)
            return None
        try:
            outcome, journal = self._desk.attempt(claim)
        except SystemExit:  # this process was told to stop, perhaps with its whole group
            if self._line.do(lambda raw: hot.give_back(raw, claim), f"experiment {number}"):
                log.warning("experiment %d: given back, its process was told to stop", number)
                Client(self.settings).announce_studies([claim.study_id])
            raise
        return self._finish(claim, outcome, journal)

    def _finish(self, claim: hot.Claim, outcome: hot.Outcome, journal: PostgresJournal) -> str | None:
        """Record an outcome, and say in one line how it failed, if it did."""
        recorded = self._recorded(claim, outcome, journal)
        if recorded is None:
            log.warning("experiment %d: attempt %d came too late, its result is discarded", claim.id, claim.attempt)
            return None
        names = [name for name in recorded.result or () if name not in claim.result_names]
        if names:
            self._line.do(lambda raw: _name_results(raw, claim.study_id, names), f"names of {claim.study}")
        if recorded.departure is not None:
            log.info("experiment %d: %s", claim.id, recorded.departure.outcome)
            if recorded.departure.outcome == "released":
                Client(self.settings).announce_studies([claim.study_id])
        if recorded.error is None:
            return None
        return f"{claim.study} #{claim.id}: {recorded.error.type}: {recorded.error.message}"

    def _recorded(self, claim: hot.Claim, outcome: hot.Outcome, journal: PostgresJournal) -> hot.Outcome | None:
        """Record an outcome and return what was recorded: an error if Postgres refuses the result; None: too late."""
        what = f"the outcome of experiment {claim.id}"
        urls: list[str] = []

        def finish(raw: Raw) -> bool:
            may_have_saved = journal.has_saved or claim.attempt > 1 or claim.isolation == "process"
            if outcome.error or outcome.departure or not may_have_saved:
                return hot.finish(raw, claim, outcome)
            with raw.transaction():  # an experiment that is done and still had a checkpoint would go on from it
                urls[:] = journal.drop(raw)
                return hot.finish(raw, claim, outcome)

        try:
            done = self._line.do(finish, what)
        except (psycopg.Error, ValueError, OverflowError) as error:
            if isinstance(error, psycopg.Error) and error.sqlstate is None:  # no answer: not the result's fault
                raise
            refused = ResultError(f"the result cannot be stored: {' '.join(str(error).split())}")
            outcome = hot.Outcome(error=trace.of(refused, Failure.ERROR, claim.folder), usage=outcome.usage)
            done = self._line.do(lambda raw: hot.finish(raw, claim, outcome), what)
        journal.delete(urls)
        return outcome if done else None


def _name_results(raw: Raw, study: int, names: Sequence[str]) -> None:
    if hot.name_results(raw, study, names) is not None:
        views.refresh(raw, study)
