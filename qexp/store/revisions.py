"""The revisions of a study, as a table or a report names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select

from qexp.model import Json, Origin, Status
from qexp.store import tables
from qexp.store.connect import Connection


@dataclass(frozen=True)
class RevisionView:
    """One version of a study's grid, settings and code."""

    number: int
    function: str
    settings: Mapping[str, Json]
    source: str | None
    """The digest of the snapshot; None: the function is installed."""
    git_commit: str | None
    git_dirty: bool | None
    total: int | None
    """Experiments of its grid; None: not known."""


def revisions(connection: Connection, study: int) -> dict[int, RevisionView]:
    """Return the revisions of a study by number, the oldest first."""
    names = ("number", "function", "settings", "source", "git_commit", "git_dirty", "total")
    columns = tables.revision.c
    query = select(*(columns[name] for name in names)).where(columns.study == study).order_by(columns.number)
    return {row[0]: RevisionView(*row) for row in connection.execute(query)}


def grid_counts(connection: Connection, study: int) -> tuple[int, int]:
    """Return how many experiments of the newest grid a study has, and how many done ones this grid leaves out."""
    columns = tables.experiment.c
    left_out = (columns.origin == Origin.ORPHANED) & (columns.status == Status.DONE)
    counts = func.count().filter(columns.origin == Origin.GRID), func.count().filter(left_out)
    row = connection.execute(select(*counts).where(columns.study == study)).one()
    return row[0], row[1]


@dataclass(frozen=True)
class Repeat:
    """Done experiments that had a result before."""

    before: int
    """The revision of the earlier result."""
    now: int
    imported: UUID | None
    """The digest of what the attempt with the earlier result imported; None: not known."""


def repeats(connection: Connection, study: int) -> list[Repeat]:
    """Return the kinds of repeats that a study has."""
    columns, attempt = tables.experiment.c, tables.attempt.c
    kind = (attempt.revision, columns.revision, attempt.imported)
    return [Repeat(*row) for row in connection.execute(_repeated(study, *kind).distinct().order_by(*kind))]


def repeated(connection: Connection, study: int, repeat: Repeat) -> list[int]:
    """Return the ids of the experiments of one kind of repeats."""
    columns, attempt = tables.experiment.c, tables.attempt.c
    query = _repeated(study, columns.id).where(
        attempt.revision == repeat.before,
        columns.revision == repeat.now,
        attempt.imported.is_not_distinct_from(repeat.imported),
    )
    return list(connection.execute(query.distinct().order_by(columns.id)).scalars())


def _repeated(study: int, *chosen: ColumnElement[Any]) -> Select[Any]:
    columns, earlier, attempt = tables.experiment.c, tables.earlier_result.c, tables.attempt.c
    return (
        select(*chosen)
        .join_from(
            tables.earlier_result,
            tables.attempt,
            (attempt.experiment == earlier.experiment) & (attempt.number == earlier.number),
        )
        .join(tables.experiment, columns.id == earlier.experiment)
        .where(columns.study == study, columns.status == Status.DONE, columns.origin != Origin.ORPHANED)
    )
