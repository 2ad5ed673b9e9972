"""The table of `qexp list` and `qexp run`: the columns that fit, then lines for constant and for omitted ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType

from qexp.analysis.column_fitting import TableColumn, shortened_cell
from qexp.cli import output
from qexp.cli.experiment_cells import ExperimentCells
from qexp.cli.output import table
from qexp.dotted_names import ABSENT
from qexp.model import Json, Status, plain, short_names, value_text
from qexp.store.reads.experiment_rows import ExperimentView
from qexp.store.reads.running_experiments import RunningExperiment
from qexp.truncation import listed, shortened

_CONSTANT = 40
"""The most characters of a constant value."""
_PAIRS = 300
"""The most characters of all parameters or results in one column."""
_NAMED = 12
"""The most columns that are named in a line below the table."""
_STATUS, _SORTED, _ERROR, _STUDY, _VALUES, _DURATION = 1, 2, 3, 4, 10, 12.5
"""Ranks: without room for all columns, these are kept first; the duration follows a parameter and a result."""


def experiment_table(
    views: Sequence[ExperimentView],
    parameters: Sequence[str],
    results: Sequence[str],
    running: Mapping[int, RunningExperiment] | None = None,
) -> RenderableType:
    """Return one line per experiment of a study with its parameters and results, or its error."""
    return default_table(ExperimentCells(views, parameters, results, running or {}))


def default_table(
    cells: ExperimentCells, sorted_by: Sequence[str] = (), alike: bool = True, scope: str = "all"
) -> RenderableType:
    """
    Return the table without a choice of columns.

    On a screen, parameters and results that all experiments have in common are named in a line that begins with
    *scope*, but for the columns *sorted_by*; in a pipe they are columns. If the studies are not *alike*, one column has
    all parameters and one has all results.
    """
    given = [*["study"] * cells.with_study, *(cells.columns if alike else [])]
    constants: dict[str, str] = {}
    names_constants = len(cells.views) > 1 and output.console().width < output.PIPED_WIDTH
    for label in given if names_constants else []:
        if label not in sorted_by and (value := cells.constant(label)) is not ABSENT:
            constants[label] = f"{label}={shortened_cell(plain(value), _CONSTANT)}"
    shown = [label for label in given if label not in constants and (label in sorted_by or not cells.is_empty(label))]
    shown += [label for label in sorted_by if label not in (*shown, "id", "status", "duration", "error")]
    columns = [cells.column("id", 0), *_of_values(cells, shown, sorted_by)]
    columns += [] if alike else _compact(cells)
    columns.append(cells.column("status", _STATUS))
    duration = cells.column("duration", _SORTED if "duration" in sorted_by else _DURATION)
    columns += [duration] * ("duration" in sorted_by or any(duration.cells))
    if any(running.progress for running in cells.running.values()):
        columns.append(cells.progress(_ERROR))
    if "error" in sorted_by or any(view.status is Status.FAILED for view in cells.views):
        columns.append(cells.column("error", _ERROR))
    notes = [f"{scope}: {listed([*constants.values()], _NAMED)}"] if constants else []
    return table(columns, notes, "--columns chooses")


def chosen_table(cells: ExperimentCells, labels: Sequence[str]) -> RenderableType:
    """Return the table with some columns, in their order."""
    return table([cells.column(label, rank) for rank, label in enumerate(labels)], hint="widen the window")


def _of_values(cells: ExperimentCells, labels: Sequence[str], sorted_by: Sequence[str]) -> Iterator[TableColumn]:
    """Yield columns; the first parameter and the first result have the lowest ranks, then the second ones."""
    numbers = {"params": 0, "result": 0}
    for label in labels:
        source = cells.sources.get(label, "fact")
        rank = _STUDY
        if source in numbers:
            rank = _VALUES + 2 * numbers[source] + (source == "result")
            numbers[source] += 1
        yield cells.column(label, _SORTED if label in sorted_by else rank)


def _compact(cells: ExperimentCells) -> list[TableColumn]:
    """Return a column with all parameters and one with all results, for studies whose names differ."""
    names = dict.fromkeys(name for view in cells.views for name in view.params)
    short = {name: short_names(view.params[name] for view in cells.views if name in view.params) for name in names}
    params = [_pairs(view.params, short) for view in cells.views]
    results = [_pairs(view.result or {}) for view in cells.views]
    return [
        TableColumn("parameters", params, _VALUES, cut=True, least=20),
        *[TableColumn("result", results, _VALUES + 1, cut=True, least=20)] * any(results),
    ]


def _pairs(values: Mapping[str, Json], short: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Return values as `name=value` on a line; *short* has short texts for values of some names."""
    texts = {name: value_text(value) for name, value in values.items()}
    shorter = short or {}
    return shortened(
        " ".join(f"{name}={shorter.get(name, {}).get(text, text)}" for name, text in texts.items()), _PAIRS
    )
