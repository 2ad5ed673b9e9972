"""The statistics of one metric: the replicates of each cell, with their center and spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qexp.analysis.statistics import describe
from qexp.analysis.table.replicates import Replicates

_SOME = 1_000
"""The most cells whose statistics are computed together."""


@dataclass(frozen=True)
class CellStatistics:
    """Cells are numbered row * columns + column; arrays have one entry per cell."""

    expected: np.ndarray
    """Replicates that the grid has."""
    n: np.ndarray
    """Replicates with a finite value."""
    start: np.ndarray
    """The place in *values* and *replicates* of the first replicate of each cell."""
    values: np.ndarray
    replicates: np.ndarray
    center: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def of(self, cell: int) -> np.ndarray:
        """Return the replicates of a cell, in the order of their codes."""
        return self.values[self.start[cell] : self.start[cell] + self.n[cell]]

    def paired(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of two cells for the replicates that both have, in the same order."""
        one = self.replicates[self.start[first] : self.start[first] + self.n[first]]
        other = self.replicates[self.start[second] : self.start[second] + self.n[second]]
        _, here, there = np.intersect1d(one, other, assume_unique=True, return_indices=True)
        return self.of(first)[here], self.of(second)[there]


def figures(units: Replicates, taken: np.ndarray, means: np.ndarray, statistic: str) -> CellStatistics:
    """Compute the statistic of every cell over the *taken* units; *means* has the metric of all units."""
    cells = len(units.rows.keys) * len(units.columns.keys)
    finite = taken & np.isfinite(means)
    expected = np.bincount(units.cell[taken], minlength=cells)
    n = np.bincount(units.cell[finite], minlength=cells)
    start = np.cumsum(n) - n
    values, replicates = (means, units.replicate) if finite.all() else (means[finite], units.replicate[finite])
    found = np.full((4, cells), np.nan)
    for count, where in _by_count(n):
        described = describe(values[start[where][:, None] + np.arange(count)], statistic)
        found[:, where] = described.center, described.spread, described.low, described.high
    return CellStatistics(expected, n, start, values, replicates, *found)


def _by_count(n: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each number of replicates with its cells, at most 1,000 at a time to save memory."""
    for count in np.unique(n[n > 0]).tolist():
        cells = np.flatnonzero(n == count)
        for start in range(0, len(cells), _SOME):
            yield count, cells[start : start + _SOME]


@dataclass(frozen=True)
class BestValues:
    """The value of the axes in `--best` that each cell shows."""

    taken: np.ndarray
    """True for each unit that has its cell's value, or the first value if none could be chosen."""
    chosen: np.ndarray
    """The place of the value, for each cell; -1: no value has a replicate with the other metric."""

    def of(self, units: Replicates, means: np.ndarray) -> np.ndarray:
        """Return the means of units, NaN in cells for which no value could be chosen."""
        return means if (self.chosen >= 0).all() else np.where(self.chosen[units.cell] < 0, np.nan, means)


def choose(units: Replicates, by: np.ndarray, maximize: bool) -> BestValues:
    """
    Choose for each cell the value with the best mean of *by* over its replicates; the first of equal ones.

    A value that lacks a finite replicate is chosen only if every value lacks one: its mean may look too good.
    """
    cells, choices = len(units.rows.keys) * len(units.columns.keys), len(units.choices.keys)
    finite = np.isfinite(by)
    place = units.cell.astype(np.int64) * choices + units.choice
    expected = np.bincount(place, minlength=cells * choices).reshape(cells, choices)
    number = np.bincount(place[finite], minlength=cells * choices).reshape(cells, choices)
    total = np.bincount(place[finite], weights=by[finite], minlength=cells * choices).reshape(cells, choices)
    is_complete = (number > 0) & (number == expected)
    has_complete = is_complete.any(axis=1)
    candidates = np.where(has_complete[:, None], is_complete, number > 0)
    means = np.divide(total, number, out=np.full(total.shape, -np.inf), where=candidates)
    if not maximize:
        means = np.where(candidates, -means, -np.inf)
    chosen = np.where(candidates.any(axis=1), means.argmax(axis=1), -1)
    shown = np.where(chosen < 0, (expected > 0).argmax(axis=1), chosen)
    return BestValues(units.choice == shown[units.cell], chosen)


def everything(units: Replicates) -> BestValues:
    """Return the choice of a table without `--best`."""
    cells = len(units.rows.keys) * len(units.columns.keys)
    return BestValues(np.ones(len(units.cell), dtype=bool), np.zeros(cells, dtype=np.int64))
