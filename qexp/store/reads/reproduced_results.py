"""Compare results of experiments that ran again with the same settings and code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, or_, select

from qexp.model import Json, Origin, Status, canonical
from qexp.store.connection import Connection
from qexp.store.reads import imports_and_environments
from qexp.store.reads.imported_files import RevisionCode
from qexp.store.reads.revisions import RevisionView
from qexp.store.schema import tables

_MOST = 10_000
"""Repeats that are compared."""


@dataclass(frozen=True)
class Agreement:
    """How many earlier results equal the result that replaced them."""

    agree: int
    total: int
    has_more: bool
    """There are more repeats; only those of the first experiments are compared."""
    names: tuple[str, ...]
    """The results that differ in any other repeat."""
    ids: tuple[int, ...]
    """The experiments with a repeat that differs."""


def ids(connection: Connection, study: int, known: Mapping[int, RevisionView]) -> list[int]:
    """Return the done experiments that ran again with the same settings and code; *known* has all revisions."""
    columns, same = tables.experiment.c, _same_code(connection, study, known)
    query = _repeated(study, columns.id).where(same).distinct().order_by(columns.id)
    return list(connection.scalars(query))


def agreement(
    connection: Connection, study: int, known: Mapping[int, RevisionView], metrics: Sequence[str] = ()
) -> Agreement:
    """
    Compare earlier results of done experiments with their results, if both have the same settings and code.

    *known* has all revisions. If *metrics* are given, only these are compared. At most 10,000 repeats are compared.
    """
    columns, earlier = tables.experiment.c, tables.earlier_result.c
    same = _same_code(connection, study, known)
    query = _repeated(study, columns.id, earlier.result, columns.result).where(same)
    rows = list(connection.execute(query.order_by(columns.id, earlier.number).limit(_MOST + 1)))
    compared = rows[:_MOST]
    differing = {at: names for at, row in enumerate(compared) if (names := _differing(row[1], row[2], metrics))}
    return Agreement(
        agree=len(compared) - len(differing),
        total=len(compared),
        has_more=len(rows) > _MOST,
        names=tuple(dict.fromkeys(name for names in differing.values() for name in names)),
        ids=tuple(dict.fromkeys(compared[at][0] for at in differing)),
    )


@dataclass(frozen=True)
class _Kind:
    """Repeats with the same two revisions and the same imports."""

    before: int
    """The revision of the earlier result."""
    now: int
    imported: UUID | None
    """The digest of the imports of the attempt with the earlier result; None: not known."""

    @property
    def condition(self) -> ColumnElement[bool]:
        attempt = tables.attempt.c
        return and_(
            attempt.revision == self.before,
            tables.experiment.c.revision == self.now,
            attempt.imported.is_not_distinct_from(self.imported),
        )


def _same_code(connection: Connection, study: int, known: Mapping[int, RevisionView]) -> ColumnElement[bool]:
    """Return the condition that both results of a repeat have the same settings, function and imported files."""
    attempt = tables.attempt.c
    columns = (attempt.revision, tables.experiment.c.revision, attempt.imported)
    kinds = [_Kind(*row) for row in connection.execute(_repeated(study, *columns).distinct().order_by(*columns))]
    return or_(false(), *(kind.condition for kind in _same(connection, known, kinds)))


def _same(connection: Connection, known: Mapping[int, RevisionView], kinds: Sequence[_Kind]) -> Iterator[_Kind]:
    if not kinds:
        return
    code = RevisionCode(connection, known.values())
    imports = imports_and_environments.lists(connection, [kind.imported for kind in kinds if kind.imported])
    for kind in kinds:
        imported = imports.get(kind.imported) if kind.imported else None
        if code.is_same(known[kind.before], known[kind.now], imported):
            yield kind


def _repeated(study: int, *chosen: ColumnElement[Any]) -> Select[Any]:
    """Return the query of all earlier results, with their attempts, of done experiments."""
    columns, earlier, attempt = tables.experiment.c, tables.earlier_result.c, tables.attempt.c
    return (
        select(*chosen)
        .join_from(
            tables.earlier_result,
            tables.attempt,
            (attempt.experiment == earlier.experiment) & (attempt.number == earlier.number),
        )
        .join(tables.experiment, columns.id == earlier.experiment)
        .where(columns.study == study, columns.status == Status.DONE, columns.origin != Origin.ORPHANED)
    )


def _differing(before: Json, after: Json, metrics: Sequence[str]) -> list[str]:
    """Return the names of results with different values; a result that is no mapping is named `result`."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if canonical(before) == canonical(after) else ["result"]
    compared = [f"{metric}." for metric in metrics]
    names = [name for name in {**before, **after} if not metrics or any(m.startswith(f"{name}.") for m in compared)]
    return [name for name in names if canonical(before.get(name)) != canonical(after.get(name))]
