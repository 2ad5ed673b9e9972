"""The rows and columns of a report's tables, where nobody has chosen them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qexp.analysis.table.names import STUDY
from qexp.errors import SummaryError
from qexp.store import variety
from qexp.store.connect import Connection
from qexp.store.studies import StudyRow

REPLICATES = "seed"
"""The parameter whose values are replicates."""
_MOST_VALUES = 40
"""Values of a parameter that has rows; a parameter with more, such as one drawn at random, is pooled."""
_MOST_COLUMNS = 8
_MOST_CELLS = 240
_MOST_NAMED = 1_000
"""Rows or columns of parameters that are named."""


@dataclass(frozen=True)
class Layout:
    """The parameters of rows and columns."""

    rows: tuple[str, ...] = ()
    """From the outermost to the innermost."""
    columns: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()
    """Parameters with too many values for rows."""


def chosen(connection: Connection, study: StudyRow, rows: tuple[str, ...], columns: tuple[str, ...]) -> Layout:
    """Return named rows and columns, or those that fit; SummaryError: there would be too many."""
    if not (rows or columns):
        return layout(connection, study)
    for option, names in (("--rows", rows), ("--columns", columns)):
        if names and set(names) <= set(study.parameters):
            count = variety.combinations(connection, study.id, names)
            if count > _MOST_NAMED:
                raise SummaryError(
                    f"{option} {','.join(names)}: found {count:,} values, expected at most {_MOST_NAMED:,}; "
                    "name parameters with fewer values"
                )
    return Layout(rows, columns)


def layout(connection: Connection, study: StudyRow) -> Layout:
    """Return the rows and columns that fit the parameters of a study; see `arranged`."""
    names = [name for name in study.parameters if name != REPLICATES]
    values = {name: count for name, count in variety.values(connection, study.id, names).items() if count > 1}
    present = variety.everywhere(connection, study.id, list(values))
    ordered = sorted(values, key=lambda name: name not in present)
    found = arranged(ordered, values, lambda some: variety.combinations(connection, study.id, some))
    return Layout(_spelled(found.rows), _spelled(found.columns), found.pooled)


def _spelled(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of parameters as axes: `study` alone is not a parameter."""
    return tuple(f"param.{name}" if name == STUDY else name for name in names)


def arranged(names: Sequence[str], values: Mapping[str, int], combinations: Callable[[Sequence[str]], int]) -> Layout:
    """
    Return rows and columns for parameters with several values.

    A parameter that others determine is left out: it follows from them in each cell. The parameter with most values has
    the innermost rows. The next one has the columns, if it is crossed with all others and has few values. Others have
    the outer rows. Parameters with too many values are pooled.
    """
    pooled = [name for name in names if values[name] > _MOST_VALUES]
    taken: list[str] = []
    cells = 1
    for name in names:
        if name not in pooled and (count := combinations([*taken, name])) > cells:
            if count > _MOST_CELLS:
                pooled.append(name)
                continue
            taken.append(name)
            cells = count
    by_size = sorted(taken, key=lambda name: -values[name])
    columns = [
        name
        for name in by_size[1:]
        if values[name] <= _MOST_COLUMNS and combinations(_without(taken, name)) * values[name] == cells
    ][:1]
    rows = [name for name in reversed(by_size) if name not in columns]
    return Layout(tuple(rows), tuple(columns), tuple(pooled))


def _without(names: Sequence[str], left: str) -> list[str]:
    return [name for name in names if name != left]
