"""The rows and files that the deletion of a study removes, counted."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, Table, exists, func, select, text

from qexp.model import Status, counted
from qexp.store.connection import Connection
from qexp.store.reads import study_progress
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema import tables
from qexp.units import size_text

MOST_COUNTED = 1_000_000
"""Series and lists can have billions of rows: no more than these are counted."""


@dataclass(frozen=True)
class SizedFiles:
    """A number of files or archives, and their bytes."""

    number: int
    bytes: int

    def text(self, noun: str) -> str:
        """
        Return the number of *noun*, and the size.

        >>> SizedFiles(2, 4096).text("file")
        '2 files (4.1 kB)'
        """
        return f"{counted(self.number, noun)} ({size_text(self.bytes)})"


@dataclass(frozen=True)
class DeletionPlan:
    """The parts of a study that its deletion removes."""

    study: str
    experiments: int
    waiting: int
    """Experiments among them that have not run yet."""
    attempts: int
    points: int
    """Points of series; more than MOST_COUNTED are not counted."""
    rows: int
    """Rows of lists; more than MOST_COUNTED are not counted."""
    artifacts: SizedFiles
    checkpoints: SizedFiles
    snapshots: SizedFiles
    """Snapshots of code that only this study has."""
    shared_snapshots: int
    """Snapshots that stay, since other studies have them too."""


def plan(connection: Connection, study: StudyRow) -> DeletionPlan:
    """Return the parts of a study that its deletion removes."""
    counts = study_progress.of_study(connection, study.id)
    used = select(tables.revision.c.source).where(tables.revision.c.study == study.id).scalar_subquery()
    other = tables.revision.alias("other").c
    shared = exists(other.study).where(other.source == tables.source.c.digest, other.study != study.id)
    archives = select(func.count(), func.coalesce(func.sum(func.octet_length(tables.source.c.archive)), 0)).where(
        tables.source.c.digest.in_(used)
    )
    own = connection.execute(archives.where(~shared)).one()
    return DeletionPlan(
        study=study.name,
        experiments=counts.total,
        waiting=counts.open - counts[Status.RUNNING],
        attempts=_number(connection, _of_study(tables.attempt, study.id)),
        points=_bounded(connection, tables.metric, study.id),
        rows=_bounded(connection, tables.entry, study.id),
        artifacts=_sized(connection, tables.artifact, study.id),
        checkpoints=_sized(connection, tables.checkpoint, study.id),
        snapshots=SizedFiles(own[0], int(own[1])),
        shared_snapshots=connection.execute(archives.where(shared)).one()[0],
    )


def _of_study(table: Table, study: int) -> Select[tuple[int]]:
    """Return a query with a row for each row of *table* that belongs to an experiment of a study."""
    experiment = tables.experiment.c
    return (
        select(table.c.experiment)
        .join_from(table, tables.experiment, experiment.id == table.c.experiment)
        .where(experiment.study == study)
    )


def _number(connection: Connection, query: Select[tuple[int]]) -> int:
    return connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()


def _bounded(connection: Connection, table: Table, study: int) -> int:
    return _number(connection, _of_study(table, study).limit(MOST_COUNTED + 1))


def _sized(connection: Connection, table: Table, study: int, in_files: bool = False) -> SizedFiles:
    query = _of_study(table, study).with_only_columns(func.count(), func.coalesce(func.sum(table.c.size), 0))
    query = query.where(table.c.url.is_not(None)) if in_files else query
    number, size = connection.execute(query).one()
    return SizedFiles(number, int(size))


def stored_files(connection: Connection, study: int) -> SizedFiles:
    """Return the artifacts and checkpoints of a study that are files."""
    found = [_sized(connection, table, study, in_files=True) for table in (tables.artifact, tables.checkpoint)]
    return SizedFiles(sum(files.number for files in found), sum(files.bytes for files in found))


def dependent_views(connection: Connection, name: str) -> list[str]:
    """Return the views of users that read the view of a study."""
    return list(connection.execute(_DEPENDENT, {"view": f"study_{name}"}).scalars())


_DEPENDENT = text(
    "SELECT DISTINCT r.ev_class::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid "
    "WHERE  d.refobjid = to_regclass(quote_ident(:view)) AND r.ev_class <> d.refobjid ORDER BY 1"
)
