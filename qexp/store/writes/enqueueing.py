"""Add the experiments of a grid to a study, or compare them with the study's experiments."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from sqlalchemy import func, select, text

from qexp.model import Counts, Origin, Status
from qexp.store.connection import Connection, raw
from qexp.store.schema import tables

_STAGE = text(
    "CREATE TEMP TABLE staged (position bigint, fingerprint uuid, params text, params_exact text) ON COMMIT DROP"
)


# ids are drawn for new rows only, so that a repeated enqueue leaves no gaps
_MERGE = text(
    """
    INSERT INTO experiment (study, fingerprint, params, params_exact, origin)
    SELECT :study, s.fingerprint, s.params::jsonb, s.params_exact::jsonb, :origin
    FROM   staged s
    WHERE  NOT EXISTS (SELECT FROM experiment e WHERE e.study = :study AND e.fingerprint = s.fingerprint)
    ORDER  BY s.position
    ON CONFLICT (study, fingerprint) DO NOTHING
    """
)

_MARK = text(  # experiments are locked in the order of their ids, as everywhere, so that no two statements deadlock
    """
    WITH chosen AS (
      SELECT e.id, (e.origin = 'grid') = (s.fingerprint IS NULL) AS moves, s.params, s.params_exact,
             e.status NOT IN ('running', 'done') AS may_run
      FROM   experiment e LEFT JOIN staged s ON s.fingerprint = e.fingerprint
      WHERE  e.study = :study
             AND ((e.origin = 'grid') = (s.fingerprint IS NULL)
                  OR CASE WHEN s.fingerprint IS NOT NULL AND e.status NOT IN ('running', 'done')
                          THEN (e.params::text, e.params_exact)
                               IS DISTINCT FROM (s.params::jsonb::text, s.params_exact::jsonb) END)
      ORDER  BY e.id
      FOR    NO KEY UPDATE OF e
    )
    UPDATE experiment e
    SET    origin = CASE WHEN NOT c.moves THEN e.origin WHEN e.origin = 'grid' THEN 'orphaned' ELSE 'grid' END,
           params = CASE WHEN c.may_run AND c.params IS NOT NULL THEN c.params::jsonb ELSE e.params END,
           params_exact = CASE WHEN c.may_run AND c.params IS NOT NULL THEN c.params_exact::jsonb
                               ELSE e.params_exact END
    FROM   chosen c WHERE e.id = c.id
    """
)

_RAN_OTHERWISE = text(
    """
    SELECT count(DISTINCT e.id) FROM experiment e JOIN staged s ON s.fingerprint = e.fingerprint
    WHERE  e.study = :study AND e.status IN ('running', 'done')
           AND (e.params_exact IS NOT NULL OR s.params_exact IS NOT NULL)
           AND coalesce(e.params_exact - 'order', '{}') <> coalesce(s.params_exact::jsonb - 'order', '{}')
    """
)

_COPY = "COPY experiment (study, fingerprint, params, params_exact) FROM STDIN"

_COMPARE = text(  # a join: EXISTS inside FILTER would scan all staged rows for each experiment
    """
    SELECT s.fingerprint IS NULL, e.status, count(*)
    FROM   experiment e LEFT JOIN staged s ON s.fingerprint = e.fingerprint
    WHERE  e.study = :study AND (e.origin <> 'code' OR s.fingerprint IS NOT NULL)
    GROUP  BY 1, 2
    """
)

_AT_ONCE = 1_000
"""Rows that are sent to the server together."""

Encoded = tuple[bytes, str, str | None]
"""A parameter set as its 16-byte fingerprint, its JSON text, and the text of `qexp.jsonb.exact` if jsonb changes it."""


@dataclass(frozen=True)
class Added:
    """The numbers of a grid's experiments and of new ones, and the states of the others."""

    total: int
    new: int
    known: Counts = field(default_factory=Counts)
    """Experiments that the grid does not leave out, by status; `add` counts the new ones too, `compare` does not."""
    orphans: Counts = field(default_factory=Counts)
    """Experiments that the grid leaves out, by status."""
    ran_otherwise: int = 0
    """Experiments that have run, or run, with another order of keys or kind of number than the grid has now."""


def add(connection: Connection, study: int, rows: Callable[[], Iterable[Encoded]]) -> Added:
    """
    Add the parameter sets of a grid that its study does not have yet, and mark those that the grid leaves out.

    Experiments that have not run take the grid's order of keys and kinds of numbers. The caller has locked the study's
    row. *rows* returns a new iterator over the sets at each call.
    """
    if (total := _add_first(connection, study, rows)) is not None:
        return Added(total, total)
    total = _stage(connection, rows())
    new = connection.execute(_MERGE, {"study": study, "origin": Origin.GRID}).rowcount
    connection.execute(_MARK, {"study": study})
    otherwise = connection.execute(_RAN_OTHERWISE, {"study": study}).scalar_one()
    _unstage(connection)
    columns = tables.experiment.c
    is_orphaned = (columns.origin == Origin.ORPHANED).label("is_orphaned")
    numbers = select(is_orphaned, columns.status, func.count()).where(columns.study == study)
    found = connection.execute(numbers.group_by("is_orphaned", columns.status))
    return Added(total, new, *_by_status(found), otherwise)


def _add_first(connection: Connection, study: int, rows: Callable[[], Iterable[Encoded]]) -> int | None:
    """COPY directly if the study is empty, which halves the time. Returns None if it has rows or sets repeat."""
    columns = tables.experiment.c
    if connection.execute(select(columns.id).where(columns.study == study).limit(1)).first() is not None:
        return None
    try:
        with connection.begin_nested():
            return _copy(connection, _COPY, ((study, row) for row in rows()))
    except psycopg.errors.UniqueViolation:  # draws may repeat
        return None


def add_by_code(connection: Connection, study: int, rows: Iterable[Encoded]) -> Added:
    """Add parameter sets that the study does not have yet, beside its grid."""
    total = _stage(connection, rows)
    new = connection.execute(_MERGE, {"study": study, "origin": Origin.CODE}).rowcount
    _unstage(connection)
    return Added(total, new)


def compare(connection: Connection, study: int, rows: Iterable[Encoded]) -> Added:
    """Return the numbers that `add` would return; change nothing."""
    total = _stage(connection, rows)
    known, orphans = _by_status(connection.execute(_COMPARE, {"study": study}))
    _unstage(connection)
    return Added(total, total - known.total, known, orphans)


def _by_status(rows: Iterable[Sequence[Any]]) -> tuple[Counts, Counts]:
    """Return the experiments that a grid has, and those that it leaves out, from their numbers by status."""
    known, orphans = Counts(), Counts()
    for is_orphaned, status, number in rows:
        (orphans if is_orphaned else known)[Status(status)] = number
    return known, orphans


def _stage(connection: Connection, rows: Iterable[Encoded]) -> int:
    """Send rows through COPY into a table of this transaction, and return their number."""
    connection.execute(_STAGE)
    total = _copy(connection, "COPY staged FROM STDIN", enumerate(rows, 1))
    connection.execute(text("ANALYZE staged"))
    # the planner does not know how many experiments this transaction adds, and would loop over them
    connection.execute(text("SET LOCAL enable_nestloop = off"))
    return total


def _copy(connection: Connection, statement: LiteralString, rows: Iterable[tuple[int, Encoded]]) -> int:
    """Send rows, each after a number, through COPY, and return the number of rows."""
    rows, total = iter(rows), 0
    with raw(connection).cursor() as cursor, cursor.copy(statement) as copy:
        while batch := list(itertools.islice(rows, _AT_ONCE)):
            total += len(batch)
            # of the characters in JSON text, only the backslash has a meaning in COPY's text format
            lines = [
                f"{number}\t{digest.hex()}\t{params.replace(_BACKSLASH, _ESCAPED)}\t"
                f"{_NULL if exact is None else exact.replace(_BACKSLASH, _ESCAPED)}"
                for number, (digest, params, exact) in batch
            ]
            copy.write("\n".join(lines) + "\n")
    return total


def _unstage(connection: Connection) -> None:
    connection.execute(text("SET LOCAL enable_nestloop = on"))
    connection.execute(text("DROP TABLE staged"))


_BACKSLASH, _ESCAPED, _NULL = "\\", "\\\\", "\\N"
