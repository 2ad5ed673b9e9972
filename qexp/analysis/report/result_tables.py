"""The tables of a study's results, or the reasons why they are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from qexp.analysis.report import table_data
from qexp.analysis.table import notes
from qexp.analysis.table.build import ComputedTable, gather, laid_out
from qexp.analysis.table.default_layout import DefaultLayout
from qexp.analysis.table.model import Table
from qexp.analysis.table.name_resolution import over_of
from qexp.analysis.table.refusal_reasons import refuse
from qexp.analysis.table.spec import ALLOWED, TableSpec
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.errors import OptionError, RefusedError
from qexp.store.connection import Connection

MOST_CELLS = 1_000
"""Cells of a table that a report shows."""


@dataclass(frozen=True)
class MetricTable:
    """The table of one metric."""

    metric: str
    command: str
    """The command that prints this table."""
    table: Table | None
    """None: it cannot be made, as *refusal* says, or it would be too large."""
    refusal: Sequence[str] = ()
    """The reasons for which `qexp table` refuses it; the table has them as notes."""


def spec_of(observed: TableExperiments, arrangement: DefaultLayout, metric: str) -> TableSpec:
    """Return the question that the table of one metric answers."""
    spec = table_data.spec_of(observed.studies[0], [metric], arrangement.rows, arrangement.columns)
    is_usual = over_of(observed.studies, spec) == observed.over
    return spec if is_usual else spec.model_copy(update={"over": observed.over})


def result(
    connection: Connection, observed: TableExperiments, spec: TableSpec
) -> tuple[MetricTable, ComputedTable | None]:
    """Return the table of a metric, even if `qexp table` refuses it, and its parts, which pictures show."""
    metric = spec.metrics[0]
    try:
        parts = gather(connection, spec, observed)
    except OptionError as error:
        return MetricTable(metric, spec.command(), None, [str(error)]), None
    if len(parts.rows) * len(parts.columns) > MOST_CELLS:
        size = f"the table has {len(parts.rows):,} rows and {len(parts.columns):,} columns; choose some with --where"
        return MetricTable(metric, f"{spec.command()} --where CONDITION", None, [size]), parts
    refusal: Sequence[str] = ()
    try:
        refuse(parts.problems, spec)
    except RefusedError as error:
        refusal = error.reasons
        kinds = frozenset(problem.kind for problem in parts.problems) & set(ALLOWED)
        parts = dataclasses.replace(parts, spec=spec.model_copy(update={"allow": kinds}))
    table = laid_out(parts, notes.all_notes(parts), notes.provenance(parts))
    return MetricTable(metric, parts.spec.command(), table, refusal), parts
