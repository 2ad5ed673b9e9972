"""Read snapshots of code: their archives, and the marks of their files (hashes of the content)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select

from qexp.errors import SourceError
from qexp.store.connection import Connection, RawConnection
from qexp.store.schema import tables


def marks(connection: Connection, digests: Collection[str]) -> dict[str, Mapping[str, str]]:
    """Return the marks of the files of some snapshots, by digest and name."""
    columns = tables.source.c
    query = select(columns.digest, columns.contents).where(columns.digest.in_(digests))
    return {row[0]: row[1] for row in connection.execute(query)}


def archive(raw: RawConnection, digest: str) -> bytes:
    """Return the zip of a snapshot."""
    row = raw.execute("SELECT archive FROM source WHERE digest = %s", [digest], binary=True).fetchone()
    if row is None:
        raise SourceError(f"the database has no snapshot {digest[:12]}…; enqueue the study's grid again")
    return bytes(row[0])
