"""Read the experiments of a report once for all of its tables, and choose their rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

from qexp.analysis.table.default_layout import DefaultLayout, arranged, with_roles
from qexp.analysis.table.name_resolution import DEFAULT_OVER, STUDY
from qexp.analysis.table.replicates import axes, require_few
from qexp.analysis.table.spec import TableSpec
from qexp.analysis.table.table_experiments import TableExperiments, observe
from qexp.store.connection import Connection
from qexp.store.reads import available_names
from qexp.store.reads.study_rows import StudyRow


def read(
    connection: Connection, study: StudyRow, metrics: Sequence[str], rows: tuple[str, ...], columns: tuple[str, ...]
) -> tuple[TableExperiments, DefaultLayout]:
    """
    Return the experiments with *metrics*, and the rows and columns: the named ones, or those that fit.

    Raises OptionError if the study does not have a name, or there would be too many rows or columns.
    """
    if not (rows or columns):
        return _fitting(connection, study, metrics)
    observed = observe(connection, spec_of(study, metrics, rows, columns))
    for option, names in (("--rows", rows), ("--columns", columns)):
        require_few(option, axes(observed, names), "name parameters with fewer values")
    return observed, DefaultLayout(rows, columns)


def spec_of(
    study: StudyRow,
    metrics: Sequence[str],
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    over: tuple[str, ...] | None = None,
) -> TableSpec:
    """
    Return the question that a table of a report answers.

    Names are not parsed, because names of a study may have commas. A study without numeric results has no metric.
    """
    return TableSpec.model_construct(
        studies=(study.name,), metrics=tuple(metrics), rows=rows, columns=columns, over=over
    )


def _fitting(connection: Connection, study: StudyRow, metrics: Sequence[str]) -> tuple[TableExperiments, DefaultLayout]:
    """Return the experiments, and rows and columns chosen from the parameters of all grids of the study."""
    names = available_names.present(connection, study.id, study.parameters)
    free = tuple(f"param.{name}" if name == STUDY else name for name in names if name != DEFAULT_OVER)
    over = (DEFAULT_OVER,) if DEFAULT_OVER in names else ()
    observed = observe(connection, spec_of(study, metrics, (), free, over), with_rest=False)
    found = arranged({name: observed.axes[name] for name in free})
    return with_roles(observed, found), found
