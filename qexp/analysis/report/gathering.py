"""The facts of a report, read in one transaction: a frozen record for each section. Nothing here writes."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from qexp.analysis.coverage import Coverage
from qexp.analysis.coverage.build import counted
from qexp.analysis.coverage.default_axes import RowsAndColumns
from qexp.analysis.coverage.gaps import reasons
from qexp.analysis.plots.spec import names_of, require_matplotlib
from qexp.analysis.report import grid_yaml, result_tables, table_data
from qexp.analysis.report.result_tables import MetricTable
from qexp.analysis.table.default_layout import DefaultLayout
from qexp.analysis.table.name_resolution import metric_source
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.analysis.table.version_conflicts import packages as versions_of
from qexp.errors import MissingLibraryError, OptionError
from qexp.model import Counts, Json
from qexp.store.connection import Connection
from qexp.store.reads import (
    available_names,
    costs,
    experiment_rows,
    failures,
    imports_and_environments,
    revision_differences,
    staleness,
    study_progress,
    study_rows,
)
from qexp.store.reads.costs import Cost, Durations
from qexp.store.reads.experiment_rows import ExperimentView
from qexp.store.reads.failures import Failed
from qexp.store.reads.imports_and_environments import Machine
from qexp.store.reads.revision_differences import Revision
from qexp.store.reads.staleness_model import Staleness
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema import tables

if TYPE_CHECKING:
    from qexp.analysis.report.pictures import Drawing

MOST_METRICS = 6
"""Metrics with a table and a picture, unless they are named."""
_MOST_REVISIONS, _MOST_MACHINES, _MOST_GROUPS, _MOST_LISTED = 20, 30, 20, 10


@dataclass(frozen=True)
class ReportOptions:
    """A report as a person asks for it; without names the metrics, rows and columns follow from the study."""

    study: str
    metrics: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeadSection:
    """The study as a whole."""

    study: StudyRow
    description: str
    counts: Counts
    began: datetime | None
    ended: datetime | None
    """The end of the last attempt."""


@dataclass(frozen=True)
class PlanSection:
    """The newest grid and the settings of its experiments."""

    grid: str
    """YAML."""
    is_cut: bool
    settings: Mapping[str, Json]


@dataclass(frozen=True)
class History:
    """The newest revisions, and the done experiments that do not belong to the newest one."""

    revisions: Sequence[Revision]
    """The newest first."""
    stale: Staleness


@dataclass(frozen=True)
class CodeSection:
    """The files of the newest revision, and the packages that done attempts have imported."""

    revision: Revision
    files: Sequence[str]
    packages: Mapping[str, Mapping[str, int]]
    """By package and version the number of done attempts that imported it."""


@dataclass(frozen=True)
class Machines:
    """The busiest machines, and the number of all."""

    machines: Sequence[Machine]
    total: int


@dataclass(frozen=True)
class Results:
    """The tables of metrics and their pictures, in the order of metrics."""

    results: Sequence[MetricTable]
    left: Sequence[str]
    """Metrics without a table."""
    drawings: Sequence[Drawing]
    pooled: Sequence[str]
    """Parameters that have neither rows nor columns, since they have too many values."""
    no_pictures: str
    """The reason why nothing is drawn, and how to get pictures; empty if they can be drawn."""


@dataclass(frozen=True)
class Errors:
    """The largest groups of errors, and the number of all."""

    groups: Sequence[Failed]
    total: int


@dataclass(frozen=True)
class Effort:
    """Durations, costs, and the experiments that took most."""

    durations: Durations | None
    costs: Sequence[Cost]
    slowest: Sequence[ExperimentView]
    most_retried: Sequence[ExperimentView]


@dataclass(frozen=True)
class Report:
    """All facts of a report."""

    options: ReportOptions
    head: HeadSection
    plan: PlanSection
    history: History
    code: CodeSection
    machines: Machines
    coverage: Coverage
    results: Results
    errors: Errors
    effort: Effort
    example: int | None
    """An experiment that ran the newest revision, otherwise the first one; None: there is none."""


def gather(connection: Connection, options: ReportOptions) -> Report:
    """Read a report. Raises OptionError or UnknownStudyError for an option that the study does not have."""
    study = study_rows.find(connection, options.study)
    metrics, left = _metrics(connection, study, options)
    rows, columns = names_of(options.rows), names_of(options.columns)
    observed, arrangement = table_data.read(connection, study, metrics, rows, columns)
    shown = revision_differences.revisions(connection, study, _MOST_REVISIONS)
    return Report(
        options,
        _head(connection, study),
        PlanSection(
            *grid_yaml.written(revision_differences.grid(connection, study)), study_rows.current(connection, study)[0]
        ),
        History(shown, staleness.of(connection, study)),
        _code(connection, study, shown[0]),
        _machines(connection, study),
        _coverage(connection, observed, arrangement),
        _results(connection, observed, arrangement, metrics, left, bool(options.metrics)),
        Errors(*failures.groups(connection, study.id, _MOST_GROUPS)),
        _effort(connection, study),
        revision_differences.example(connection, study),
    )


def _head(connection: Connection, study: StudyRow) -> HeadSection:
    counts, period = study_progress.of_study(connection, study.id), costs.period(connection, study.id)
    return HeadSection(study, revision_differences.about(connection, study), counts, *period)


def _code(connection: Connection, study: StudyRow, newest: Revision) -> CodeSection:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for environment, imports, number in imports_and_environments.origins(connection, study.id):
        for name, version in versions_of(environment, imports).items():
            counts[name][version] += number
    packages = {name: dict(counts[name]) for name in sorted(counts)}
    return CodeSection(newest, revision_differences.files(connection, newest.source) if newest.source else (), packages)


def _machines(connection: Connection, study: StudyRow) -> Machines:
    found = imports_and_environments.machines(connection, study.id)
    return Machines(found[:_MOST_MACHINES], len(found))


def _metrics(connection: Connection, study: StudyRow, options: ReportOptions) -> tuple[Sequence[str], Sequence[str]]:
    """Return the metrics that have tables, and the results that are numbers and have none."""
    if options.metrics:
        return names_of(options.metrics), ()
    numeric = [".".join(path) for path in available_names.numeric_results(connection, study.id, study.results)]
    known = [name for name in numeric if metric_source(study, name) is not None]
    return known[:MOST_METRICS], known[MOST_METRICS:]


def _coverage(connection: Connection, observed: TableExperiments, arrangement: DefaultLayout) -> Coverage:
    roles = RowsAndColumns(arrangement.rows, arrangement.columns)
    experiments = dataclasses.replace(observed, over=())  # a report counts experiments, not seeds
    return counted(connection, experiments, roles, reasons(connection, experiments, (), None))


def _results(
    connection: Connection,
    observed: TableExperiments,
    arrangement: DefaultLayout,
    metrics: Sequence[str],
    left: Sequence[str],
    is_named: bool,
) -> Results:
    no_pictures = _missing_library()
    if not no_pictures:
        from qexp.analysis.report import pictures
    found: list[MetricTable] = []
    drawings: list[Drawing] = []
    for metric in metrics:
        result, parts = result_tables.result(connection, observed, result_tables.spec_of(observed, arrangement, metric))
        if parts is None and is_named:
            raise OptionError(result.refusal[0])
        found.append(result)
        if parts is not None and not no_pictures and arrangement.rows:
            drawings.append(pictures.of_result(parts, arrangement, len(drawings)))
    if not no_pictures:
        drawings += pictures.of_series(connection, observed, arrangement, len(drawings))
    return Results(found, left, drawings, arrangement.pooled, no_pictures)


def _missing_library() -> str:
    """Return how to get pictures; empty if they can be drawn."""
    try:
        require_matplotlib()
    except MissingLibraryError as error:
        return str(error)
    return ""


def _effort(connection: Connection, study: StudyRow) -> Effort:
    return Effort(
        costs.durations(connection, study.id),
        costs.of_attempts(connection, study.id),
        _views(connection, costs.slowest(connection, study.id, _MOST_LISTED)),
        _views(connection, costs.most_retried(connection, study.id, _MOST_LISTED)),
    )


def _views(connection: Connection, ids: Sequence[int]) -> list[ExperimentView]:
    """Return experiments in the order of *ids*."""
    places = {number: place for place, number in enumerate(ids)}
    found = experiment_rows.experiments(connection, tables.experiment.c.id.in_(ids))
    return sorted(found, key=lambda view: places[view.id])
