"""Read snapshots of code: their archives, and the marks of their files (hashes of the content)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from qexp.errors import SourceError
from qexp.store.connection import Connection, RawConnection
from qexp.store.schema import tables

if TYPE_CHECKING:
    from qexp.source import ChangedFiles, Snapshot


def marks(connection: Connection, digests: Collection[str]) -> dict[str, Mapping[str, str]]:
    """Return the marks of the files of some snapshots, by digest and name."""
    columns = tables.source.c
    query = select(columns.digest, columns.contents).where(columns.digest.in_(digests))
    return {row[0]: row[1] for row in connection.execute(query)}


def changed(connection: Connection, digest: str | None, snapshot: Snapshot | None) -> ChangedFiles:
    """Return the files that differ between a stored snapshot and a new one; none if one of them is missing."""
    from qexp.source import ChangedFiles  # slow to import, and most commands compare no code

    if digest is None or snapshot is None or digest == snapshot.digest:
        return ChangedFiles()
    before = marks(connection, [digest]).get(digest)
    return ChangedFiles() if before is None else ChangedFiles.between(before, snapshot.marks, snapshot.own)


Digests = tuple[str | None, str | None]
"""The digests of an earlier and a later snapshot; None: there is none, since the function is installed."""


def changed_code(connection: Connection, pairs: Collection[Digests]) -> dict[Digests, Mapping[str, str]]:
    """Return the files of code that differ between two stored snapshots, by name, for each pair of digests."""
    different = [pair for pair in pairs if pair[0] != pair[1]]
    found: dict[Digests, Mapping[str, str]] = {pair: {} for pair in pairs}
    if different:
        from qexp.source import ChangedFiles  # slow to import, and most experiments have the newest code

        known = marks(connection, {digest for pair in different for digest in pair if digest is not None})
        for before, after in different:
            changes = ChangedFiles.between(known.get(before or "", {}), known.get(after or "", {}))
            found[before, after] = dict(changes.code)
    return found


def archive(raw: RawConnection, digest: str) -> bytes:
    """Return the zip of a snapshot."""
    row = raw.execute("SELECT archive FROM source WHERE digest = %s", [digest], binary=True).fetchone()
    if row is None:
        raise SourceError(f"the database has no snapshot {digest[:12]}…; enqueue the study's grid again")
    return bytes(row[0])


def places(raw: RawConnection, experiment: int) -> tuple[str | None, Path | None]:
    """Return the digest of the snapshot that an experiment runs, and its grid's folder; None if there is none."""
    query = (
        "SELECT r.source, s.folder FROM experiment e JOIN study s ON s.id = e.study "
        "LEFT JOIN revision r ON r.study = e.study AND r.number = e.revision WHERE e.id = %s"
    )
    row = raw.execute(query, [experiment]).fetchone()
    return (None, None) if row is None else (row[0], row[1] and Path(row[1]))
