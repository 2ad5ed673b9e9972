"""What a pool child does with an id: claim it, run it, finish it, over a connection of its own."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Sequence
from uuid import UUID

import psycopg

from qexp.client import Client
from qexp.errors import DatabaseUnreachableError, ExperimentFailedError, ResultError
from qexp.model import Failure
from qexp.settings import Settings
from qexp.store import hot, views
from qexp.store.connect import Raw, connect
from qexp.worker import runner, trace

log = logging.getLogger(__name__)

_PATIENCE = 600.0
"""Seconds that an outcome is kept while Postgres is away."""


class Child:
    """A process that runs experiments. Its connection is opened after the fork, and again whenever it was lost."""

    def __init__(self, settings: Settings, worker: UUID) -> None:
        self.settings, self.worker = settings, worker
        self._raw: Raw | None = None
        self._pid = 0

    def work(self, ids: Sequence[int]) -> None:
        """Run those of the announced experiments that are still to be had; ExperimentFailedError if any failed."""
        # pool children are daemons, which Python forbids children of their own; experiments use multiprocessing
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        failures = [failure for number in ids if (failure := self._attempt(number)) is not None]
        if failures:
            raise ExperimentFailedError("; ".join(failures))

    def _attempt(self, number: int) -> str | None:
        claim = self._claim(number)
        if claim is None:
            log.info("experiment %d: not queued any more, its message is dropped", number)
            return None
        try:
            found = runner.run(claim)
        except SystemExit:  # this process was told to stop, perhaps with its whole group
            if hot.give_back(self._connection(), claim):
                log.warning("experiment %d: given back, its process was told to stop", number)
                Client(self.settings).announce_studies([claim.study_id])
            raise
        outcome = self._finish(claim, found)
        if outcome is None:
            log.warning("experiment %d: attempt %d came too late, its result is discarded", number, claim.attempt)
            return None
        if outcome.error is None:
            return None
        return f"{claim.study} #{claim.id}: {outcome.error.type}: {outcome.error.message}"

    def _claim(self, number: int) -> hot.Claim | None:
        try:
            return hot.claim(self._connection(), number, self.worker, os.getpid())
        except psycopg.OperationalError:
            # the server was restarted since the last experiment
            self._raw = None
            return hot.claim(self._connection(), number, self.worker, os.getpid())

    def _finish(self, claim: hot.Claim, outcome: hot.Outcome) -> hot.Outcome | None:
        """Record an outcome and return what was recorded: an error if Postgres refuses the result; None: too late."""
        try:
            recorded = self._record(claim, outcome)
        except (psycopg.Error, ValueError, OverflowError) as error:
            if isinstance(error, psycopg.Error) and error.sqlstate is None:  # no answer: not the result's fault
                raise
            refused = ResultError(f"the result cannot be stored: {' '.join(str(error).split())}")
            outcome = hot.Outcome(error=trace.of(refused, Failure.ERROR, claim.folder))
            recorded = self._record(claim, outcome)
        names = [name for name in outcome.result or () if name not in claim.result_names]
        if recorded and names and hot.name_results(self._connection(), claim.study_id, names) is not None:
            views.refresh(self._connection(), claim.study_id)
        return outcome if recorded else None

    def _record(self, claim: hot.Claim, outcome: hot.Outcome) -> bool:
        """Finish a claim, waiting for a Postgres that is away: the result may have taken days."""
        deadline, pause = time.monotonic() + _PATIENCE, 0.1
        while True:
            try:
                return hot.finish(self._connection(), claim, outcome)
            except (psycopg.OperationalError, DatabaseUnreachableError) as error:
                state = getattr(error, "sqlstate", None)
                answered = state is not None and not state.startswith(("08", "57"))  # and is not shutting down
                if answered or time.monotonic() > deadline:
                    raise
                self._raw = None
                log.warning("experiment %d: its outcome waits for Postgres: %s", claim.id, " ".join(str(error).split()))
            time.sleep(pause)
            pause = min(2 * pause, 10.0)

    def _connection(self) -> Raw:
        if self._raw is None or self._raw.closed or self._pid != os.getpid():
            self._raw, self._pid = connect(self.settings), os.getpid()
        return self._raw
