"""Count coverage: read experiments, sort them into cells, and name the gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from qexp.analysis.coverage.default_axes import RowsAndColumns, choose
from qexp.analysis.coverage.gaps import Reasons, gaps, reasons
from qexp.analysis.coverage.model import KINDS, Coverage, Gap
from qexp.analysis.coverage.spec import CoverageSpec
from qexp.analysis.table import labels
from qexp.analysis.table.checks import lost_and_left_out
from qexp.analysis.table.model import Note
from qexp.analysis.table.name_resolution import DEFAULT_OVER, parameters
from qexp.analysis.table.refusal_reasons import nothing_done
from qexp.analysis.table.replicates import axes, require_few
from qexp.analysis.table.table_experiments import TableExperiments, observe, with_studies
from qexp.model import compact
from qexp.store.connection import Connection
from qexp.store.reads import reproduced_results, study_rows
from qexp.truncation import listed

_SHOWN = 6


def cover(connection: Connection, spec: CoverageSpec) -> Coverage:
    """
    Count the done experiments of the newest grids, in cells.

    Without rows and columns, `default_axes.choose` chooses the two parameters with the most values. Raises OptionError
    if an axis or metric is unknown, or there is no experiment.
    """
    known = [study_rows.find(connection, name) for name in spec.studies]
    names = parameters(known)
    if not any(study.results for study in known):  # nothing is done yet: no name of a metric is known
        spec = spec.model_copy(update={"metrics": ()})
    is_chosen = not (spec.rows or spec.columns)
    columns = tuple(name for name in names if name not in spec.over) if is_chosen else spec.columns
    implied = columns if is_chosen else ()
    observed = observe(connection, spec.table(columns), with_rest=False, implied=implied)
    observed = with_studies(observed) if len(known) > 1 else observed
    if not len(observed):
        raise nothing_done(observed, spec.where)
    roles = RowsAndColumns(spec.rows, spec.columns)
    if is_chosen:
        roles = choose(observed, names, spec.over or (DEFAULT_OVER,))
    found = reasons(connection, observed, spec.metrics, spec.where)
    return counted(connection, observed, roles, found)


def counted(connection: Connection, observed: TableExperiments, roles: RowsAndColumns, found: Reasons) -> Coverage:
    """Count experiments that have been read. Raises OptionError if there are more than 1,000 rows or columns."""
    rows, columns = axes(observed, roles.rows), axes(observed, roles.columns)
    for option, some in (("--rows", rows), ("--columns", columns)):
        require_few(option, some, "choose some with --where")
    shape = len(rows.keys), len(columns.keys)
    cell = rows.codes.astype(np.intp) * shape[1] + columns.codes  # bincount copies narrower integers
    cells = shape[0] * shape[1]
    done, expected = _counts(observed, found, cell, cells)
    plans = [lost_and_left_out(connection, observed, at) for at in range(len(observed.studies))]
    lost = [] if found.where else list(_lost(observed, [number for number, _ in plans]))
    return Coverage(
        studies=tuple(study.name for study in observed.studies),
        row_axes=roles.rows,
        column_axes=roles.columns,
        rows=tuple(labels.keys(rows, {})),
        columns=tuple(labels.keys(columns, {})),
        over=observed.over,
        done=done.reshape(shape),
        expected=expected.reshape(shape),
        lost=sum(gap.count for gap in lost),
        gaps=(*gaps(found, cell), *lost),
        counts={
            kind: np.bincount(cell[places], minlength=cells).reshape(shape)
            for kind in KINDS
            if len(places := found.places(kind))
        },
        notes=tuple(_notes(connection, observed, roles, found, [left_out for _, left_out in plans])),
    )


def _counts(observed: TableExperiments, found: Reasons, cell: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the done and all experiments of each cell, or values of the axes in `over`."""
    is_done = found.codes < 0
    if observed.over:
        replicate = axes(observed, observed.over)
        unit, member = np.unique(cell.astype(np.int64) * len(replicate.keys) + replicate.codes, return_inverse=True)
        is_done = np.bincount(member, weights=~is_done, minlength=len(unit)) == 0
        cell = unit // len(replicate.keys)
    return np.bincount(cell[is_done], minlength=cells), np.bincount(cell, minlength=cells)


def _lost(observed: TableExperiments, numbers: Sequence[int]) -> Iterator[Gap]:
    """Yield the experiments of each newest grid that are not in the database."""
    for study, lost in zip(observed.studies, numbers, strict=True):
        if lost:
            text = f"{lost:,} of the newest grid of {study.name} not in the database: enqueue the grid again"
            yield Gap("absent", lost, text, ("qexp enqueue grid.yaml",), ())


def _notes(
    connection: Connection, observed: TableExperiments, roles: RowsAndColumns, found: Reasons, left_out: Sequence[int]
) -> Iterator[Note]:
    if roles.text:
        yield Note("choice", roles.text)
    for study, known, number in zip(observed.studies, observed.revisions, left_out, strict=True):
        if number:
            text = f"{number:,} done of {study.name} are not counted: the newest grid leaves them out"
            yield Note("excluded", text, command=f"qexp list {study.name} --orphaned")
        repeated = reproduced_results.agreement(connection, study.id, known, found.metrics)
        if repeated.total:
            yield Note("repeated", *_repeated(repeated))


def _repeated(repeated: reproduced_results.Agreement) -> tuple[str, str, str]:
    first = "the first " if repeated.has_more else ""
    text = f"{repeated.agree:,} of {first}{repeated.total:,} repeats with the same settings and code agree"
    if repeated.agree == repeated.total:
        return text, "", ""
    return (
        f"{text}; the others differ in {listed(repeated.names, _SHOWN)}",
        "",
        f"qexp show {compact(list(repeated.ids[:3]))}",
    )
