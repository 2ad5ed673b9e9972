"""Store snapshots of code and environments; equal ones share a row. Delete snapshots that no revision has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, exists, func, select, true
from sqlalchemy.dialects.postgresql import insert as upsert

from qexp.store.connection import Connection
from qexp.store.reads.deletion_plan import SizedFiles
from qexp.store.schema import tables

if TYPE_CHECKING:
    from qexp.source import Environment, Snapshot


def keep(connection: Connection, snapshot: Snapshot) -> None:
    """Store a snapshot unless it is stored already; until the transaction ends, nobody deletes it."""
    row = {"digest": snapshot.digest, "archive": snapshot.archive, "files": list(snapshot.files)}
    stored = upsert(tables.source).values(**row, contents=dict(snapshot.marks))
    columns, kept = tables.source.c, None
    while kept is None:  # again if another transaction deleted it between the two statements
        connection.execute(stored.on_conflict_do_nothing())
        query = (
            select(columns.digest).where(columns.digest == snapshot.digest).with_for_update(key_share=True, read=True)
        )
        kept = connection.execute(query).scalar()


def drop_unneeded(connection: Connection, digests: Sequence[str] | None = None) -> SizedFiles:
    """Delete the snapshots that no revision has, or those of some *digests*; return their number and bytes."""
    columns = tables.source.c
    chosen = true() if digests is None else columns.digest.in_(digests)
    # a transaction that is about to use a snapshot has locked it; the second statement sees what it has written
    free = select(columns.digest).where(chosen, ~_is_used()).with_for_update(skip_locked=True)
    found = connection.execute(free).scalars().all()
    gone = delete(tables.source).where(columns.digest.in_(found), ~_is_used())
    sizes = connection.execute(gone.returning(func.octet_length(columns.archive))).scalars().all()
    return SizedFiles(len(sizes), sum(sizes))


def unneeded(connection: Connection) -> SizedFiles:
    """Return the number and bytes of the snapshots that no revision has."""
    size = func.coalesce(func.sum(func.octet_length(tables.source.c.archive)), 0)
    number, total = connection.execute(select(func.count(), size).where(~_is_used())).one()
    return SizedFiles(number, int(total))


def _is_used() -> ColumnElement[bool]:
    return exists(tables.revision.c.study).where(tables.revision.c.source == tables.source.c.digest)


def keep_environment(connection: Connection, environment: Environment) -> None:
    """Store an environment unless it is stored already."""
    row = {**asdict(environment), "gpus": list(environment.gpus)}
    connection.execute(upsert(tables.environment).values(**row).on_conflict_do_nothing())
