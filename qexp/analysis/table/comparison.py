"""Find the bold cells, and the cells that differ from a baseline."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qexp.analysis.statistics import adjust, correction_of, paired_p, paired_test_of, statistic_of, tied_with_best
from qexp.analysis.statistics.tied_with_best import best_rows
from qexp.analysis.table.cell_statistics import CellStatistics
from qexp.analysis.table.model import Note
from qexp.analysis.table.spec import TableSpec

_ALPHA = 0.05


@dataclass
class ComparedCells:
    """The outcome of comparing the cells of one metric."""

    bold: set[int] = field(default_factory=set)
    difference: dict[int, float] = field(default_factory=dict)
    p: dict[int, float] = field(default_factory=dict)
    differs: set[int] = field(default_factory=set)
    """Cells whose corrected p is at most 0.05."""
    notes: list[Note] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if (note := Note("test", text)) not in self.notes:
            self.notes.append(note)


def compared(
    found: CellStatistics, rows: int, columns: int, maximize: bool, spec: TableSpec, baseline: int | None
) -> ComparedCells:
    """Compare the rows of each column with each other, and with the row *baseline* if there is one."""
    made = ComparedCells()
    if rows > 1 and spec.bold != "none":
        for column in range(columns):
            made.bold |= _bold(found, range(column, rows * columns, columns), maximize, spec, made)
    if baseline is not None:
        _against(found, rows, columns, spec, baseline, made)
    return made


def _bold(
    found: CellStatistics, cells: Sequence[int], maximize: bool, spec: TableSpec, made: ComparedCells
) -> set[int]:
    """Return the bold cells of a column, never those that lack replicates: the missing ones may be the worst."""
    whole = [cell for cell in cells if found.n[cell] and found.n[cell] == found.expected[cell]]
    if any(found.n[cell] < found.expected[cell] for cell in cells):
        made.note("a cell that lacks replicates is never bold")
    if len(whole) < 2:
        return set()
    return _best(found, whole, maximize) if spec.bold == "best" else _tied(found, whole, maximize, spec, made)


def _best(found: CellStatistics, cells: Sequence[int], maximize: bool) -> set[int]:
    """Return the cells with the best center."""
    centers = np.array([[found.center[cell]] for cell in cells])
    return {cell for cell, is_best in zip(cells, best_rows(centers, maximize=maximize), strict=True) if is_best}


def _tied(
    found: CellStatistics, cells: Sequence[int], maximize: bool, spec: TableSpec, made: ComparedCells
) -> set[int]:
    """Return the cells that a paired test cannot tell from the one with the best center."""
    matrix = _common(found, cells)
    if matrix.shape[1] < max(found.n[cells]):
        made.note(f"bold compares the {matrix.shape[1]} replicates that all rows of a column have")
    tied = tied_with_best(
        matrix,
        maximize=maximize,
        test=spec.test,
        correction=spec.correction,
        alpha=_ALPHA,
        statistic=statistic_of(spec.statistic),
    )
    if tied.reason:
        made.note(f"bold cells cannot be told apart: {tied.reason}")
    return {cell for cell, is_tied in zip(cells, tied.mask, strict=True) if is_tied}


def _common(found: CellStatistics, cells: Sequence[int]) -> np.ndarray:
    """Return the values of some cells for the replicates that all of them have, one row per cell."""
    sets = [found.replicates[found.start[cell] : found.start[cell] + found.n[cell]] for cell in cells]
    common = functools.reduce(np.intersect1d, sets)
    return np.array([found.of(cell)[np.isin(own, common)] for cell, own in zip(cells, sets, strict=True)])


def _against(
    found: CellStatistics, rows: int, columns: int, spec: TableSpec, baseline: int, made: ComparedCells
) -> None:
    pairs = [
        (row * columns + column, baseline * columns + column)
        for row in range(rows)
        for column in range(columns)
        if row != baseline and found.n[row * columns + column] and found.n[baseline * columns + column]
    ]
    test, correction, reasons = paired_test_of(spec.test), correction_of(spec.correction), dict[str, None]()
    raw: list[float | None] = []
    for cell, other in pairs:
        first, second = found.paired(cell, other)
        tested = paired_p(first, second, test, alpha=_ALPHA, comparisons=len(pairs), correction=correction)
        raw.append(tested.p)
        if np.isfinite(tested.difference):
            made.difference[cell] = tested.difference
        if tested.reason:
            reasons[tested.reason] = None
    for (cell, _), p in zip(pairs, adjust(raw, correction).tolist(), strict=True):
        if np.isfinite(p):
            made.p[cell] = p
            made.differs |= {cell} if p <= _ALPHA else set()
    made.notes += [Note("test", f"no p-value is shown: {reason}") for reason in reasons]
