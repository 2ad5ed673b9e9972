"""The notes below a table, and the lines at the head of a file."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from qexp.analysis.statistics import correction_of, paired_test_of, statistic_of
from qexp.analysis.table.model import Note
from qexp.model import compact, plain
from qexp.store import revisions
from qexp.store.connect import Connection

if TYPE_CHECKING:
    from qexp.analysis.table.build import Parts

_SHOWN = 12
_FEWEST = 3
"""Replicates from which on a spread of 0 is suspicious."""


def _letters() -> Iterator[str]:
    """Yield a, b, …, z, aa, ab, …"""
    yield from string.ascii_lowercase
    for first in _letters():
        yield from (first + last for last in string.ascii_lowercase)


def _marked(parts: Parts) -> list[tuple[str, Note, tuple[int, ...]]]:
    """Return the notes of problems, each with its mark and cells; a note on the whole table has no mark."""
    letters, found = _letters(), []
    for problem in parts.problems:
        mark = next(letters) if problem.cells else ""
        found.append((mark, Note(problem.kind, problem.text, mark, problem.command), problem.cells))
    return found


def marks(parts: Parts) -> dict[int, tuple[str, ...]]:
    """Return the marks of each cell that a problem concerns."""
    found: dict[int, tuple[str, ...]] = {}
    for mark, _, cells in _marked(parts):
        for cell in cells:
            found[cell] = (*found.get(cell, ()), mark)
    return found


def all_notes(connection: Connection, parts: Parts) -> list[Note]:
    """Return the notes of a table: what a cell shows, what is missing, chosen, compared and suspicious."""
    return [
        *_statistic(parts),
        *(note for _, note, _ in _marked(parts)),
        *_choices(parts),
        *_tests(parts),
        *_left_out(connection, parts),
        *_repeated(connection, parts),
        *_suspicious(parts),
    ]


def _statistic(parts: Parts) -> Iterator[Note]:
    spec, over = parts.spec, ", ".join(parts.observed.over)
    statistic = statistic_of(spec.statistic)
    if over:
        yield Note("statistic", f"{statistic.explanation} over {over}, {replicates(parts)}")
    else:
        yield Note("statistic", "single results: no axis has replicates")
    if spec.average:
        yield Note("statistic", f"each replicate is the mean over {', '.join(spec.average)}")
    if spec.scale != 1:
        yield Note("statistic", f"values are multiplied by {spec.scale:g}")
    for metric in parts.metrics:
        yield Note("statistic", f"{metric.name}: {'higher' if metric.maximize else 'lower'} is better")


def replicates(parts: Parts) -> str:
    """Return the number of replicates in words: `n = 5`, or `n = 3 to 5`."""
    counts = np.concatenate([found.n[found.expected > 0] for found in parts.figures.values()])
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def _choices(parts: Parts) -> Iterator[Note]:
    spec = parts.spec
    if not spec.best:
        return
    names = ", ".join(spec.best)
    yield Note("choice", f"{names}: in each cell the value with the best mean {spec.by} over all replicates")
    said = []
    for cell, chosen in enumerate(parts.choice.chosen.tolist()):
        if chosen >= 0:
            row, column = divmod(cell, len(parts.columns))
            values = ", ".join(map(plain, parts.units.choices.keys[chosen]))
            said.append(f"{' / '.join((*parts.rows[row], *parts.columns[column]))}: {values}")
    more = f"; {len(said) - _SHOWN:,} more" if len(said) > _SHOWN else ""
    yield Note("choice", f"chosen {names}: {'; '.join(said[:_SHOWN])}{more}")


def _tests(parts: Parts) -> Iterator[Note]:
    spec, seen = parts.spec, set[Note]()
    told = f"{paired_test_of(spec.test).label}, {correction_of(spec.correction).label}, p ≤ 0.05"
    if any(said.differs for said in parts.compared.values()):
        yield Note("test", f"differs from {spec.baseline}: {told}", "*")
    elif any(said.p for said in parts.compared.values()):
        yield Note("test", f"no cell differs from {spec.baseline}: {told}")
    if spec.bold == "tied":
        yield Note("test", f"bold: the best cell, and cells that a paired test cannot tell from it: {told}")
    for said in parts.compared.values():
        for note in said.notes:
            if note not in seen:
                seen.add(note)
                yield note


def _left_out(connection: Connection, parts: Parts) -> Iterator[Note]:
    for study in parts.observed.studies:
        if number := revisions.left_out(connection, study.id):
            text = f"{number:,} done experiments of {study.name} are not shown: the newest grid leaves them out"
            yield Note("excluded", text, command=f"qexp list {study.name} --orphaned")


def _repeated(connection: Connection, parts: Parts) -> Iterator[Note]:
    for study in parts.observed.studies:
        if ids := revisions.repeated(connection, study.id):
            text = (
                f"{len(ids):,} experiments of {study.name} had another result before, with the same settings and code"
            )
            yield Note("repeated", text, command=f"qexp show {compact(ids[:_SHOWN])}")


def _suspicious(parts: Parts) -> Iterator[Note]:
    """Warn of a spread of 0 and of columns in which all rows are equal."""
    rows, columns = len(parts.rows), len(parts.columns)
    for metric in parts.metrics:
        found = parts.figures[metric.name]
        constant = np.flatnonzero((found.n >= _FEWEST) & (found.spread == 0))
        if len(constant):
            text = f"the spread of {metric.name} is 0 in {_cells(parts, constant.tolist())}"
            yield Note("warning", f"{text}: does {', '.join(parts.observed.over)} reach the function?")
        centers = found.center.reshape(rows, columns)
        equal = [column for column in range(columns) if rows > 1 and len(set(centers[:, column].tolist())) == 1]
        if equal:
            names = ", ".join(" / ".join(parts.columns[column]) or metric.name for column in equal[:_SHOWN])
            yield Note("warning", f"all rows have the same {metric.name} in {names}")


def _cells(parts: Parts, cells: list[int]) -> str:
    names = []
    for cell in cells[:3]:
        row, column = divmod(cell, len(parts.columns))
        names.append(" / ".join((*parts.rows[row], *parts.columns[column])))
    return ", ".join(names) + (f" and {len(cells) - 3:,} more" if len(cells) > 3 else "")


def provenance(connection: Connection, parts: Parts) -> list[str]:
    """Return the lines that say where a table comes from. The same data give the same lines."""
    spec, statistic = parts.spec, statistic_of(parts.spec.statistic)
    lines = [line for study in parts.observed.studies for line in _study(connection, parts, study.name)]
    over = f" over {', '.join(parts.observed.over)}" if parts.observed.over else ""
    lines.append(f"statistic: {statistic.label}{over}, {replicates(parts)}")
    lines += _numbers(parts)
    if spec.baseline is not None or spec.bold == "tied":
        lines.append(f"test: {paired_test_of(spec.test).label}, {correction_of(spec.correction).label}")
    return [*lines, f"command: {spec.command()}"]


def _study(connection: Connection, parts: Parts, name: str) -> Iterable[str]:
    at = next(place for place, study in enumerate(parts.observed.studies) if study.name == name)
    study = parts.observed.studies[at]
    known = revisions.revisions(connection, study.id)
    ran = sorted({*np.unique(parts.observed.revision[parts.observed.study == at]).tolist()} - {0})
    newest = known[study.revision]
    yield f"study: {name}, revision {study.revision}, function {newest.function}"
    for number in ran:
        one = known[number]
        source = f"source {one.source}" if one.source else "the installed code"
        commit = f", commit {one.git_commit}{' with changes' if one.git_dirty else ''}" if one.git_commit else ""
        yield f"revision {number}: {source}{commit}"


def _numbers(parts: Parts) -> Iterator[str]:
    left = [note for _, note, _ in _marked(parts)]
    for note in left:
        yield f"{note.kind}: {note.text}"
