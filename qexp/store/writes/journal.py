"""Store the records of an attempt while it runs: parts of results, series, lists, output, checkpoints, artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from qexp import jsonb
from qexp.model import Json, OutputPiece
from qexp.store.connection import RawConnection
from qexp.store.sql.loader import statements

SQL = statements("journal.sql")


@dataclass(frozen=True)
class AttemptFence:
    """The attempt that writes. The id of its worker, if it is known, fences it from a later attempt."""

    id: int
    attempt: int
    worker: UUID | None

    def values(self, **more: Any) -> dict[str, Any]:
        """Return the parameters of a statement: the fence, and *more*."""
        return {**vars(self), **more}


class Point(NamedTuple):
    """One value of a series with its step, and its time in seconds since 1970."""

    step: int
    value: float
    at: float


class Entry(NamedTuple):
    """One row of a list, and its time in seconds since 1970; the key sorts by time and makes repeats harmless."""

    list: str
    key: UUID
    data: Json
    at: float


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint: its bytes, or the URL of a file that holds them."""

    kind: str
    data: bytes | None
    url: str | None
    sha256: str
    attempt: int
    """The attempt that saved it."""
    progress: Mapping[str, Any]
    """The amount that the attempt had recorded before it."""


def is_current(raw: RawConnection, writer: AttemptFence) -> bool:
    """Say whether the attempt still runs."""
    return raw.execute(SQL["current"], writer.values()).fetchone() is not None


def record(
    raw: RawConnection,
    writer: AttemptFence,
    result: Mapping[str, Json],
    recorded_at: Mapping[str, str],
    order: Iterable[str] | None = None,
) -> bool:
    """Record parts of a result; *order* has the names of all parts so far. Returns False if the attempt is over."""
    exact = jsonb.exact(result, (), order)
    values = writer.values(
        result=Jsonb(jsonb.encoded(result)),
        result_exact=None if exact is None else Jsonb(exact),
        recorded_at=Jsonb(recorded_at),
    )
    return raw.execute(SQL["record"], values).fetchone() is not None


def add_points(raw: RawConnection, writer: AttemptFence, name: str, points: Sequence[Point]) -> None:
    """Add points to a series; at each step the last one counts."""
    last = {point.step: point for point in points}.values()
    steps, numbers, ats = zip(*last, strict=True)
    # as text: lists of numbers take the driver three times as long
    values = {"name": name, "steps": _array(steps), "values": _array(numbers), "ats": _array(ats)}
    raw.execute(SQL["points"], writer.values(**values))


def _array(numbers: Sequence[float]) -> str:
    return f"{{{','.join(map(repr, numbers))}}}"


def add_entries(raw: RawConnection, writer: AttemptFence, entries: Sequence[Entry]) -> None:
    """Append rows to lists."""
    lists, keys, rows, ats = (list(column) for column in zip(*entries, strict=True))
    values = {"lists": lists, "keys": keys, "rows": [jsonb.row_text(row) for row in rows], "ats": ats}
    raw.execute(SQL["entries"], writer.values(**values))


def add_output(raw: RawConnection, writer: AttemptFence, pieces: Sequence[OutputPiece]) -> None:
    """Keep pieces of output."""
    positions, sizes, texts = (list(column) for column in zip(*pieces, strict=True))
    raw.execute(SQL["print"], writer.values(positions=positions, sizes=sizes, texts=texts))


def forget_output(raw: RawConnection, writer: AttemptFence, first: int, last: int) -> None:
    """Drop the pieces of output that begin at *first* or later and end at *last* or before."""
    raw.execute(SQL["forget"], writer.values(first=first, last=last))


def printed(raw: RawConnection, writer: AttemptFence) -> int:
    """Return how many bytes of output were printed so far; the middle that was left out counts too."""
    row = raw.execute(SQL["printed"], writer.values()).fetchone()
    return 0 if row is None else int(row[0])


def save(
    raw: RawConnection, writer: AttemptFence, name: str, saved: SavedCheckpoint, size: int, keep: bool
) -> str | None:
    """
    Replace a checkpoint in one statement: a reader sees the old one or the new one.

    Returns the URL of the old one's file, or "" if it had none. Returns None if the attempt is over.
    """
    values = {**vars(saved), **writer.values(name=name, size=size, keep=keep, progress=Jsonb(saved.progress))}
    row = raw.execute(SQL["checkpoint"], values).fetchone()
    return None if row is None else row[0] or ""


def saved(raw: RawConnection, experiment: int, name: str) -> SavedCheckpoint | None:
    """Return a checkpoint as it was saved last. Returns None if there is none."""
    row = raw.execute(SQL["stored"], {"id": experiment, "name": name}).fetchone()
    return None if row is None else SavedCheckpoint(*row)


def carry(raw: RawConnection, writer: AttemptFence, before: int, last: UUID) -> None:
    """Copy to an attempt the rows of lists, up to the key *last*, that the attempt *before* appended."""
    raw.execute(SQL["carry"], writer.values(before=before, last=last))


def note_continued(raw: RawConnection, writer: AttemptFence, before: Iterable[int]) -> None:
    """Store the total time of the attempts *before*, which this attempt continues."""
    raw.execute(SQL["continued"], writer.values(before=sorted(before)))


def note_artifact(raw: RawConnection, writer: AttemptFence, name: str, url: str, size: int, sha256: str) -> bool:
    """Store a file that an attempt has left. Returns False if the attempt is over."""
    values = writer.values(name=name, url=url, size=size, sha256=sha256)
    return raw.execute(SQL["artifact"], values).fetchone() is not None


def has_artifact(raw: RawConnection, writer: AttemptFence, name: str) -> bool:
    """Say whether the attempt has an artifact of this name."""
    return raw.execute(SQL["stored_artifact"], writer.values(name=name)).fetchone() is not None
