"""Snapshots of code, and the environments that code runs in: one row for all that are equal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from qexp.errors import SourceError
from qexp.store import tables
from qexp.store.connect import Connection, Raw

if TYPE_CHECKING:
    from qexp.source import Environment, Snapshot


def keep(connection: Connection, snapshot: Snapshot) -> None:
    """Store a snapshot, unless it is there; the row of an older version of qexp is given the contents of its files."""
    row = {
        "digest": snapshot.digest,
        "archive": snapshot.archive,
        "files": list(snapshot.files),
        "contents": dict(snapshot.marks),
    }
    columns, added = tables.source.c, upsert(tables.source).values(**row)
    query = added.on_conflict_do_update(
        index_elements=[columns.digest], set_={"contents": row["contents"]}, where=columns.contents.is_(None)
    )
    connection.execute(query)


def keep_environment(connection: Connection, environment: Environment) -> None:
    """Store what is installed, unless it is there."""
    row = {**asdict(environment), "gpus": list(environment.gpus)}
    connection.execute(upsert(tables.environment).values(**row).on_conflict_do_nothing())


def marks(connection: Connection, digests: Collection[str]) -> dict[str, Mapping[str, str]]:
    """
    Return the marks of the files of some snapshots, by digest and name.

    Rows of older versions of qexp have none: these are made from the archives.
    """
    from qexp.source import marks as made

    columns = tables.source.c
    query = select(columns.digest, columns.contents).where(columns.digest.in_(digests))
    found: dict[str, Any] = {row[0]: row[1] for row in connection.execute(query)}
    for digest in [digest for digest, contents in found.items() if contents is None]:
        archive = connection.execute(select(columns.archive).where(columns.digest == digest)).scalar_one()
        found[digest] = made(bytes(archive))
    return found


def archive(raw: Raw, digest: str) -> bytes:
    """Return the zip of a snapshot."""
    row = raw.execute("SELECT archive FROM source WHERE digest = %s", [digest], binary=True).fetchone()
    if row is None:
        raise SourceError(f"the database has no snapshot {digest[:12]}…; enqueue the study's grid again")
    return bytes(row[0])
