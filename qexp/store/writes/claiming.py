"""Claim experiments and finish their attempts, by raw psycopg in autocommit."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic_core import to_json

from qexp import jsonb
from qexp.model import DEATHS_BEFORE_ISOLATION, Claim, Departure, Error, Outcome
from qexp.store.connection import RawConnection
from qexp.store.sql.loader import statements

SQL = statements("claims.sql")


def claim(raw: RawConnection, experiment: int, worker: UUID, pid: int, now: datetime | None = None) -> Claim | None:
    """Take a queued experiment for one attempt. Returns None if `claims` takes nothing."""
    return next(iter(claims(raw, [experiment], worker, pid, now=now)), None)


def claims(raw: RawConnection, ids: Sequence[int], worker: UUID, pid: int, now: datetime | None = None) -> list[Claim]:
    """Take the queued ones among some experiments for one attempt each, in the order of their ids."""
    values = {"ids": sorted(ids), "worker": worker, "pid": pid, "now": now}
    rows = raw.repeated.execute(SQL["claim"], values)
    return sorted(_made(raw, rows, worker), key=attrgetter("id"))


def undo(raw: RawConnection, worker: UUID, pid: int, begun: Iterable[int] = ()) -> list[int]:
    """Take back the claims of a process that it has not *begun*, and return their ids."""
    return [row[0] for row in raw.execute(SQL["undo"], {"worker": worker, "pid": pid, "begun": list(begun)})]


def processes(raw: RawConnection, worker: UUID) -> list[int]:
    """Return the process ids in the running experiments of a worker."""
    return [row[0] for row in raw.execute(SQL["processes"], {"worker": worker})]


def queued(raw: RawConnection, ids: Sequence[int]) -> list[int]:
    """Return the ids whose experiments are queued, in the given order; a forged message has many others."""
    found = {row[0] for row in raw.execute(SQL["queued"], {"ids": list(ids)})}
    return [number for number in dict.fromkeys(ids) if number in found]


def hand_over(raw: RawConnection, ids: Sequence[int], worker: UUID) -> list[int]:
    """Put experiments back that the worker may not run now, and return their ids."""
    return [row[0] for row in raw.execute(SQL["hand_over"], {"ids": list(ids), "worker": worker})]


def adopt(raw: RawConnection, worker: UUID, pid: int, known: Iterable[int] = ()) -> list[Claim]:
    """Return the claims of a process without the *known* ones: their answers were lost with a connection."""
    rows = raw.execute(SQL["adopt"], {"worker": worker, "pid": pid, "known": list(known)})
    return list(_made(raw, rows, worker))


def _made(raw: RawConnection, rows: Iterable[tuple[Any, ...]], worker: UUID) -> Iterator[Claim]:
    """Yield claims with the facts of their revisions, which never change and are read once for a connection."""
    for id_, attempt, stored, exact, fingerprint, deaths, study, number in list(rows):
        facts = raw.revisions.get((study, number))
        if facts is None or not stored.keys() <= facts[1].keys():  # the study may have got parameters since
            facts = _revision(raw, study, number)
        if facts is not None:  # otherwise it was deleted just now, with all of its experiments
            settings, names, *rest = facts
            params = jsonb.restored(stored, exact, names)
            claim = Claim(id_, attempt, worker, params, fingerprint, json.loads(settings), study, *rest)
            yield claim._replace(isolation="process") if deaths >= DEATHS_BEFORE_ISOLATION else claim


def _revision(raw: RawConnection, study: int, number: int) -> tuple[Any, ...] | None:
    """
    Return the settings of a revision, the names of its study's parameters in order, and the rest of a claim.

    Settings are text: a function may change the objects that are parsed from it.
    """
    row = raw.execute(SQL["revision"], {"study": study, "number": number}).fetchone()
    if row is not None:
        settings, parameters, name, function, folder, results, *rest = row
        known = dict.fromkeys(parameters)
        row = settings, known, name, function, Path(folder) if folder else None, tuple(results), *rest
        raw.revisions[study, number] = row
    return row


@dataclass(frozen=True)
class FinishedAttempt:
    """An attempt whose end is recorded."""

    urls: Sequence[str] = ()
    """Files of checkpoints that were dropped with its result; the caller deletes them."""
    seconds: float | None = None
    """How long it ran, by its row."""
    retry_in: float | None = None
    """Seconds until the next attempt is due, if this one failed; None: there is none."""
    was_known: bool = False
    """Whether it was recorded before."""


class EncodedResult(NamedTuple):
    """The result of an attempt in the form for `finish_all` and for the file of unrecorded results."""

    id: int
    study: int
    attempt: int
    names: tuple[str, ...]
    """Names of results."""
    text: str
    """The facts of the attempt as JSON, as `finish` reads them."""


def encode_result(
    claim: Claim,
    outcome: Outcome,
    began: float | None = None,
    ended: float | None = None,
    names: Iterable[str] | None = None,
    registered: Container[str] = (),
) -> EncodedResult:
    """
    Return a result as it is recorded. *began* and *ended* are of time.monotonic; None: the claim's time, and now.

    *names* are the known names of the study's results, in order; None: the names of the claim. *registered* has the
    digests of imports that Postgres is known to have: their lists are not sent again.
    """
    imports = outcome.imports
    facts: dict[str, Any] = {
        "id": claim.id,
        "study": claim.study_id,
        "attempt": claim.attempt,
        "source": claim.source,
        "began": began,
        "ended": ended,
        "recorded_at": outcome.recorded_at or None,
        **_result(outcome, claim.result_names if names is None else names),
        **vars(outcome.usage),
    }
    if imports is not None:
        facts["imported"] = imports.digest
        if imports.digest not in registered:
            facts |= {"files": imports.files, "packages": imports.packages}
    text = to_json({name: fact for name, fact in facts.items() if fact is not None}).decode()
    return EncodedResult(claim.id, claim.study_id, claim.attempt, tuple(outcome.result or ()), text)


def finish_all(
    raw: RawConnection, worker: UUID, items: Sequence[EncodedResult], now: datetime | None = None
) -> dict[int, FinishedAttempt]:
    """Record results of a worker. Experiments that are missing from the answer belong to other workers now."""
    values = {
        "outcomes": f"[{','.join(item.text for item in items)}]",
        "ids": [item.id for item in items],
        "worker": worker,
        "clock": time.monotonic(),
        "now": now,
    }
    return {row[0]: FinishedAttempt(row[1], row[2]) for row in raw.execute(SQL["finish"], values)}


def finish(
    raw: RawConnection,
    claim: Claim,
    outcome: Outcome,
    now: datetime | None = None,
    names: Iterable[str] | None = None,
    registered: Container[str] = (),
) -> FinishedAttempt | None:
    """
    Record how an attempt ended. Returns None, and records nothing, if another worker has the experiment.

    *names* and *registered* are as in `encode_result`.
    """
    if outcome.departure is not None:
        departed = _depart(raw, claim.worker, outcome.departure, outcome, claim, now)
        return FinishedAttempt(seconds=departed[0][2]) if departed else None
    if outcome.error is not None:
        fence = {"worker": claim.worker, "attempt": claim.attempt, "pid": None}
        values = {"ids": [claim.id], **fence, "worker_died": False}
        failed = _fail(raw, values, outcome.error, outcome, claim.source, now)
        return FinishedAttempt(seconds=failed[0].seconds, retry_in=failed[0].retry_in) if failed else None
    item = encode_result(claim, outcome, names=names, registered=registered)
    return finish_all(raw, claim.worker, [item], now).get(claim.id)


def recorded_before(raw: RawConnection, attempts: Mapping[int, int], worker: UUID, outcome: str = "done") -> list[int]:
    """Return the experiments of {id: attempt} whose attempts have this outcome already: the answer was lost."""
    values = {"ids": list(attempts), "attempts": list(attempts.values()), "worker": worker, "outcome": outcome}
    return [row[0] for row in raw.execute(SQL["recorded_before"], values)]


def states(raw: RawConnection, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Return the study and status of each experiment; deleted ones have none."""
    return {row[0]: (row[1], row[2]) for row in raw.execute(SQL["states"], {"ids": list(ids)})}


@dataclass(frozen=True)
class FailedAttempt:
    """An attempt that failed."""

    id: int
    attempt: int
    study: str
    seconds: float
    """How long it ran."""
    retry_in: float | None
    """Seconds until the next attempt is due; None: there is none."""


def crash(
    raw: RawConnection,
    ids: Sequence[int],
    worker: UUID,
    pid: int | None,
    error: Error,
    now: datetime | None = None,
    attempt: int | None = None,
    worker_died: bool = False,
) -> list[FailedAttempt]:
    """
    End the attempts of *ids* that ran in a process that died, or in any process of the worker, and return them.

    With *attempt* only those of that number end. *worker_died*: the worker died, and its host kept running.
    """
    values = {"ids": list(ids), "worker": worker, "attempt": attempt, "pid": pid, "worker_died": worker_died}
    return _fail(raw, values, error, Outcome(), None, now)


def release(
    raw: RawConnection, worker: UUID, ids: Sequence[int] | None = None, now: datetime | None = None
) -> list[tuple[int, int]]:
    """Give back all or some experiments that *worker* runs. Returns each with its study's id."""
    return [row[:2] for row in _depart(raw, worker, Departure("released"), Outcome(), now=now, ids=ids)]


def give_back(raw: RawConnection, claim: Claim, now: datetime | None = None) -> bool:
    """Give back the claim of a process that was told to stop. Returns False if it was given back before."""
    return bool(_depart(raw, claim.worker, Departure("released"), Outcome(), claim, now))


def _fail(
    raw: RawConnection, values: dict[str, Any], error: Error, outcome: Outcome, source: str | None, now: datetime | None
) -> list[FailedAttempt]:
    values |= {
        "source": source,
        "now": now,
        "failure": str(error.failure),
        "error_type": error.type,
        "error_message": error.message,
        "error_frame": error.frame,
        "error_fingerprint": error.fingerprint,
        "traceback": error.traceback,
        "exit_signal": error.signal,
        **_found(outcome),
    }
    return [FailedAttempt(*row) for row in raw.execute(SQL["fail"], values)]


def _depart(
    raw: RawConnection,
    worker: UUID,
    departure: Departure,
    outcome: Outcome,
    claim: Claim | None = None,
    now: datetime | None = None,
    ids: Sequence[int] | None = None,
) -> list[tuple[int, int, float]]:
    if claim is not None:
        ids = [claim.id]
    values = {
        "worker": worker,
        "ids": None if ids is None else list(ids),
        "attempt": claim and claim.attempt,
        "source": claim and claim.source,
        "now": now,
        "outcome": departure.outcome,
        "reason": departure.reason,
        **_found(outcome),
    }
    return [(row[0], row[1], row[2]) for row in raw.execute(SQL["depart"], values)]


def _found(outcome: Outcome) -> dict[str, Any]:
    return {
        **{name: None if data is None else Jsonb(data) for name, data in _result(outcome, ()).items()},
        "recorded_at": Jsonb(outcome.recorded_at) if outcome.recorded_at else None,
        **vars(outcome.usage),
    }


def _result(outcome: Outcome, names: Iterable[str]) -> dict[str, Any]:
    """Return the two columns of a result; readers know the order of *names*."""
    if outcome.result is None:
        return {"result": None, "result_exact": None}
    return {"result": jsonb.encoded(outcome.result), "result_exact": jsonb.exact(outcome.result, names)}


def decline(raw: RawConnection, experiment: int, seconds: float, now: datetime | None = None) -> bool:
    """Leave a queued experiment to other workers if it would take longer than *seconds*. Returns whether it did."""
    values = {"id": experiment, "seconds": seconds, "now": now}
    return raw.execute(SQL["decline"], values).fetchone() is not None


def is_wanted(raw: RawConnection, queues: Sequence[str], seconds: float | None, now: datetime | None = None) -> bool:
    """Say whether *queues* have an experiment that would end within *seconds*."""
    values = {"queues": list(queues), "seconds": seconds, "now": now}
    return raw.execute(SQL["wanted"], values).fetchone() is not None


def name_results(raw: RawConnection, study: int, names: Sequence[str]) -> list[str] | None:
    """Add names of results to a study and return all of its names. Returns None if it knew these."""
    row = raw.execute(SQL["name_results"], {"study": study, "names": list(names)}).fetchone()
    return None if row is None else list(row[0])


def result_names(raw: RawConnection, study: int) -> list[str]:
    """Return the names of a study's results, in order. Returns none if the study was deleted."""
    row = raw.execute(SQL["result_names"], {"study": study}).fetchone()
    return [] if row is None else list(row[0])
