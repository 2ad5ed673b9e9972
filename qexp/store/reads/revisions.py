"""Read the revisions of a study for tables and reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields

from sqlalchemy import ColumnElement, func, select, tuple_

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


_COLUMNS = [tables.revision.c[field.name] for field in fields(RevisionView)]


def revisions(connection: Connection, study: int) -> dict[int, RevisionView]:
    """Return the revisions of a study by number, the oldest first."""
    columns = tables.revision.c
    query = select(*_COLUMNS).where(columns.study == study).order_by(columns.number)
    return {row[0]: RevisionView(*row) for row in connection.execute(query)}


def chosen(
    connection: Connection, wanted: Collection[tuple[str, int | None]]
) -> dict[tuple[str, int | None], RevisionView]:
    """Return revisions by the name of their study and their number; None is the newest one, and always there."""
    name, number = tables.study.c.name, tables.revision.c.number
    pairs = [pair for pair in wanted if pair[1] is not None]
    query = (
        select(name, number == tables.study.c.revision, *_COLUMNS)
        .join_from(tables.study, tables.revision, tables.revision.c.study == tables.study.c.id)
        .where(name.in_({study for study, _ in wanted}))
        .where((number == tables.study.c.revision) | tuple_(name, number).in_(pairs))
    )
    found: dict[tuple[str, int | None], RevisionView] = {}
    for study, newest, *row in connection.execute(query):
        view = RevisionView(*row)
        found[study, view.number] = view
        if newest:
            found[study, None] = view
    return found


def grid_counts(connection: Connection, study: int) -> tuple[int, int]:
    """Return how many experiments of the newest grid a study has, and how many done ones this grid leaves out."""
    columns = tables.experiment.c
    left_out = (columns.origin == Origin.ORPHANED) & (columns.status == Status.DONE)
    counts = func.count().filter(columns.origin == Origin.GRID), func.count().filter(left_out)
    row = connection.execute(select(*counts).where(columns.study == study)).one()
    return row[0], row[1]
