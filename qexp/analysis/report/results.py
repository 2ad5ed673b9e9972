"""The coverage of a study and the tables of its results, with the reasons for which a table would be wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qexp.analysis.report.axes import Layout
from qexp.analysis.table import labels, notes, problems
from qexp.analysis.table.build import Parts, gather, laid_out
from qexp.analysis.table.model import Key, Table
from qexp.analysis.table.observed import Observed, observe
from qexp.analysis.table.problems import Cells, Problem, refuse
from qexp.analysis.table.spec import ALLOWED, TableSpec
from qexp.analysis.table.units import units
from qexp.errors import RefusedError, SummaryError
from qexp.model import Status
from qexp.store import revisions
from qexp.store.connect import Connection

MOST_CELLS = 1_000
"""Cells of a table that a report shows."""
_FACT = "duration"
"""A metric that each study has."""


@dataclass(frozen=True)
class Coverage:
    """The done and the expected experiments of each cell; rows and columns are in the order of the grid."""

    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    rows: Sequence[Key]
    columns: Sequence[Key]
    done: np.ndarray
    expected: np.ndarray
    """0: the newest grid has no experiment for this cell."""
    gaps: Sequence[Problem]

    @property
    def is_complete(self) -> bool:
        """Return whether everything is done that the newest grid has."""
        return not self.gaps and bool((self.done == self.expected).all())


def spec_of(study: str, layout: Layout, metric: str) -> TableSpec:
    """Return the question that a table of one metric answers."""
    return TableSpec(studies=(study,), metrics=(metric,), rows=layout.rows, columns=layout.columns)


def coverage(connection: Connection, study: str, layout: Layout) -> tuple[Coverage, Observed]:
    """Return how much of each cell is done, and the experiments; SummaryError: the study does not have an axis."""
    spec = spec_of(study, layout, _FACT)
    observed = observe(connection, spec)
    found = units(observed, layout.rows, layout.columns)
    rows, columns = labels.keys(found.rows, {}), labels.keys(found.columns, {})
    cells = Cells(observed, found, spec, rows, columns)
    size = len(rows) * len(columns)
    is_done = observed.status == list(Status).index(Status.DONE)
    covered = Coverage(
        layout.rows,
        layout.columns,
        rows,
        columns,
        np.bincount(cells.of[is_done], minlength=size).reshape(len(rows), len(columns)),
        np.bincount(cells.of, minlength=size).reshape(len(rows), len(columns)),
        [*problems.missing(observed, cells), *_lost(connection, observed)],
    )
    return covered, observed


def _lost(connection: Connection, observed: Observed) -> list[Problem]:
    study = observed.studies[0]
    total = revisions.revisions(connection, study.id)[study.revision].total
    there, _ = revisions.grid_counts(connection, study.id)
    return [problems.lost_rows(study.name, total - there)] if total is not None and total > there else []


@dataclass(frozen=True)
class Result:
    """The table of one metric."""

    metric: str
    command: str
    """The command that prints this table."""
    table: Table | None
    """None: it cannot be made, as *refusal* says, or it would be too large."""
    refusal: Sequence[str] = ()
    """The reasons for which `qexp table` refuses it; the table has them as notes."""


def result(connection: Connection, spec: TableSpec) -> tuple[Result, Parts | None]:
    """Return the table of a metric, also where `qexp table` refuses it, and the parts that pictures are made of."""
    metric = spec.metrics[0]
    try:
        parts = gather(connection, spec)
    except SummaryError as error:
        return Result(metric, spec.command(), None, [str(error)]), None
    if len(parts.rows) * len(parts.columns) > MOST_CELLS:
        size = f"the table has {len(parts.rows):,} rows and {len(parts.columns):,} columns; choose some with --where"
        return Result(metric, f"{spec.command()} --where CONDITION", None, [size]), parts
    refusal: Sequence[str] = ()
    try:
        refuse(parts.problems, spec)
    except RefusedError as error:
        refusal = error.reasons
        kinds = frozenset(problem.kind for problem in parts.problems) & set(ALLOWED)
        parts = dataclasses.replace(parts, spec=spec.model_copy(update={"allow": kinds}))
    table = laid_out(parts, notes.all_notes(parts), notes.provenance(parts))
    return Result(metric, parts.spec.command(), table, refusal), parts
