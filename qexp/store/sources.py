"""Snapshots of code, and the environments that code runs in: one row for all that are equal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql import insert as upsert

from qexp.errors import SourceError
from qexp.store import tables
from qexp.store.connect import Connection, Raw

if TYPE_CHECKING:
    from qexp.source import Environment, Snapshot


def keep(connection: Connection, snapshot: Snapshot) -> None:
    """Store a snapshot, unless it is there."""
    row = {"digest": snapshot.digest, "archive": snapshot.archive, "files": list(snapshot.files)}
    connection.execute(upsert(tables.source).values(**row).on_conflict_do_nothing())


def keep_environment(connection: Connection, environment: Environment) -> None:
    """Store what is installed, unless it is there."""
    connection.execute(upsert(tables.environment).values(**asdict(environment)).on_conflict_do_nothing())


def archive(raw: Raw, digest: str) -> bytes:
    """Return the zip of a snapshot."""
    row = raw.execute("SELECT archive FROM source WHERE digest = %s", [digest], binary=True).fetchone()
    if row is None:
        raise SourceError(f"the database has no snapshot {digest[:12]}…; enqueue the study's grid again")
    return bytes(row[0])
