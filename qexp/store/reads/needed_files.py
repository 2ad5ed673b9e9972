"""Read which files the rows name, and which snapshots on a machine will be used soon."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select, union_all

from qexp.model import OPEN, Status
from qexp.store.connection import Connection
from qexp.store.reads.revisions import is_newest
from qexp.store.schema import tables
from qexp.store.schema.expressions import among, has


def running(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Return the number of the running attempt of each experiment that runs, by its id."""
    columns = tables.experiment.c
    query = select(columns.id, columns.attempt).where(among(columns.id, ids), columns.status == Status.RUNNING)
    return {row[0]: row[1] for row in connection.execute(query)}


def named(connection: Connection, ids: Sequence[int]) -> set[str]:
    """Return the URLs of the artifacts and checkpoints of experiments."""
    queries = [
        select(table.c.url).where(among(table.c.experiment, ids)) for table in (tables.artifact, tables.checkpoint)
    ]
    return {url for url in connection.execute(union_all(*queries)).scalars() if url is not None}


def needed_snapshots(connection: Connection) -> set[str]:
    """Return the digests of the snapshots that attempts run, or will run next."""
    columns, revision, study = tables.experiment.c, tables.revision.c, tables.study.c
    ran = (
        select(revision.source)
        .join_from(
            tables.experiment,
            tables.revision,
            (revision.study == columns.study) & (revision.number == columns.revision),
        )
        .where(columns.status == Status.RUNNING)
        .distinct()
    )
    following = (
        select(revision.source)
        .join_from(tables.study, tables.revision, is_newest())
        .where(study.deleted_at.is_(None), or_(*map(has, OPEN)))
    )
    return {digest for digest in connection.execute(union_all(ran, following)).scalars() if digest is not None}
