"""The statements that every experiment passes through: named in hot.sql, run by raw psycopg in autocommit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import LiteralString, cast
from uuid import UUID

from psycopg.types.json import Jsonb

from qexp.model import Failure, Json
from qexp.store.connect import Raw


def _statements() -> dict[str, LiteralString]:
    text = files("qexp.store").joinpath("hot.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- (\w+): .*$", text, flags=re.MULTILINE)[1:]
    return {name: cast(LiteralString, body.strip().rstrip(";")) for name, body in zip(*[iter(parts)] * 2, strict=True)}


SQL = _statements()


@dataclass(frozen=True)
class Claim:
    """An experiment taken for one attempt: all that is needed to run it, and to be allowed to finish it."""

    id: int
    attempt: int
    worker: UUID
    params: Mapping[str, Json]
    study_id: int
    study: str
    function: str
    folder: Path | None
    settings: Mapping[str, Json]
    result_names: tuple[str, ...]
    """Names of results that the study has had so far."""


@dataclass(frozen=True)
class Error:
    """What a failed attempt leaves for a person."""

    failure: Failure
    type: str
    message: str
    frame: str | None = None
    fingerprint: str | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: with results, or with an error."""

    result: Mapping[str, Json] | None = None
    error: Error | None = None


def claim(raw: Raw, experiment: int, worker: UUID, pid: int, now: datetime | None = None) -> Claim | None:
    """Take a queued experiment for one attempt; None: another message came first, or it is not queued any more."""
    row = raw.execute(SQL["claim"], {"id": experiment, "worker": worker, "pid": pid, "now": now}).fetchone()
    if row is None:
        return None
    folder, names = row[7], row[9]
    return Claim(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], Path(folder) if folder else None, row[8], tuple(names)
    )


def finish(raw: Raw, claim: Claim, outcome: Outcome, now: datetime | None = None) -> bool:
    """Record how an attempt ended; False: the experiment is someone else's by now, and nothing was recorded."""
    error = outcome.error
    values = {
        "id": claim.id,
        "worker": claim.worker,
        "attempt": claim.attempt,
        "now": now,
        "result": None if outcome.result is None else Jsonb(outcome.result),
        "failure": error and error.failure,
        "error_type": error and error.type,
        "error_message": error and error.message,
        "error_frame": error and error.frame,
        "error_fingerprint": error and error.fingerprint,
        "traceback": error and error.traceback,
    }
    return raw.execute(SQL["finish"], values).fetchone() is not None


def crash(raw: Raw, ids: Sequence[int], worker: UUID, pid: int, error: Error, now: datetime | None = None) -> list[int]:
    """End the attempts, among *ids*, that ran in a process which died; return which those were."""
    values = {
        "ids": list(ids),
        "worker": worker,
        "pid": pid,
        "now": now,
        "error_type": error.type,
        "error_message": error.message,
        "error_fingerprint": error.fingerprint,
    }
    return [row[0] for row in raw.execute(SQL["crash"], values)]


def release(raw: Raw, worker: UUID, now: datetime | None = None) -> list[tuple[int, int]]:
    """Give back all that *worker* runs; return the experiments, each with its study's id."""
    return [(row[0], row[1]) for row in raw.execute(SQL["release"], {"worker": worker, "now": now})]


def give_back(raw: Raw, claim: Claim, now: datetime | None = None) -> bool:
    """Give back one claim whose process was told to stop; False: it was given back already."""
    values = {"id": claim.id, "worker": claim.worker, "attempt": claim.attempt, "now": now}
    return raw.execute(SQL["give_back"], values).fetchone() is not None


def register(raw: Raw, worker: UUID, host: str, pid: int, name: str, queues: Sequence[str], concurrency: int) -> None:
    """Say that a worker is there, before it takes anything."""
    values = {
        "id": worker,
        "host": host,
        "pid": pid,
        "name": name,
        "queues": list(queues),
        "concurrency": concurrency,
    }
    raw.execute(SQL["register"], values)


def leave(raw: Raw, worker: UUID) -> None:
    """Say that a worker has stopped."""
    raw.execute(SQL["leave"], {"id": worker})


def name_results(raw: Raw, study: int, names: Sequence[str]) -> list[str] | None:
    """Add names of results to a study; return all it has then, None if it knew them all."""
    row = raw.execute(SQL["name_results"], {"study": study, "names": list(names)}).fetchone()
    return None if row is None else list(row[0])
