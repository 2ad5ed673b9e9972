"""Read the experiments of a table's studies, with common codes for the values of all studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qexp.analysis.table.metric_directions import is_time_like
from qexp.analysis.table.name_resolution import STUDY, axis_source, check_names, metric_source, over_of, unknown_key
from qexp.analysis.table.spec import TableSpec
from qexp.dotted_names import ABSENT
from qexp.model import Json, Status, canonical
from qexp.store.connection import Connection
from qexp.store.reads import imports_and_environments, observations, revisions, study_rows
from qexp.store.reads.observation_sql import ColumnRequest
from qexp.store.reads.observations import CodedColumn, Observations
from qexp.store.reads.revisions import RevisionView
from qexp.store.reads.study_rows import StudyRow
from qexp.store.selection import where_parser
from qexp.store.selection.where_sql import predicate


@dataclass(frozen=True)
class TableExperiments:
    """Experiments of one or more studies, each study's in the order of ids; arrays have one entry per experiment."""

    studies: tuple[StudyRow, ...]
    over: tuple[str, ...]
    study: np.ndarray
    """The place in *studies*."""
    ids: np.ndarray
    status: np.ndarray
    failure: np.ndarray
    revision: np.ndarray
    """The number of the revision that ran last; 0: none."""
    flags: np.ndarray
    """As in `store.observations.Observations`."""
    axes: Mapping[str, CodedColumn]
    rest: np.ndarray
    """Equal for experiments with the same values of all parameters that are no axes."""
    worker: CodedColumn
    imported: CodedColumn
    metrics: Mapping[str, np.ndarray]
    revisions: tuple[Mapping[int, RevisionView], ...] = ()
    """The revisions of each study by number."""
    has_workers: bool = False
    """*worker* was read: some workers have other packages or machines than others."""

    @cached_property
    def is_done(self) -> np.ndarray:
        """Return which experiments are done."""
        return np.asarray(self.status == list(Status).index(Status.DONE))

    def newest(self, at: int) -> RevisionView:
        """Return the newest revision of a study, which is given by its place."""
        return self.revisions[at][self.studies[at].revision]

    def __len__(self) -> int:
        return len(self.ids)


def observe(
    connection: Connection, spec: TableSpec, with_rest: bool = True, implied: Collection[str] = ()
) -> TableExperiments:
    """
    Read the experiments of a table. Raises OptionError for an axis or metric that no study has.

    Nobody named the *implied* axes, so the newest grid may lack them. Without *with_rest*, parameters that are no axes
    are not read, and all experiments have the same rest.
    """
    known = tuple(study_rows.find(connection, name) for name in spec.studies)
    over = over_of(known, spec)
    check_names(known, spec, over)
    axes = [*dict.fromkeys((*spec.rows, *spec.columns, *over, *spec.average, *spec.best))]
    metrics = [*dict.fromkeys(spec.all_metrics)]
    condition = None if spec.where is None else where_parser.parse(spec.where)
    packages, machines = imports_and_environments.varieties(connection)
    has_workers = packages > 1 or (machines > 1 and any(map(is_time_like, metrics)))
    past = tuple(revisions.revisions(connection, study.id) for study in known)
    has_imports = packages > 1 or len({one.source for some in past for one in some.values()}) > 1
    read = []
    for study in known:
        found = {name: source for name in axes if name != STUDY and (source := axis_source(study, name)) is not None}
        whole = {path[0] for source in found.values() for path in source.paths if len(path) == 1}
        request = ColumnRequest(
            study.id,
            found,
            {name: source for name in metrics if (source := metric_source(study, name)) is not None},
            None if condition is None else predicate(condition, [study]),
            others=with_rest and not set(study.parameters) <= whole,
            with_workers=has_workers,
            with_imports=has_imports,
        )
        read.append(observations.read(connection, request))
    observed = dataclasses.replace(_merged(known, over, read, axes, metrics), revisions=past, has_workers=has_workers)
    implied = [*implied, *(over if spec.over is None else ())]
    _check_values(connection, observed, [name for name in axes if name not in implied])
    return observed


def _check_values(connection: Connection, observed: TableExperiments, axes: Sequence[str]) -> None:
    """Raise OptionError for an axis that no experiment has, such as a wrong key of a mapping."""
    for name in axes:
        if len(observed) and observed.axes[name].values == [ABSENT]:
            keys: list[str] = []
            for study in observed.studies:
                keys += [key for key in study.parameters if key != name]
                if (source := axis_source(study, name)) is not None:
                    keys += observations.keys(connection, study.id, "params", source.paths[0][0])
            raise unknown_key(name, "experiment has the parameter", keys)


def with_studies(observed: TableExperiments) -> TableExperiments:
    """Return the experiments with the axis that tells their studies apart."""
    names = CodedColumn(observed.study, [study.name for study in observed.studies])
    return dataclasses.replace(observed, axes={**observed.axes, STUDY: names})


def _merged(
    known: tuple[StudyRow, ...], over: tuple[str, ...], read: list[Observations], axes: list[str], metrics: list[str]
) -> TableExperiments:
    sizes = [len(one) for one in read]
    study = np.repeat(np.arange(len(read), dtype=np.int16), sizes)
    names = CodedColumn(study, [one.name for one in known])
    return TableExperiments(
        studies=known,
        over=over,
        study=study,
        ids=_joined([one.ids for one in read]),
        status=_joined([one.status for one in read]),
        failure=_joined([one.failure for one in read]),
        revision=_joined([one.revision for one in read]),
        flags=_joined([one.flags for one in read]),
        axes={name: names if name == STUDY else _united([one.axes.get(name) for one in read], sizes) for name in axes},
        rest=_apart([one.rest for one in read]).codes,
        worker=_apart([one.worker for one in read]),
        imported=_apart([one.imported for one in read]),
        metrics={name: _joined([one.metrics[name] for one in read]) for name in metrics},
    )


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _united(parts: Sequence[CodedColumn | None], sizes: Sequence[int]) -> CodedColumn:
    """Return one axis of several studies: equal values have equal codes; in a study without it, it is absent."""
    if len(parts) == 1 and parts[0] is not None:
        return parts[0]
    places: dict[str, int] = {}
    values: list[Json] = []
    columns = []
    for part, size in zip(parts, sizes, strict=True):
        part = part or CodedColumn(np.zeros(size, dtype=np.int32), [ABSENT] if size else [])
        for value in part.values:
            if places.setdefault(_identity(value), len(places)) == len(values):
                values.append(value)
        codes = np.array([places[_identity(value)] for value in part.values], dtype=np.int32)
        columns.append(codes[part.codes] if size else part.codes)
    return CodedColumn(_joined(columns), values)


def _identity(value: Json) -> str:
    return "" if value is ABSENT else canonical(value)


def _apart(parts: Sequence[CodedColumn]) -> CodedColumn:
    """Return a column in which codes of different studies differ."""
    values: list[Json] = []
    columns = []
    for part in parts:
        columns.append(part.codes.astype(np.int32) + len(values) if values else part.codes)
        values += part.values
    return CodedColumn(_joined(columns), values)
