"""Snapshots of code, and the environments that code runs in: one row for all that are equal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from qexp.errors import SourceError
from qexp.store import tables
from qexp.store.connect import Connection, Raw

if TYPE_CHECKING:
    from qexp.source import Environment, Snapshot


def keep(connection: Connection, snapshot: Snapshot) -> None:
    """Store a snapshot, unless it is there."""
    row = {
        "digest": snapshot.digest,
        "archive": snapshot.archive,
        "files": list(snapshot.files),
        "contents": dict(snapshot.marks),
    }
    connection.execute(upsert(tables.source).values(**row).on_conflict_do_nothing())


def keep_environment(connection: Connection, environment: Environment) -> None:
    """Store what is installed, unless it is there."""
    row = {**asdict(environment), "gpus": list(environment.gpus)}
    connection.execute(upsert(tables.environment).values(**row).on_conflict_do_nothing())


def marks(connection: Connection, digests: Collection[str]) -> dict[str, Mapping[str, str]]:
    """Return the marks of the files of some snapshots, by digest and name."""
    columns = tables.source.c
    query = select(columns.digest, columns.contents).where(columns.digest.in_(digests))
    return {row[0]: row[1] for row in connection.execute(query)}


def archive(raw: Raw, digest: str) -> bytes:
    """Return the zip of a snapshot."""
    row = raw.execute("SELECT archive FROM source WHERE digest = %s", [digest], binary=True).fetchone()
    if row is None:
        raise SourceError(f"the database has no snapshot {digest[:12]}…; enqueue the study's grid again")
    return bytes(row[0])
