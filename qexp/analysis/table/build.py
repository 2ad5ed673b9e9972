"""Make a table: read experiments, sort them into cells, check, summarise, compare and label them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qexp.analysis.statistics import column_format, statistic_of
from qexp.analysis.table import labels, notes
from qexp.analysis.table.cell_statistics import choose, everything, figures
from qexp.analysis.table.checks import check
from qexp.analysis.table.comparison import compared
from qexp.analysis.table.computed_table import ComputedTable
from qexp.analysis.table.metric_directions import is_better_large, known_direction
from qexp.analysis.table.model import Cell, Metric, Note, Table
from qexp.analysis.table.name_resolution import same_metric
from qexp.analysis.table.refusal_reasons import Cells, nothing_done, refuse
from qexp.analysis.table.replicates import open_experiments, units
from qexp.analysis.table.spec import TableSpec
from qexp.analysis.table.table_experiments import TableExperiments, observe
from qexp.errors import OptionError
from qexp.store.connection import Connection
from qexp.truncation import listed

__all__ = ["ComputedTable", "build", "gather", "laid_out"]

METRIC = "metric"
"""The last column axis of a table with several metrics."""


def build(connection: Connection, spec: TableSpec) -> Table:
    """
    Make the table that *spec* asks for.

    Raises OptionError if *spec* names something unknown, or nothing is done yet. Raises RefusedError, with a line for
    each reason, if the table would be wrong.
    """
    parts = gather(connection, spec)
    refuse(parts.problems, spec)
    return laid_out(parts, notes.all_notes(parts), notes.provenance(parts))


def gather(connection: Connection, spec: TableSpec, observed: TableExperiments | None = None) -> ComputedTable:
    """
    Read and compute all that a table needs; nothing is refused yet.

    *observed* are its experiments, if they have been read already; they may have more axes and metrics.
    """
    statistic_of(spec.statistic)
    observed = observe(connection, spec) if observed is None else observed
    if not observed.is_done.any():
        raise nothing_done(observed, spec.where)
    found = units(observed, spec.rows, spec.columns, spec.best)
    opened = open_experiments(observed, found, spec.average)
    if opened is not None:
        found = units(observed, spec.rows, spec.columns, spec.best, pools=True)
    metrics = tuple(Metric(name, _maximize(name, spec)) for name in spec.metrics)
    choice, by_maximize = everything(found), True
    if spec.by is not None:
        known = known_direction(spec.by)
        by_maximize = _maximize(spec.metrics[0], spec) if known is None else known
        _check_by(observed, spec, spec.by)
        choice = choose(found, found.means(observed.metrics[spec.by]), by_maximize)
    rows, columns = labels.keys(found.rows, spec.labels), labels.keys(found.columns, spec.labels)
    problems = check(connection, observed, Cells(observed, found, spec, rows, columns), spec, found, opened)
    shown = {
        metric.name: figures(
            found,
            choice.taken,
            choice.of(found, found.means(observed.metrics[metric.name])) * spec.scale,
            spec.statistic,
        )
        for metric in metrics
    }
    baseline = labels.baseline(rows, found.rows, spec.baseline, "row") if spec.baseline is not None else None
    against = {
        metric.name: compared(shown[metric.name], len(rows), len(columns), metric.maximize, spec, baseline)
        for metric in metrics
    }
    return ComputedTable(
        spec, observed, found, choice, metrics, shown, against, tuple(problems), rows, columns, by_maximize
    )


def _maximize(name: str, spec: TableSpec) -> bool:
    return is_better_large(name) if spec.maximize is None else spec.maximize


def _check_by(observed: TableExperiments, spec: TableSpec, by: str) -> None:
    """Refuse a selection by a copy of the metric that the table shows, also if some experiments diverged."""
    chosen = observed.metrics[by][observed.is_done]
    for metric in spec.metrics:
        shown = observed.metrics[metric][observed.is_done]
        is_known = np.isfinite(chosen) | np.isfinite(shown)
        if is_known.any() and np.array_equal(chosen[is_known], shown[is_known]):
            raise same_metric(by, f"it equals {metric} in every experiment")


def laid_out(parts: ComputedTable, written: Sequence[Note], provenance: Sequence[str]) -> Table:
    """Return the table in display order."""
    spec, width = parts.spec, len(parts.columns)
    marks = notes.marks(parts)
    order = _row_order(parts)
    columns = [(column, metric) for column in range(width) for metric in parts.metrics]
    formatted = [_column(parts, column, metric, marks) for column, metric in columns]
    several = len(parts.metrics) > 1
    rows = tuple(parts.rows[row] for row in order)
    heads = tuple(
        (*parts.columns[column], *((spec.labels.get(metric.name, metric.name),) if several else ()))
        for column, metric in columns
    )
    cells = tuple(tuple(column[row] for column in formatted) for row in order)
    row_axes, column_axes = _heads(spec.rows, spec), (*_heads(spec.columns, spec), *((METRIC,) if several else ()))
    if spec.transpose:
        row_axes, column_axes, rows, heads = column_axes, row_axes, heads, rows
        cells = tuple(zip(*cells, strict=True))
    return Table(
        row_axes=row_axes,
        column_axes=column_axes,
        rows=rows,
        columns=heads,
        cells=cells,
        metrics=parts.metrics,
        statistic=statistic_of(spec.statistic).label,
        over=parts.observed.over,
        notes=tuple(written),
        provenance=tuple(provenance),
    )


def _heads(names: Sequence[str], spec: TableSpec) -> tuple[str, ...]:
    return tuple(spec.labels.get(name, name) for name in names)


def _row_order(parts: ComputedTable) -> list[int]:
    """Return the rows in display order."""
    rows, sort = list(range(len(parts.rows))), parts.spec.sort
    metric = parts.metrics[0]
    centers = parts.figures[metric.name].center.reshape(len(rows), -1)
    if sort == "grid":
        return rows
    if sort == "name":
        return sorted(rows, key=lambda row: [_natural(text) for text in parts.rows[row]])
    if sort == "value":
        known = ~np.isnan(centers)
        values = np.where(known, centers, 0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    else:
        at = labels.place(parts.columns, parts.units.columns, sort)
        if at is None:
            known_names = listed([",".join(key) for key in parts.columns], 8)
            raise OptionError(f"--sort: found {sort!r}, expected grid, name, value or a column: {known_names}")
        values = centers[:, at]
    worst = -np.inf if metric.maximize else np.inf
    filled = np.where(np.isnan(values), worst, values)
    return sorted(rows, key=lambda row: -filled[row] if metric.maximize else filled[row])


def _natural(text: str) -> tuple[float, str]:
    """Return a key that sorts numbers by value, before other texts."""
    try:
        return float(text), text
    except ValueError:
        return np.inf, text


def _column(parts: ComputedTable, column: int, metric: Metric, marks: dict[int, tuple[str, ...]]) -> list[Cell | None]:
    found, compared_cells = parts.figures[metric.name], parts.compared[metric.name]
    cells = np.arange(len(parts.rows)) * len(parts.columns) + column
    digits = None if parts.spec.digits == "auto" else parts.spec.digits
    written = column_format(found.center[cells], found.spread[cells], digits)
    has_replicates = bool(parts.observed.over) or any((some.n > 1).any() for some in parts.figures.values())
    has_spread = has_replicates and "±" in statistic_of(parts.spec.statistic).label
    made: list[Cell | None] = []
    for cell in cells.tolist():
        if not found.expected[cell]:
            made.append(None)
            continue
        center = float(found.center[cell]) if found.n[cell] else None
        spread = None if np.isnan(found.spread[cell]) else float(found.spread[cell])
        quartiles = spread is None and not np.isnan(found.low[cell])
        made.append(
            Cell(
                n=int(found.n[cell]),
                expected=int(found.expected[cell]),
                center=center,
                spread=spread,
                interval=(float(found.low[cell]), float(found.high[cell])) if quartiles else None,
                text="" if center is None else written.text(center),
                spread_text=written.spread_text(found.spread[cell]) if has_spread and center is not None else "",
                bold=cell in compared_cells.bold,
                marks=(*marks.get(cell, ()), *(("*",) if cell in compared_cells.differs else ())),
                difference=compared_cells.difference.get(cell),
                p=compared_cells.p.get(cell),
                values=found.of(cell),
            )
        )
    return made
