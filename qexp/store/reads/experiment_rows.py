"""Experiments and attempts, as a person reads them."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Select,
    Text,
    case,
    cast,
    func,
    select,
)

from qexp import jsonb
from qexp.model import Json, Status
from qexp.store.connection import Connection
from qexp.store.reads import experiment_texts
from qexp.store.reads.experiment_order import OrderTerm, chosen
from qexp.store.schema import tables
from qexp.store.schema.expressions import LARGEST_ID, among, duration, error_of, is_last_attempt, last_attempt, seconds


@dataclass(frozen=True)
class ExperimentView:
    """An experiment for a person: its row, its host, and its last error."""

    id: int
    study: str
    params: Mapping[str, Json]
    status: Status
    attempt: int
    revision: int | None
    """The revision that its last attempt ran; None if it never ran."""
    result: Mapping[str, Json] | None
    failure: str | None
    error_type: str | None
    error_message: str | None
    error_fingerprint: str | None
    host: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration: float | None
    """Seconds of the last attempt and of the attempts that it continues; None until it has ended."""
    last_attempt: float | None
    """Seconds from start to end of the last attempt."""
    reason: str | None
    """Why it is paused or was cancelled, or who accepted its result."""
    not_before: datetime | None
    """When its next attempt is due, if it waits for one."""
    recorded_at: Mapping[str, str] | None
    """When parts of the result were recorded before the end."""
    fingerprint: UUID

    @property
    def error(self) -> str | None:
        """The last error as `Type: message`, None unless the experiment has failed."""
        if self.error_type is None:
            return None
        return f"{self.error_type}: {self.error_message}" if self.error_message else self.error_type

    def __repr__(self) -> str:
        return experiment_texts.experiment_line(self)


@dataclass(frozen=True)
class AttemptView:
    """One attempt as a person reads it."""

    number: int
    revision: int
    outcome: str
    host: str | None
    pid: int | None
    started_at: datetime
    finished_at: datetime
    duration: float
    error_type: str | None
    error_message: str | None
    error_frame: str | None
    error_fingerprint: str | None
    traceback: str | None
    exit_signal: str | None
    result: Mapping[str, Json] | None
    """The results that it recorded, unless they are still the experiment's."""
    source: str | None
    cpu_seconds: float | None
    peak_memory: int | None
    """Bytes."""
    gpu_memory: int | None
    energy_kwh: float | None
    git_commit: str | None
    """The commit of the grid's folder when its revision was made."""
    git_dirty: bool | None
    user: str | None
    python: str | None
    platform: str | None
    cpu: str | None

    def __repr__(self) -> str:
        return experiment_texts.attempt_line(self)


def experiments(
    connection: Connection, condition: ColumnElement[bool], limit: int | None = None, order: Sequence[OrderTerm] = ()
) -> Iterator[ExperimentView]:
    """Yield the chosen experiments by the terms of an order and then by id, read in batches."""
    names = {name: (parameters, results) for name, parameters, results in connection.execute(_NAMES)}
    if order:
        first = chosen(condition, order, limit)
        query = _experiments().join(first.rows, first.is_chosen).order_by(*first.order_by)
    else:
        query = _experiments().where(condition).order_by(tables.experiment.c.id)
        query = query.limit(None if limit is None else min(limit, LARGEST_ID))
    if limit is None or limit > _BATCH:  # Postgres runs a cursor without parallel workers
        query = query.execution_options(yield_per=_BATCH)
    for row in connection.execute(query):
        id_, study, params, params_exact, status, attempt, revision, result, result_exact, *rest = row
        parameters, results = names[study]
        params = jsonb.restored(params, params_exact, parameters)
        result = _result(result, result_exact, results)
        yield ExperimentView(id_, study, params, Status(status), attempt, revision, result, *rest)


_BATCH = 5_000
"""Rows that are read at once."""

_NAMES = select(tables.study.c.name, tables.study.c.parameters, tables.study.c.results)


def _result(stored: Json, exact: jsonb.Exact | None, names: Sequence[str]) -> dict[str, Json] | None:
    """Return a result as the user gave it, or None."""
    return None if stored is None else jsonb.restored(jsonb.decoded(stored), exact, names)


def _experiments() -> Select[Any]:
    columns, last = tables.experiment.c, tables.attempt.c
    failed = columns.status == Status.FAILED
    return (
        select(
            columns.id,
            tables.study.c.name,
            *_named(columns, "params params_exact status attempt revision result result_exact failure"),
            case((failed, last.error_type)),
            case((failed, last.error_message)),
            columns.error_fingerprint,
            tables.worker.c.host,
            *_named(columns, "created_at started_at finished_at"),
            duration(),
            last_attempt(),
            *_named(columns, "reason not_before recorded_at fingerprint"),
        )
        .join_from(tables.experiment, tables.study, columns.study == tables.study.c.id)
        .outerjoin(tables.worker, tables.worker.c.id == columns.worker)
        .outerjoin(tables.attempt, is_last_attempt())
    )


@dataclass(frozen=True)
class ColumnBlock:
    """Some experiments column by column, as frames need them."""

    ids: Sequence[int]
    params: Sequence[Mapping[str, Json]]
    results: Sequence[Mapping[str, Json] | None]
    facts: Mapping[str, Sequence[Any]]
    """By the names of the columns in frames; started_at in µs since 1970, or MISSING."""


MISSING = -(2**63)
"""The number that stands for no moment, in numpy too."""
_BLOCK = 20_000


def blocks(
    connection: Connection,
    condition: ColumnElement[bool],
    with_study: bool = False,
    limit: int | None = None,
    order: Sequence[OrderTerm] = (),
) -> Iterator[ColumnBlock]:
    """Yield the chosen experiments by the terms of an order and then by id, some thousands at a time."""
    columns, last = tables.experiment.c, tables.attempt.c
    moment = cast(func.extract("epoch", columns.started_at) * 1_000_000, BigInteger)
    error = (  # looked up only for failed experiments: a join would read all attempts
        select(error_of()).where(is_last_attempt(), last.error_type.is_not(None)).scalar_subquery()
    )
    facts = {
        "status": columns.status,
        "attempt": columns.attempt,
        "revision": columns.revision,
        "host": tables.worker.c.host,
        "started_at": func.coalesce(moment, MISSING),
        "duration": duration(),
        "last_attempt": last_attempt(),
        "failure": columns.failure,
        "error": case((columns.status == Status.FAILED, error)),
    }
    if with_study:
        facts["study"] = tables.study.c.name
    query = select(columns.id, *_texts(), *facts.values()).outerjoin_from(
        tables.experiment, tables.worker, tables.worker.c.id == columns.worker
    )
    if with_study:
        query = query.join(tables.study, tables.study.c.id == columns.study)
    if order or limit is not None:
        first = chosen(condition, order, limit)
        query = query.join(first.rows, first.is_chosen).order_by(*first.order_by)
    else:
        query = query.where(condition).order_by(columns.id)
    for ids, *data in _columns(connection, query):
        params, results = _read(*data[:4])
        yield ColumnBlock(ids, params, results, dict(zip(facts, data[4:], strict=True)))


def values(connection: Connection, condition: ColumnElement[bool]) -> Iterator[ColumnBlock]:
    """Yield the parameters and results of the chosen experiments in any order."""
    for data in _columns(connection, select(*_texts()).where(condition)):
        yield ColumnBlock((), *_read(*data), {})


def _columns(connection: Connection, query: Executable) -> Iterator[list[Sequence[Any]]]:
    """
    Yield the rows of a query column by column, some thousands at a time.

    A thread reads the next rows meanwhile, so that the server and the caller work at the same time.
    """
    parts = connection.execute(query.execution_options(yield_per=_BLOCK)).partitions()

    def read() -> list[Sequence[Any]] | None:
        with _uncollected():
            rows = next(parts, None)
            return None if rows is None else list(zip(*rows, strict=True))

    with ThreadPoolExecutor(1, "qexp-reading") as thread:
        coming = thread.submit(read)
        while (found := coming.result()) is not None:
            coming = thread.submit(read)
            yield found


@contextmanager
def _uncollected() -> Iterator[None]:
    """Disable garbage collection while rows are built: it takes as long as reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _texts() -> list[ColumnElement[Any]]:
    columns = tables.experiment.c
    return [cast(columns.params, Text), columns.params_exact, cast(columns.result, Text), columns.result_exact]


def _read(
    params: Sequence[str], params_exact: Sequence[Any], results: Sequence[str | None], results_exact: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Return parameter sets and results with the user's values; the order of names may differ."""
    given, found = _loaded(params), _loaded(results)
    for index, text in enumerate(results):
        if text is not None and ('"NaN"' in text or 'Infinity"' in text):
            found[index] = jsonb.decoded(found[index])
    for rows, kept in ((given, params_exact), (found, results_exact)):
        for index, exact in enumerate(kept):
            if exact is not None:
                rows[index] = jsonb.restored(rows[index], exact, ())
    return given, found


def _loaded(texts: Iterable[str | None]) -> list[Any]:
    """Parse many texts of JSON as one, which halves the time."""
    with _uncollected():
        found: list[Any] = json.loads(f"[{','.join([text or 'null' for text in texts])}]")
    return found


def attempts(connection: Connection, experiments: Sequence[int]) -> dict[int, list[AttemptView]]:
    """Return the attempts of each experiment that have ended, the first one first."""
    columns, revision, environment = tables.attempt.c, tables.revision.c, tables.environment.c
    earlier = tables.earlier_result.c
    query = (
        select(
            *_named(columns, "experiment number revision outcome"),
            tables.worker.c.host,
            *_named(columns, "pid started_at finished_at"),
            seconds(columns.finished_at - columns.started_at),
            *_named(columns, "error_type error_message error_frame error_fingerprint traceback exit_signal"),
            func.coalesce(columns.result, earlier.result),
            func.coalesce(columns.result_exact, earlier.result_exact),
            tables.study.c.results,
            *_named(columns, "source cpu_seconds peak_memory gpu_memory energy_kwh"),
            *_named(revision, "git_commit git_dirty"),
            tables.worker.c.user,
            *_named(environment, "python platform cpu"),
        )
        .join_from(
            tables.attempt, tables.revision, (revision.study == columns.study) & (revision.number == columns.revision)
        )
        .outerjoin(
            tables.earlier_result, (earlier.experiment == columns.experiment) & (earlier.number == columns.number)
        )
        .join(tables.study, tables.study.c.id == columns.study)
        .outerjoin(tables.worker, tables.worker.c.id == columns.worker)
        .outerjoin(tables.environment, environment.digest == tables.worker.c.environment)
        .where(among(columns.experiment, experiments))
        .order_by(columns.experiment, columns.number)
    )
    found: dict[int, list[AttemptView]] = {experiment: [] for experiment in experiments}
    for experiment, *row in connection.execute(query):
        row[_RESULT : _RESULT + 3] = [_result(*row[_RESULT : _RESULT + 3])]
        found[experiment].append(AttemptView(*row))
    return found


def _named(columns: Any, names: str) -> list[ColumnElement[Any]]:
    return [columns[name] for name in names.split()]


_RESULT = list(AttemptView.__dataclass_fields__).index("result")


def failures(connection: Connection, study: int) -> list[tuple[str, int]]:
    """Return the kinds of failures of a study with their numbers, the most frequent first."""
    columns = tables.experiment.c
    query = (
        select(columns.failure, func.count())
        .where(columns.study == study, columns.status == Status.FAILED)
        .group_by(columns.failure)
        .order_by(func.count().desc(), columns.failure)
    )
    return [(row[0], row[1]) for row in connection.execute(query)]
