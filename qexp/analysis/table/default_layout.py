"""Choose rows and columns that fit the parameters of a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qexp.analysis.table.table_experiments import TableExperiments
from qexp.dotted_names import ABSENT
from qexp.store.reads.observations import CodedColumn

_MOST_VALUES = 40
"""The most values of a parameter with rows; one with more, such as a random parameter, is pooled."""
_MOST_COLUMNS = 8
_MOST_CELLS = 240


@dataclass(frozen=True)
class DefaultLayout:
    """The parameters of rows and columns."""

    rows: tuple[str, ...] = ()
    """From the outermost to the innermost."""
    columns: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()
    """Parameters with too many values for rows."""


def arranged(axes: Mapping[str, CodedColumn]) -> DefaultLayout:
    """
    Return rows and columns for some parameters of the same experiments.

    A parameter that follows from others is left out. The parameter with the most values has the innermost rows. The
    next one has the columns, if it has few values and each occurs with all rows. The others have the outer rows;
    parameters that every experiment has come first. Parameters with too many values are pooled.
    """
    values = {name: len(axis.values) for name, axis in axes.items() if len(axis.values) > 1}
    names = sorted(values, key=lambda name: ABSENT in axes[name].values)
    taken, pooled = _taken(axes, names)
    by_size = sorted(taken, key=lambda name: -values[name])
    cells = _combinations(axes, taken)
    columns = [
        name
        for name in by_size[1:]
        if values[name] <= _MOST_COLUMNS
        and _combinations(axes, [other for other in taken if other != name]) * values[name] == cells
    ][:1]
    rows = [name for name in reversed(by_size) if name not in columns]
    return DefaultLayout(tuple(rows), tuple(columns), tuple(pooled))


def _taken(axes: Mapping[str, CodedColumn], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the parameters that tell cells apart, and those that would make too many cells."""
    pooled = [name for name in names if len(axes[name].values) > _MOST_VALUES]
    taken: list[str] = []
    cell, cells = _whole(axes)
    for name in names:
        if name in pooled:
            continue
        finer, count = _crossed(cell, cells, axes[name])
        if count > _MOST_CELLS:
            pooled.append(name)
        elif count > cells:
            taken.append(name)
            cell, cells = finer, count
    return taken, pooled


def _combinations(axes: Mapping[str, CodedColumn], names: Sequence[str]) -> int:
    cell, cells = _whole(axes)
    for name in names:
        cell, cells = _crossed(cell, cells, axes[name])
    return cells


def _whole(axes: Mapping[str, CodedColumn]) -> tuple[np.ndarray, int]:
    """Return one cell that has all experiments."""
    return np.zeros(max((len(axis.codes) for axis in axes.values()), default=0), dtype=np.int32), 1


def _crossed(cell: np.ndarray, cells: int, axis: CodedColumn) -> tuple[np.ndarray, int]:
    """Return the cell of each experiment when each cell is split by the values of an axis, and their number."""
    both = cell.astype(np.int64) * len(axis.values) + axis.codes
    is_there = np.zeros(cells * len(axis.values), dtype=bool)
    is_there[both] = True
    place = np.cumsum(is_there, dtype=np.int32) - 1
    return place[both], int(is_there.sum())


def with_roles(observed: TableExperiments, found: DefaultLayout) -> TableExperiments:
    """
    Return the experiments with a `rest`: a number for each combination of the parameters that have no role.

    All parameters must have been read as axes.
    """
    roles = {*found.rows, *found.columns, *observed.over}
    others = [axis for name, axis in observed.axes.items() if name not in roles and len(axis.values) > 1]
    rest = np.zeros(len(observed), dtype=np.int64)
    for axis in others:  # there may be as many combinations as experiments
        rest = np.unique(rest * len(axis.values) + axis.codes, return_inverse=True)[1]
    return dataclasses.replace(observed, rest=rest.astype(np.int32))
