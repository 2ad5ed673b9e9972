"""Sort experiments into cells, and within a cell into replicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qexp.analysis.table.name_resolution import STUDY
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.errors import OptionError
from qexp.model import Json

_SHORT = 2**15
"""The most values with codes of 16 bits."""
_MOST = 1_000
"""The most rows or columns of a table."""


@dataclass(frozen=True)
class Axes:
    """
    The rows or the columns of a table: the values of their axes.

    Keys are sorted by the first axis, then by the second one. The values of an axis are in the order of the grid.
    """

    names: tuple[str, ...]
    keys: list[tuple[Json, ...]]
    codes: np.ndarray
    """The place in *keys*, for each experiment."""


@dataclass(frozen=True)
class Replicates:
    """
    The replicates of all cells. A replicate has one experiment, or several that are averaged first.

    A unit belongs to one cell, one choice of the axes in `--best`, and one value of the axes in `--over`.
    """

    rows: Axes
    columns: Axes
    choices: Axes
    cell: np.ndarray
    """The cell of each unit: row * number of columns + column."""
    choice: np.ndarray
    replicate: np.ndarray
    """Equal for units of different cells that have the same values of the axes in `--over`."""
    start: np.ndarray
    """The place in *order* of the first experiment of each unit."""
    size: np.ndarray
    order: np.ndarray
    """Places of experiments, sorted by unit."""
    is_done: np.ndarray
    """All experiments of a unit are done."""
    is_short: np.ndarray
    """A unit has fewer experiments than another one of its cell and choice."""

    def means(self, values: np.ndarray) -> np.ndarray:
        """
        Return the mean of a metric over the experiments of each unit.

        It is NaN if an experiment is not there, is not done or has NaN.
        """
        taken = values[self.order]
        with np.errstate(invalid="ignore", over="ignore"):
            found = taken if len(taken) == len(self.start) else np.add.reduceat(taken, self.start) / self.size
        found[~self.is_done | self.is_short] = np.nan
        return np.asarray(found)

    def of(self, unit: int) -> np.ndarray:
        """Return the places of the experiments of one unit."""
        start = int(self.start[unit])
        return self.order[start : start + int(self.size[unit])]


def axes(observed: TableExperiments, names: Sequence[str]) -> Axes:
    """Return the rows or columns that the named axes make; without names there is one for all experiments."""
    if not names:
        return Axes((), [()], np.zeros(len(observed), dtype=np.int8))
    values, codes = _in_order(observed, names[0])
    keys: list[tuple[Json, ...]] = [(value,) for value in values]
    for name in names[1:]:
        values, more = _in_order(observed, name)
        both, codes = np.unique(codes.astype(np.int64) * len(values) + more, return_inverse=True)
        keys = [(*keys[one // len(values)], values[one % len(values)]) for one in both.tolist()]
    return Axes(tuple(names), keys, codes)


def require_few(option: str, found: Axes, advice: str, noun: str = "values") -> None:
    """Raise OptionError with an advice if there are more than 1,000 rows or columns."""
    if len(found.keys) > _MOST:
        number = f"found {len(found.keys):,} {noun}, expected at most {_MOST:,}"
        raise OptionError(f"{option} {','.join(found.names)}: {number}; {advice}")


def _in_order(observed: TableExperiments, name: str) -> tuple[list[Json], np.ndarray]:
    """Return the values of an axis, ordered by study and then by the first experiment that has each, and its codes."""
    values, codes = observed.axes[name].values, observed.axes[name].codes
    first = np.full(len(values), np.iinfo(np.int64).max)
    np.minimum.at(first, codes, observed.ids)
    if len(observed.studies) > 1:
        study = np.full(len(values), len(observed.studies))
        np.minimum.at(study, codes, observed.study)
        order = np.lexsort((first, study))
    else:
        order = np.argsort(first, kind="stable")
    order = order[first[order] < np.iinfo(np.int64).max]
    place = np.empty(len(values), dtype=np.int16 if len(values) <= _SHORT else np.int32)
    place[order] = np.arange(len(order))
    return [values[at] for at in order.tolist()], place[codes]


def units(
    observed: TableExperiments,
    rows: Sequence[str],
    columns: Sequence[str],
    best: Sequence[str] = (),
    pools: bool = False,
) -> Replicates:
    """
    Sort experiments into units. Raises OptionError if there are more than 1,000 rows or columns.

    With *pools* the values of open axes are replicates too.
    """
    row, column, choice = axes(observed, rows), axes(observed, columns), axes(observed, best)
    for what, found in (("rows", row), ("columns", column)):
        require_few(f"--{what}", found, "choose some with --where", what)
    replicate = axes(observed, observed.over).codes
    if pools:
        replicate = joint_codes(replicate, observed.rest)
        replicate = replicate if STUDY in (*rows, *columns) else joint_codes(replicate, observed.study)
    cell = row.codes.astype(np.int32) * len(column.keys) + column.codes
    count = int(replicate.max(initial=0)) + 1
    is_small = len(row.keys) * len(column.keys) * len(choice.keys) * count < 2**31
    key = (cell.astype(np.int32 if is_small else np.int64) * len(choice.keys) + choice.codes) * count + replicate
    order = _order(key)
    key = key[order]
    is_first = np.ones(len(key), dtype=bool)
    np.not_equal(key[1:], key[:-1], out=is_first[1:])
    start = np.flatnonzero(is_first).astype(np.int32)
    of_choice, replicates = np.divmod(key[start], count)
    del key, cell, replicate, is_first  # of a million experiments each needs megabytes
    cells, choices = np.divmod(of_choice, len(choice.keys))
    done = observed.is_done[order]
    size = np.diff(start, append=np.int32(len(order)))
    size = size.astype(np.min_scalar_type(size.max(initial=0)))
    return Replicates(
        rows=row,
        columns=column,
        choices=choice,
        cell=cells.astype(np.int32, copy=False),
        choice=choices.astype(np.int16 if len(choice.keys) <= _SHORT else np.int32),
        replicate=replicates.astype(np.int16 if count <= _SHORT else np.int32),
        start=start,
        size=size,
        order=order,
        is_done=np.logical_and.reduceat(done, start) if len(start) else done,
        is_short=_short(of_choice, size),
    )


def _order(key: np.ndarray) -> np.ndarray:
    """Return the places that sort *key*, which often is sorted: a grid is expanded in the order of its axes."""
    if not len(key) or bool((key[1:] >= key[:-1]).all()):
        return np.arange(len(key), dtype=np.int32)
    return np.argsort(key, kind="stable").astype(np.int32)


def _short(of_choice: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return which units are smaller than the largest one of the same cell and choice."""
    if not len(size) or size.min() == size.max():
        return np.zeros(len(size), dtype=bool)
    _, group = np.unique(of_choice, return_inverse=True)
    largest = np.zeros(int(group.max()) + 1, dtype=size.dtype)
    np.maximum.at(largest, group, size)
    return np.asarray(size < largest[group])


def joint_codes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return one code for pairs of codes; the codes count from 0 without gaps."""
    width = int(second.max(initial=0)) + 1
    return np.unique(first.astype(np.int64) * width + second, return_inverse=True)[1]


def open_experiments(observed: TableExperiments, found: Replicates, average: Sequence[str]) -> tuple[int, int] | None:
    """
    Return two experiments of a unit that differ in an open axis, by their places; None: there is no open axis.

    Two experiments of one unit may differ in the axes that are averaged, and in nothing else.
    """
    if found.size.max(initial=0) <= 1:
        return None
    inner = axes(observed, average)
    key = np.repeat(np.arange(len(found.size)), found.size) * len(inner.keys) + inner.codes[found.order]
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    if not len(same):
        return None
    first, second = found.order[order[same[0] : same[0] + 2]].tolist()
    return first, second
