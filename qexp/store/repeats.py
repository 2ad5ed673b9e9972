"""Whether an experiment that ran again, with the same settings and code, had the same result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from qexp.model import Json, Origin, Status, canonical
from qexp.store import tables
from qexp.store.connect import Connection

_MOST = 10_000
"""Repeats that are compared."""


@dataclass(frozen=True)
class Agreement:
    """How many earlier results equal the result that replaced them."""

    agree: int
    total: int
    names: tuple[str, ...]
    """The results that differ in any of the others."""
    ids: tuple[int, ...]
    """The experiments of the others."""


def agreement(connection: Connection, study: int, metrics: Sequence[str] = ()) -> Agreement:
    """
    Compare earlier results of done experiments with their results, for attempts of one revision.

    Only *metrics* are compared, if given. At most 10,000 earlier results are.
    """
    columns, earlier, attempt = tables.experiment.c, tables.earlier_result.c, tables.attempt.c
    query = (
        select(columns.id, earlier.result, columns.result)
        .join_from(
            tables.earlier_result,
            tables.attempt,
            (attempt.experiment == earlier.experiment) & (attempt.number == earlier.number),
        )
        .join(tables.experiment, columns.id == earlier.experiment)
        .where(columns.study == study, columns.status == Status.DONE, columns.origin != Origin.ORPHANED)
        .where(attempt.revision == columns.revision)
        .order_by(columns.id, earlier.number)
        .limit(_MOST)
    )
    rows = list(connection.execute(query))
    differing = {row: names for row in range(len(rows)) if (names := _differing(rows[row][1], rows[row][2], metrics))}
    return Agreement(
        agree=len(rows) - len(differing),
        total=len(rows),
        names=tuple(dict.fromkeys(name for names in differing.values() for name in names)),
        ids=tuple(dict.fromkeys(rows[row][0] for row in differing)),
    )


def _differing(before: Json, after: Json, metrics: Sequence[str]) -> list[str]:
    """Return the names of results with different values; a result that is no mapping is named `result`."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if canonical(before) == canonical(after) else ["result"]
    names = [name for name in {**before, **after} if not metrics or name in metrics or _holds(name, metrics)]
    return [name for name in names if canonical(before.get(name)) != canonical(after.get(name))]


def _holds(name: str, metrics: Sequence[str]) -> bool:
    return any(metric.startswith(f"{name}.") for metric in metrics)
