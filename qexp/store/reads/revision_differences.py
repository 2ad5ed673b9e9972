"""Read the revisions of a study, with the differences from one to the next, for a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from qexp.model import Json, Status
from qexp.source import changed_files
from qexp.store.connection import Connection
from qexp.store.reads import snapshots
from qexp.store.reads.revisions import RevisionView
from qexp.store.reads.staleness_model import differences
from qexp.store.reads.study_rows import StudyRow, described
from qexp.store.schema import tables


@dataclass(frozen=True)
class Revision(RevisionView):
    """One revision with its author, and its differences from the previous revision."""

    created_at: datetime
    user: str
    host: str
    python: str
    qexp: str
    done: int
    """Done experiments whose last attempt ran this revision."""
    changes: Mapping[str, tuple[Json, Json]]
    """Parameters, settings and other keys of the grid, each with the value before and after."""
    files: Mapping[str, str]
    """Files that are `added`, `changed` or `removed`."""


_NAMES = (*(field.name for field in dataclasses.fields(RevisionView)), "created_at", "user", "host", "python", "qexp")


def revisions(connection: Connection, study: StudyRow, limit: int) -> list[Revision]:
    """Return the newest *limit* revisions of a study, the newest first; the oldest of all has no differences."""
    columns = tables.revision.c
    query = (
        select(*(columns[name] for name in _NAMES), columns.grid)
        .where(columns.study == study.id, columns.number > study.revision - limit - 1)
        .order_by(columns.number.desc())
    )
    rows = connection.execute(query).all()
    done = _done(connection, study)
    marks = snapshots.marks(connection, {row.source for row in rows if row.source is not None})
    found = []
    for row, before in zip(rows, [*rows[1:], None], strict=True):
        changes = {} if before is None else _changes(before, row)
        files = {} if before is None else changed_files(marks.get(before.source), marks.get(row.source))
        facts: list[Any] = [*row[: len(_NAMES)], done.get(row.number, 0), changes, files]
        found.append(Revision(*facts))
    return found[:limit]


def grid(connection: Connection, study: StudyRow) -> Json:
    """Return the grid of a study's newest revision, in the order of its keys."""
    columns = tables.revision.c
    query = select(columns.grid).where(columns.study == study.id, columns.number == study.revision)
    return connection.execute(query).scalar_one()


def files(connection: Connection, digest: str) -> Sequence[str]:
    """Return the names of the files of a snapshot."""
    columns = tables.source.c
    return sorted(connection.execute(select(columns.files).where(columns.digest == digest)).scalar_one())


def about(connection: Connection, study: StudyRow) -> str:
    """Return the description of a study."""
    columns = tables.study.c
    found: str = connection.execute(select(columns.description).where(columns.id == study.id)).scalar_one()
    return found


def _done(connection: Connection, study: StudyRow) -> dict[int, int]:
    columns = tables.experiment.c
    query = (
        select(columns.revision, func.count())
        .where(columns.study == study.id, columns.status == Status.DONE)
        .group_by(columns.revision)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _changes(before: Any, after: Any) -> dict[str, tuple[Json, Json]]:
    old, new = described(before.grid, before.settings), described(after.grid, after.settings)
    old["function"], new["function"] = before.function, after.function
    return differences(old, new)


def example(connection: Connection, study: StudyRow) -> int | None:
    """Return the first experiment that ran the newest revision of a study, otherwise the first. None: it has none."""
    columns = tables.experiment.c
    newest = func.min(columns.id).filter(columns.revision == study.revision)
    query = select(func.coalesce(newest, func.min(columns.id))).where(columns.study == study.id)
    return connection.execute(query).scalar()
