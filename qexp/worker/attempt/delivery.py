"""An outcome gets to Postgres, if need be by way of a file: days of work may be in it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from qexp.errors import FilesError, ResultError
from qexp.files import Files
from qexp.model import Claim, Departure, Error, Failure, Imports, Outcome, Usage
from qexp.settings import Settings
from qexp.store import hot, leases, views
from qexp.store.connect import Raw
from qexp.store.line import PATIENCE, Line
from qexp.worker.attempt import trace
from qexp.worker.attempt.outbox import Death, Outbox

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Ended:
    """An attempt that ended with a result, which is recorded together with others."""

    claim: Claim
    outcome: Outcome
    done: hot.EncodedResult


class Delivery:
    """
    Records outcomes. One that finds Postgres away is a file in the home's `outbox` until it is delivered.

    What is there and belongs to no living process is delivered by whichever worker of this home is next.
    """

    def __init__(self, settings: Settings, line: Line) -> None:
        self._settings, self._line = settings, line
        self._outbox = Outbox(settings)
        self._sites: dict[UUID, bool] = {}
        """Whether workers are of this database."""
        self._names: dict[int, dict[str, None]] = {}
        """The known names of a study's results, in order."""
        self._registered: set[str] = set()
        """Digests of imports that Postgres has, since an outcome with their lists was recorded."""

    def deliver(self, claim: Claim, outcome: Outcome, patience: float = PATIENCE) -> Outcome | None:
        """Record an outcome and return what was recorded: an error if Postgres refuses the result; None: too late."""
        what = f"the outcome of experiment {claim.id}"

        def finish(raw: Raw) -> hot.FinishedAttempt | None:
            found = hot.finish(raw, claim, outcome, names=self.names(claim), registered=self._registered)
            if found is None and hot.recorded_before(raw, {claim.id: claim.attempt}, claim.worker, outcome.name):
                return hot.FinishedAttempt()
            return found

        with self._keeping([(claim, outcome)]) as waiting:
            try:
                done = self._line.do(finish, what, patience, waiting)
            except (psycopg.Error, ValueError, OverflowError) as error:
                if not is_refusal(error):
                    raise
                outcome = refused("the result", error, claim, outcome.usage)
                done = self._line.do(finish, what, patience, waiting)
        self._outbox.of(claim).unlink(missing_ok=True)  # it may be from another process's time
        if done is None:
            log.warning("experiment %d: attempt %d came too late, its result is discarded", claim.id, claim.attempt)
            return None
        self._delete(done.urls)
        self._register(outcome)
        self._name(claim.study_id, outcome.result or ())
        return outcome

    def ended(self, claim: Claim, outcome: Outcome, began: float, ended: float) -> Ended:
        """Return an attempt that ended with a result, to be recorded; moments are of time.monotonic."""
        return Ended(
            claim, outcome, hot.encode_result(claim, outcome, began, ended, self.names(claim), self._registered)
        )

    def names(self, claim: Claim) -> Collection[str]:
        """Return the known names of results of a claim's study, in order."""
        known = self._names.get(claim.study_id, {})
        if len(known) < len(claim.result_names):  # a study only gains names
            known = self._names[claim.study_id] = dict.fromkeys(claim.result_names)
        return known

    def deliver_all(self, items: Sequence[Ended]) -> list[tuple[Claim, Outcome | None]]:
        """Record results together; return, for those that Postgres refuses, what was recorded instead."""
        worker = items[0].claim.worker
        with self._keeping([(item.claim, item.outcome) for item in items]) as waiting:
            try:
                recorded = self.record(worker, [item.done for item in items], waiting)
                for item in items:
                    self._register(item.outcome)
            except (psycopg.Error, ValueError, OverflowError) as error:
                if not is_refusal(error):
                    raise
                recorded = None
        if recorded is None:
            return [(item.claim, self.deliver(item.claim, item.outcome)) for item in items]
        return []

    def record(
        self,
        worker: UUID,
        items: Sequence[hot.EncodedResult],
        waiting: Callable[[], None] | None = None,
        patience: float = PATIENCE,
    ) -> Collection[int]:
        """
        Record results of a worker; return the ids of those that are not somebody else's by now.

        Those that were recorded before are among them: a connection may be lost, or a process die, just after it.
        """

        def finish(raw: Raw) -> dict[int, hot.FinishedAttempt]:
            found = hot.finish_all(raw, worker, items)
            if missing := {item.id: item.attempt for item in items if item.id not in found}:
                found |= dict.fromkeys(hot.recorded_before(raw, missing, worker), hot.FinishedAttempt())
            return found

        found = self._line.do(finish, f"the outcomes of {len(items)} experiments", patience, waiting)
        self._clear(items, found)
        return found

    def _clear(self, items: Sequence[hot.EncodedResult], found: Mapping[int, hot.FinishedAttempt]) -> None:
        """Do what is left to do after results were recorded."""
        for item in items:
            if item.id in found:
                self._delete(found[item.id].urls)
                self._name(item.study, item.names)
            else:
                log.warning("experiment %d: an attempt came too late, its result is discarded", item.id)

    def deliver_rest(self, patience: float = 0.0, died: Callable[[Death], None] | None = None) -> None:
        """
        Record what processes that are gone have left in the outbox, waiting so many seconds for Postgres.

        *died* deals with deaths, which are left alone without it. What is for another database stays.
        """
        for path, kept in self._outbox.rest():
            if not self._is_ours(kept.worker, patience):
                continue
            try:
                if kept.death is not None and died is not None:
                    died(kept.death)
                    path.unlink(missing_ok=True)
                if kept.claim is not None and kept.outcome is not None:
                    self.deliver(kept.claim, kept.outcome, patience)
                    log.info("experiment %d: its outcome was delivered from %s", kept.claim.id, path)
            except (psycopg.Error, ValueError, OverflowError) as error:
                if not is_refusal(error):
                    raise
                self._outbox.set_aside(path, " ".join(str(error).split()))

    def keep_death(self, death: Death) -> None:
        """Have a death told later, by whichever worker of this home is next. OSError: there is no room for it."""
        self._outbox.keep_death(death)

    def _is_ours(self, worker: UUID, patience: float) -> bool:
        """Say whether a worker is one of this database."""
        if worker not in self._sites:
            known = self._line.do(lambda raw: leases.is_known(raw, worker), "workers of this home", patience)
            self._sites[worker] = known
        return self._sites[worker]

    @contextlib.contextmanager
    def _keeping(self, items: Sequence[tuple[Claim, Outcome]]) -> Iterator[Callable[[], None]]:
        """Give what makes files of outcomes, once, when they have to wait; the files go when they were recorded."""
        held: list[int] = []

        def keep() -> None:
            for claim, outcome in [] if held else items:
                try:
                    held.append(self._outbox.keep_outcome(claim, outcome))
                except OSError as error:
                    reason = (error.strerror or str(error)).lower()
                    what = f"the outcome of experiment {claim.id}"
                    log.error("%s is in memory only, no file can be made in %s: %s", what, self._outbox.folder, reason)

        try:
            yield keep
            for claim, _ in items if held else []:
                self._outbox.of(claim).unlink(missing_ok=True)
        finally:
            for descriptor in held:
                os.close(descriptor)

    def _register(self, outcome: Outcome) -> None:
        """Note that the imports of an outcome that was recorded are in Postgres."""
        if outcome.imports is not None and outcome.is_done:
            self._registered.add(outcome.imports.digest)

    def _name(self, study: int, names: Iterable[str]) -> None:
        known = self._names.get(study, {})
        if new := [name for name in names if name not in known]:
            found = self._line.do(lambda raw: _name_results(raw, study, new), f"names of results of study {study}")
            self._names[study] = dict.fromkeys(found)

    def _delete(self, urls: Sequence[str]) -> None:
        """Delete files of checkpoints; what cannot be deleted is logged, since the experiment is done."""
        for url in urls:
            try:
                Files(self._settings.artifacts_root).delete(url)
            except FilesError as error:
                log.warning("a checkpoint's file stays: %s", error)


def is_refusal(error: Exception) -> bool:
    """Say whether Postgres, or its driver, will not have a value, rather than being away or in trouble."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return isinstance(error, psycopg.Error | ValueError | OverflowError)


def refused(what: str, error: Exception, claim: Claim, usage: Usage) -> Outcome:
    """Return the outcome of an attempt that has left what cannot be stored."""
    reason = ResultError(f"{what} cannot be stored: {' '.join(str(error).split())}")
    return Outcome(error=trace.of(reason, Failure.ERROR, claim.folder), usage=usage)


def _name_results(raw: Raw, study: int, names: Sequence[str]) -> list[str]:
    """Add names of results to a study, and return all of its names."""
    found = hot.name_results(raw, study, names)
    if found is None:
        return hot.result_names(raw, study)
    views.refresh(raw, study)
    return found


def plain_claim(claim: Claim) -> dict[str, Any]:
    """Return a claim as data; `claim_from` reads it."""
    folder = None if claim.folder is None else str(claim.folder)
    return {**claim._asdict(), "folder": folder, "worker": str(claim.worker), "fingerprint": str(claim.fingerprint)}


def claim_from(facts: Mapping[str, Any]) -> Claim:
    """Return the claim that `plain_claim` was given."""
    typed = {
        "worker": uuid.UUID(facts["worker"]),
        "fingerprint": uuid.UUID(facts["fingerprint"]),
        "folder": Path(facts["folder"]) if facts["folder"] else None,
        "result_names": tuple(facts["result_names"]),
    }
    return Claim(**{**facts, **typed})


def outcome_from(facts: Mapping[str, Any]) -> Outcome:
    """Return the outcome of which `dataclasses.asdict` made data."""
    error, departure = facts["error"], facts["departure"]
    return Outcome(
        facts["result"],
        error and Error(**{**error, "failure": Failure(error["failure"])}),
        departure and Departure(**departure),
        facts["recorded_at"],
        Usage(**facts["usage"]),
        facts["imports"] and Imports(tuple(facts["imports"]["files"]), tuple(facts["imports"]["packages"])),
    )
