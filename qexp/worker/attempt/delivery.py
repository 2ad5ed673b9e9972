"""An outcome gets to Postgres, if need be by way of a file: days of work may be in it."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from qexp.errors import FilesError, ResultError
from qexp.files import Files, replacing
from qexp.model import Failure
from qexp.settings import Settings
from qexp.store import hot, views
from qexp.store.connect import Raw
from qexp.store.line import PATIENCE, Line
from qexp.worker.attempt import trace

log = logging.getLogger(__name__)


class Delivery:
    """
    Records outcomes. One that finds Postgres away is a file in the home's `outbox` until it is delivered.

    What is there and belongs to no living process is delivered by whichever worker of this home is next.
    """

    def __init__(self, settings: Settings, line: Line) -> None:
        self._settings, self._line = settings, line
        self._folder = settings.home / "outbox"

    def deliver(self, claim: hot.Claim, outcome: hot.Outcome, patience: float = PATIENCE) -> hot.Outcome | None:
        """Record an outcome and return what was recorded: an error if Postgres refuses the result; None: too late."""
        held: list[int] = []
        what = f"the outcome of experiment {claim.id}"

        def finish(raw: Raw) -> hot.Finished | None:
            return hot.finish(raw, claim, outcome)

        def waiting() -> None:
            if held:
                return
            try:
                held.append(self._keep(claim, outcome))
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                log.error("%s is in memory only, no file can be made in %s: %s", what, self._folder, reason)

        try:
            try:
                done = self._line.do(finish, what, patience, waiting)
            except (psycopg.Error, ValueError, OverflowError) as error:
                if not is_refusal(error):
                    raise
                outcome = refused("the result", error, claim, outcome.usage)
                done = self._line.do(finish, what, patience, waiting)
            self._path(claim).unlink(missing_ok=True)
        finally:
            for descriptor in held:
                os.close(descriptor)
        if done is None:
            log.warning("experiment %d: attempt %d came too late, its result is discarded", claim.id, claim.attempt)
            return None
        self._delete(done.urls)
        self._name(claim, outcome)
        return outcome

    def deliver_rest(self) -> None:
        """Record what processes that are gone have left in the outbox; none of it waits for Postgres."""
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []:
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # its process lives, and delivers it
                    continue
                kept = json.load(file)
                claim, outcome = claim_from(kept["claim"]), outcome_from(kept["outcome"])
                if self.deliver(claim, outcome, patience=0) is not None:
                    log.info("experiment %d: its outcome was delivered from %s", claim.id, path)

    def _keep(self, claim: hot.Claim, outcome: hot.Outcome) -> int:
        """Write an outcome to the outbox; return a descriptor that keeps others from delivering it."""
        path = self._path(claim)
        with replacing(path) as file:
            kept = {"claim": plain_claim(claim), "outcome": dataclasses.asdict(outcome)}
            file.write(json.dumps(kept, default=str).encode())
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def _path(self, claim: hot.Claim) -> Path:
        return self._folder / f"{claim.worker.hex}-{claim.id}-{claim.attempt}.json"

    def _name(self, claim: hot.Claim, outcome: hot.Outcome) -> None:
        names = [name for name in outcome.result or () if name not in claim.result_names]
        if names:
            self._line.do(lambda raw: _name_results(raw, claim.study_id, names), f"names of {claim.study}")

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


def refused(what: str, error: Exception, claim: hot.Claim, usage: hot.Usage) -> hot.Outcome:
    """Return the outcome of an attempt that has left what cannot be stored."""
    reason = ResultError(f"{what} cannot be stored: {' '.join(str(error).split())}")
    return hot.Outcome(error=trace.of(reason, Failure.ERROR, claim.folder), usage=usage)


def _name_results(raw: Raw, study: int, names: Sequence[str]) -> None:
    if hot.name_results(raw, study, names) is not None:
        views.refresh(raw, study)


def plain_claim(claim: hot.Claim) -> dict[str, Any]:
    """Return a claim as data; `claim_from` reads it."""
    folder = None if claim.folder is None else str(claim.folder)
    return {**vars(claim), "folder": folder, "worker": str(claim.worker), "fingerprint": str(claim.fingerprint)}


def claim_from(facts: Mapping[str, Any]) -> hot.Claim:
    """Return the claim that `plain_claim` was given."""
    typed = {
        "worker": uuid.UUID(facts["worker"]),
        "fingerprint": uuid.UUID(facts["fingerprint"]),
        "folder": Path(facts["folder"]) if facts["folder"] else None,
        "result_names": tuple(facts["result_names"]),
    }
    return hot.Claim(**{**facts, **typed})


def outcome_from(facts: Mapping[str, Any]) -> hot.Outcome:
    """Return the outcome of which `dataclasses.asdict` made data."""
    error, departure = facts["error"], facts["departure"]
    return hot.Outcome(
        facts["result"],
        error and hot.Error(**{**error, "failure": Failure(error["failure"])}),
        departure and hot.Departure(**departure),
        facts["recorded_at"],
        hot.Usage(**facts["usage"]),
    )
