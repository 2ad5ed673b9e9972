"""Read the records of attempts: output, series, rows of lists, artifacts, and the code that they ran."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Subquery, Table, and_, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on

from qexp import jsonb
from qexp.errors import FilesError, UnknownSourceError
from qexp.model import Json, OutputPiece
from qexp.store.connection import Connection
from qexp.store.reads.revisions import is_newest
from qexp.store.schema import tables

_CHUNK = 50_000
_MOST_ATTEMPTS = 2**31 - 1
"""The largest number of an attempt that Postgres can hold."""


@dataclass(frozen=True)
class Artifact:
    """A file that an attempt has left."""

    experiment: int
    attempt: int
    name: str
    url: str
    size: int
    """Bytes."""
    sha256: str
    at: datetime

    @property
    def path(self) -> Path:
        """`ID/NAME`, the file to which it is copied. Raises FilesError if the name leads out of the folder ID."""
        path = Path(os.path.normpath(f"{self.experiment}/{self.name}"))
        if path.parts[:1] != (str(self.experiment),) or len(path.parts) == 1:  # such as ../x
            raise FilesError(f"artifact {self.name!r}", "has no name of a file; say to which file it is copied")
        return path


@dataclass(frozen=True)
class CodeSnapshot:
    """The code that an experiment ran, or would run, as a zip."""

    digest: str
    archive: bytes
    files: list[str]


def output(connection: Connection, experiment: int, attempt: int, after: int = 0) -> list[OutputPiece]:
    """Return the output of an attempt from byte *after* on, in order; the positions show gaps."""
    columns = tables.output.c
    query = (
        select(columns.position, columns.size, columns.text)
        .where(columns.experiment == experiment, columns.attempt == attempt, columns.position >= after)
        .order_by(columns.position)
    )
    return [OutputPiece(*row) for row in connection.execute(query)]


def series(
    connection: Connection, condition: ColumnElement[bool], names: Sequence[str] = (), every: bool = False
) -> Iterator[tuple[int, int, str, int, float, datetime]]:
    """
    Yield the points of the chosen experiments: id, attempt, name, step, value, moment, in that order.

    If a later attempt began again at a step, the points of earlier attempts from that step on are left out; with
    *every* all points are yielded.
    """
    columns = tables.metric.c
    query = (
        select(columns.experiment, columns.attempt, columns.name, columns.step, columns.value, columns.at)
        .join_from(tables.metric, tables.experiment, tables.experiment.c.id == columns.experiment)
        .where(condition)
        .order_by(columns.experiment, columns.name, columns.step, columns.attempt)
    )
    if names:
        query = query.where(columns.name.in_(names))
    if not every:
        again = begun_again(condition, names)
        same = [again.c[name] == columns[name] for name in ("experiment", "attempt", "name")]
        query = query.join(again, and_(*same)).where(or_(again.c.step.is_(None), columns.step < again.c.step))
    for row in connection.execution_options(yield_per=_CHUNK).execute(query):
        yield tuple(row)


def series_names(connection: Connection, condition: ColumnElement[bool]) -> list[str]:
    """Return the names of the series that the chosen experiments have."""
    return _names(connection, tables.metric, tables.metric.c.name, condition)


def _names(connection: Connection, table: Table, name: ColumnElement[str], condition: ColumnElement[bool]) -> list[str]:
    query = (
        select(name)
        .join_from(table, tables.experiment, tables.experiment.c.id == table.c.experiment)
        .where(condition)
        .distinct()
        .order_by(name)
    )
    return list(connection.execute(query).scalars())


def begun_again(condition: ColumnElement[bool], names: Sequence[str] = ()) -> Subquery:
    """Return, for each series of an attempt, the first step that later attempts recorded; None: none did."""
    columns = tables.metric.c
    query = (
        select(columns.experiment, columns.name, columns.attempt, func.min(columns.step).label("step"))
        .join_from(tables.metric, tables.experiment, tables.experiment.c.id == columns.experiment)
        .where(condition)
        .group_by(columns.experiment, columns.name, columns.attempt)
    )
    if names:
        query = query.where(columns.name.in_(names))
    began = query.subquery().c
    later = func.min(began.step).over(
        partition_by=[began.experiment, began.name], order_by=began.attempt, rows=(1, None)
    )
    return select(began.experiment, began.name, began.attempt, later.label("step")).subquery()


def entries(connection: Connection, condition: ColumnElement[bool], name: str) -> list[tuple[int, int, datetime, Json]]:
    """Return id, attempt, time and data of a list's rows, from the last attempt of each experiment that has any."""
    columns = tables.entry.c
    last = (
        select(columns.experiment, func.max(columns.attempt).label("attempt"))
        .join_from(tables.entry, tables.experiment, tables.experiment.c.id == columns.experiment)
        .where(condition, columns.list == name)
        .group_by(columns.experiment)
        .subquery()
    )
    newest = and_(last.c.experiment == columns.experiment, last.c.attempt == columns.attempt)
    query = (
        select(columns.experiment, columns.attempt, columns.at, columns.data)
        .join_from(tables.entry, last, newest)
        .where(columns.list == name)
        .order_by(columns.experiment, columns.key)
    )
    return [(*facts, jsonb.row_of(data)) for *facts, data in connection.execute(query)]


def lists(connection: Connection, condition: ColumnElement[bool]) -> list[str]:
    """Return the names of the lists that the chosen experiments have."""
    return _names(connection, tables.entry, tables.entry.c.list, condition)


def artifacts(connection: Connection, condition: ColumnElement[bool]) -> list[Artifact]:
    """Return the artifacts of the chosen experiments, each from the last attempt that left it."""
    columns = tables.artifact.c
    query = (
        select(*columns)
        .join_from(tables.artifact, tables.experiment, tables.experiment.c.id == columns.experiment)
        .where(condition)
        .ext(distinct_on(columns.experiment, columns.name))
        .order_by(columns.experiment, columns.name, columns.attempt.desc())
    )
    return [Artifact(**dict(row._mapping)) for row in connection.execute(query)]


def source(connection: Connection, experiment: int, attempt: int | None = None) -> CodeSnapshot:
    """
    Return the code that an attempt ran; by default the last attempt, or the code that the first one would run.

    Raises UnknownSourceError if there is no such attempt, or it ran no snapshot.
    """
    columns = tables.source.c
    facts = _revision(connection, experiment, attempt, tables.revision.c.source)
    query = select(columns.digest, columns.archive, columns.files).where(columns.digest == (facts and facts[0]))
    if (row := connection.execute(query).one_or_none()) is None:
        raise UnknownSourceError(experiment, attempt)
    return CodeSnapshot(row[0], bytes(row[1]), list(row[2]))


@dataclass(frozen=True)
class CodeOrigin:
    """The origin of a revision's code."""

    git_commit: str | None
    git_diff: str | None
    packages: Mapping[str, str]


def origin(connection: Connection, experiment: int, attempt: int | None = None) -> CodeOrigin:
    """Return the origin of an attempt's code. Raises UnknownSourceError if there is no such attempt."""
    revision, environment = tables.revision.c, tables.environment.c
    packages = select(environment.packages).where(environment.digest == revision.environment).scalar_subquery()
    row = _revision(connection, experiment, attempt, revision.git_commit, revision.git_diff, packages)
    if row is None:
        raise UnknownSourceError(experiment, attempt)
    return CodeOrigin(row[0], row[1], dict(sorted((row[2] or {}).items())))


def _revision(connection: Connection, experiment: int, attempt: int | None, *columns: ColumnElement[Any]) -> Any:
    """Return columns of the revision that an attempt ran, or that the first attempt would run."""
    if attempt is not None and attempt > _MOST_ATTEMPTS:
        return None
    past, first, study, revision = tables.attempt.c, tables.experiment.c, tables.study.c, tables.revision.c
    last = select(func.max(past.number)).where(past.experiment == experiment).scalar_subquery()
    ran = (
        select(*columns)
        .join_from(tables.attempt, tables.revision, (revision.study == past.study) & (revision.number == past.revision))
        .where(past.experiment == experiment, past.number == (last if attempt is None else attempt))
    )
    row = connection.execute(ran).one_or_none()
    if row is None and attempt is None:
        would = (
            select(*columns)
            .join_from(tables.experiment, tables.study, first.study == study.id)
            .join(tables.revision, is_newest())
            .where(first.id == experiment)
        )
        row = connection.execute(would).one_or_none()
    return row


def attempt_of(connection: Connection, experiment: int) -> tuple[int, bool]:
    """Return the number of an experiment's last attempt, or 0, and whether it still runs."""
    columns = tables.experiment.c
    row = connection.execute(select(columns.attempt, columns.status).where(columns.id == experiment)).one()
    return row[0], row[1] == "running"
