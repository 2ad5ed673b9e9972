"""The notes below a table, and the lines at the head of a file."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator

import numpy as np

from qexp.analysis.statistics import correction_of, paired_test_of, statistic_of
from qexp.analysis.table import labels
from qexp.analysis.table.cell_statistics import CellStatistics
from qexp.analysis.table.computed_table import ComputedTable
from qexp.analysis.table.model import Note
from qexp.truncation import listed

_SHOWN = 12
_FEWEST = 3
"""The fewest replicates for which a spread of 0 is suspicious."""


def _letters() -> Iterator[str]:
    """Yield a, b, …, z, aa, ab, …"""
    yield from string.ascii_lowercase
    for first in _letters():
        yield from (first + last for last in string.ascii_lowercase)


def _marked(parts: ComputedTable) -> list[tuple[str, Note, tuple[int, ...]]]:
    """Return the notes of problems, each with its mark and cells; a note on the whole table has no mark."""
    letters, found = _letters(), []
    for problem in parts.problems:
        mark = next(letters) if problem.cells else ""
        found.append((mark, problem.note(mark), problem.cells))
    return found


def marks(parts: ComputedTable) -> dict[int, tuple[str, ...]]:
    """Return the marks of each cell that a problem concerns."""
    found: dict[int, tuple[str, ...]] = {}
    for mark, _, cells in _marked(parts):
        for cell in cells:
            found[cell] = (*found.get(cell, ()), mark)
    return found


def all_notes(parts: ComputedTable) -> list[Note]:
    """Return the notes of a table: what a cell shows, what is missing, chosen, compared and suspicious."""
    where = parts.spec.where
    return [
        *_statistic(parts),
        *(note for _, note, _ in _marked(parts)),
        *_choices(parts),
        *_tests(parts),
        *([Note("excluded", f"only experiments for which {where} holds")] if where else []),
        *_suspicious(parts),
    ]


def _statistic(parts: ComputedTable) -> Iterator[Note]:
    spec, over = parts.spec, over_text(parts)
    statistic = statistic_of(spec.statistic)
    if over:
        yield Note("statistic", f"{statistic.explanation}{over}, {replicates(parts)}")
    else:
        yield Note("statistic", "single results: no axis has replicates")
    if spec.average:
        yield Note("statistic", f"each replicate is the mean over {', '.join(spec.average)}")
    if spec.scale != 1:
        yield Note("statistic", f"values are multiplied by {spec.scale:g}")
    for metric in parts.metrics:
        yield Note("statistic", f"{metric.name}: {'higher' if metric.maximize else 'lower'} is better")


def over_text(parts: ComputedTable) -> str:
    """Return the axes of the replicates as text, such as ` over seed`; empty for single results."""
    names = _over(parts)
    return f" over {', '.join(names)}" if names else ""


def _over(parts: ComputedTable) -> tuple[str, ...]:
    pooled = ("all open parameters",) if any(one.kind == "open" for one in parts.problems) else ()
    return (*parts.observed.over, *pooled)


def replicates(parts: ComputedTable) -> str:
    """Return the number of replicates in words: `n = 5`, or `n = 3 to 5`."""
    counts = np.concatenate([found.n[found.expected > 0] for found in parts.figures.values()])
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def _choices(parts: ComputedTable) -> Iterator[Note]:
    spec = parts.spec
    if not spec.best:
        return
    names = ", ".join(spec.best)
    which = "highest" if parts.by_maximize else "lowest"
    yield Note("choice", f"{names}: in each cell the value with the {which} mean {spec.by} over all replicates")
    chosen_values = []
    for cell, chosen in enumerate(parts.choice.chosen.tolist()):
        if chosen >= 0:
            chosen_values.append(f"{_cell_name(parts, cell)}: {labels.values(parts.units.choices.keys[chosen])}")
    yield Note("choice", f"chosen {names}: {listed(chosen_values, _SHOWN, '; ')}")


def _tests(parts: ComputedTable) -> Iterator[Note]:
    spec, seen = parts.spec, set[Note]()
    told = f"{paired_test_of(spec.test).label}, {correction_of(spec.correction).label}, p ≤ 0.05"
    if any(compared.differs for compared in parts.compared.values()):
        yield Note("test", f"differs from {spec.baseline}: {told}", "*")
    elif any(compared.p for compared in parts.compared.values()):
        yield Note("test", f"no cell differs from {spec.baseline}: {told}")
    if spec.bold == "tied":
        yield Note("test", f"bold: the best cell, and cells that a paired test cannot tell from it: {told}")
    for compared in parts.compared.values():
        for note in compared.notes:
            if note not in seen:
                seen.add(note)
                yield note


def _suspicious(parts: ComputedTable) -> Iterator[Note]:
    """Warn of a spread of 0, of columns in which all rows are equal, and of cells that differ in n."""
    rows, columns = len(parts.rows), len(parts.columns)
    for metric in parts.metrics:
        found = parts.figures[metric.name]
        constant = _constant(found)
        if len(constant):
            text = f"the spread of {metric.name} is 0 in {_cells(parts, constant.tolist())}"
            yield Note("warning", f"{text}: does the function use {', '.join(_over(parts))}?")
        centers = found.center.reshape(rows, columns)
        equal = [column for column in range(columns) if rows > 1 and len(set(centers[:, column].tolist())) == 1]
        if equal:
            names = ", ".join(" / ".join(parts.columns[column]) or metric.name for column in equal[:_SHOWN])
            yield Note("warning", f"all rows have the same {metric.name} in {names}")
    yield from _unequal(parts)


def _constant(found: CellStatistics) -> np.ndarray:
    """Return the cells in which several replicates all have the same value."""
    has_several = np.flatnonzero(found.n >= _FEWEST)
    if not len(has_several):
        return has_several
    bounds = np.stack([found.start[has_several], found.start[has_several] + found.n[has_several]], axis=1).ravel()
    padded = np.r_[found.values, 0.0]
    lowest, highest = (function.reduceat(padded, bounds)[::2] for function in (np.minimum, np.maximum))
    return np.asarray(has_several[lowest == highest])


def _unequal(parts: ComputedTable) -> Iterator[Note]:
    """Warn if the grid has more replicates for some cells than for others."""
    expected = next(iter(parts.figures.values())).expected
    low, high = int(expected[expected > 0].min()), int(expected.max())
    if low != high:
        few, many = (np.flatnonzero(expected == number).tolist() for number in (low, high))
        text = f"the grid has {low} replicates in {_cells(parts, few)}, {high} in {_cells(parts, many)}"
        yield Note("warning", text)


def _cells(parts: ComputedTable, cells: list[int]) -> str:
    return listed([_cell_name(parts, cell) for cell in cells], 3)


def _cell_name(parts: ComputedTable, cell: int) -> str:
    row, column = divmod(cell, len(parts.columns))
    return " / ".join((*parts.rows[row], *parts.columns[column]))


def provenance(parts: ComputedTable) -> list[str]:
    """Return the lines that say where a table comes from. The same data give the same lines."""
    spec, statistic = parts.spec, statistic_of(parts.spec.statistic)
    lines = [line for at in range(len(parts.observed.studies)) for line in _study(parts, at)]
    lines.append(f"statistic: {statistic.label}{over_text(parts)}, {replicates(parts)}")
    lines += [f"{note.kind}: {note.text}" for _, note, _ in _marked(parts)]
    if spec.baseline is not None or spec.bold == "tied":
        lines.append(f"test: {paired_test_of(spec.test).label}, {correction_of(spec.correction).label}")
    if spec.labels:
        lines.append(f"labels: {', '.join(f'{name} = {text}' for name, text in sorted(spec.labels.items()))}")
    return [*lines, f"command: {spec.command()}"]


def _study(parts: ComputedTable, at: int) -> Iterable[str]:
    study, known = parts.observed.studies[at], parts.observed.revisions[at]
    is_done = (parts.observed.study == at) & parts.observed.is_done
    ran = np.unique(parts.observed.revision[is_done]).tolist()
    yield f"study: {study.name}, revision {study.revision}, function {known[study.revision].function}"
    for number in ran:
        one = known[number]
        source = f"source {one.source}" if one.source else "the installed code"
        commit = f", commit {one.git_commit}{' with changes' if one.git_dirty else ''}" if one.git_commit else ""
        yield f"revision {number}: {source}{commit}"
