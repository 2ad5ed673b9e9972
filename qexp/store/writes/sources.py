"""Store snapshots of code and environments; equal ones share a row."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql import insert as upsert

from qexp.store.connection import Connection
from qexp.store.schema import tables

if TYPE_CHECKING:
    from qexp.source import Environment, Snapshot


def keep(connection: Connection, snapshot: Snapshot) -> None:
    """Store a snapshot unless it is stored already."""
    row = {"digest": snapshot.digest, "archive": snapshot.archive, "files": list(snapshot.files)}
    stored = upsert(tables.source).values(**row, contents=dict(snapshot.marks))
    connection.execute(stored.on_conflict_do_nothing())


def keep_environment(connection: Connection, environment: Environment) -> None:
    """Store an environment unless it is stored already."""
    row = {**asdict(environment), "gpus": list(environment.gpus)}
    connection.execute(upsert(tables.environment).values(**row).on_conflict_do_nothing())
