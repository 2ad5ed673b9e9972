"""Read the revisions of a study for tables and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select

from qexp.model import Json, Origin, Status
from qexp.store.connection import Connection
from qexp.store.schema import tables


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


def is_newest() -> ColumnElement[bool]:
    """Return the condition that joins studies with their newest revisions."""
    return (tables.revision.c.study == tables.study.c.id) & (tables.revision.c.number == tables.study.c.revision)


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
