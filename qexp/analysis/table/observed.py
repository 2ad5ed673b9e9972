"""The experiments of a table's studies, side by side: what `store.observations` reads of each, with common codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qexp.analysis.table.spec import TableSpec, is_time_like
from qexp.errors import SummaryError, nearest
from qexp.model import Json, canonical
from qexp.store import conditions, observations, origins, revisions, studies
from qexp.store.connect import Connection
from qexp.store.observations import FACTS, Coded, Observations, Request, Source
from qexp.store.predicates import predicate
from qexp.store.studies import StudyRow
from qexp.store.value_columns import FACTS as COLUMNS
from qexp.store.value_columns import locate

STUDY = "study"
"""The axis that tells studies apart; a parameter of this name is written `param.study`."""
_DEFAULT_OVER = "seed"


@dataclass(frozen=True)
class Observed:
    """Experiments of one or more studies, in no order; each array has one entry per experiment."""

    studies: tuple[StudyRow, ...]
    over: tuple[str, ...]
    study: np.ndarray
    """The place in *studies*."""
    ids: np.ndarray
    status: np.ndarray
    failure: np.ndarray
    revision: np.ndarray
    """The number of the revision that ran last; 0: none."""
    axes: Mapping[str, Coded]
    rest: np.ndarray
    """Equal where all parameters are equal that are no axes."""
    worker: Coded
    imported: Coded
    metrics: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.ids)


def observe(connection: Connection, spec: TableSpec) -> Observed:
    """Read the experiments of a table; SummaryError names an axis or metric that no study has."""
    known = tuple(studies.find(connection, name) for name in spec.studies)
    over = spec.over if spec.over is not None else tuple(n for n in (_DEFAULT_OVER,) if _is_axis(known, n))
    axes = [*dict.fromkeys((*spec.rows, *spec.columns, *over, *spec.average, *spec.best))]
    metrics = [*dict.fromkeys((*spec.metrics, *([spec.by] if spec.by else [])))]
    _check_roles(spec, over)
    for name in axes:
        _check_axis(known, name)
    for name in metrics:
        _check_metric(known, name)
    condition = None if spec.where is None else conditions.parse(spec.where)
    if condition is not None:
        _check_where(known, condition)
    has_packages, has_machines = _differences(connection, metrics)
    read = []
    for study in known:
        found = {name: source for name in axes if name != STUDY and (source := _axis(study, name)) is not None}
        request = Request(
            study.id,
            found,
            {name: source for name in metrics if (source := _metric(study, name)) is not None},
            None if condition is None else predicate(condition, [study]),
            others=_has_others(study, found),
            with_workers=has_packages or has_machines,
            with_imports=has_packages or _has_sources(connection, study),
        )
        read.append(observations.read(connection, request))
    return _merged(known, over, read, axes, metrics)


def _differences(connection: Connection, metrics: Sequence[str]) -> tuple[bool, bool]:
    """Return whether workers have different packages, and whether their machines differ and a metric is a time."""
    known = origins.of_workers(connection)
    packages = {canonical(dict(one.packages)) for one in known}
    machines = {one.hardware for one in known} if any(map(is_time_like, metrics)) else set()
    return len(packages) > 1, len(machines) > 1


def _has_sources(connection: Connection, study: StudyRow) -> bool:
    """Return whether revisions of a study have different code."""
    return len({one.source for one in revisions.revisions(connection, study.id).values()}) > 1


def metric_source(study: StudyRow, name: str) -> Source | None:
    """Return where a study has a metric; None: it has none of this name."""
    return _metric(study, name)


def _check_roles(spec: TableSpec, over: Sequence[str]) -> None:
    roles = {
        "--rows": spec.rows,
        "--columns": spec.columns,
        "--over": over,
        "--average": spec.average,
        "--best": spec.best,
    }
    taken: dict[str, str] = {}
    for role, names in roles.items():
        for name in names:
            if name in taken:
                raise SummaryError(f"{name!r} is in {taken[name]} and in {role}; an axis has one role")
            taken[name] = role
    if spec.best and spec.by is None:
        raise SummaryError(f"--best {','.join(spec.best)}: say by which metric, such as --by val_{spec.metrics[0]}")
    if spec.by in spec.metrics:
        raise SummaryError(
            f"--by {spec.by}: the table shows this metric, so the best of several values would look too good; "
            "choose by another one, such as a validation metric"
        )


def _check_where(known: Sequence[StudyRow], condition: conditions.Condition) -> None:
    """Refuse names that are no parameters: to choose experiments by their results would flatter."""
    for name in conditions.names(condition):
        for study in known:
            found = locate({"params": study.parameters, "result": study.results}, name.prefix, name.path)
            if (found is not None and found[0] == "result") or (
                found is None and name.text in (*FACTS, *COLUMNS, "id")
            ):
                raise SummaryError(
                    f"--where {name.text}: a table is narrowed by parameters only; "
                    "experiments chosen by their results or status would flatter"
                )


def _is_axis(known: Sequence[StudyRow], name: str) -> bool:
    return any(name in study.parameters for study in known)


def _check_axis(known: Sequence[StudyRow], name: str) -> None:
    if name == STUDY or any(_axis(study, name) is not None for study in known):
        return
    if any(_metric(study, name) is not None for study in known):
        raise SummaryError(f"{name!r} is a result, expected a parameter; results are metrics: --metric {name}")
    parameters = dict.fromkeys(parameter for study in known for parameter in study.parameters)
    raise SummaryError(f"there is no parameter {name!r}{nearest(name, parameters) or _listed(parameters)}")


def _check_metric(known: Sequence[StudyRow], name: str) -> None:
    for study in known:
        if _metric(study, name) is None:
            results = [*study.results, *FACTS]
            hint = nearest(name, results) or _listed(study.results)
            raise SummaryError(f"the study {study.name} has no result {name!r}{hint}")


def _listed(names: Mapping[str, None] | Sequence[str]) -> str:
    shown = [*names][:8]
    return f"; there are {', '.join(shown)}{', …' * (len(names) > 8)}" if shown else "; there are none yet"


def _axis(study: StudyRow, name: str) -> Source | None:
    found = locate({"params": study.parameters, "result": study.results}, None, name.split("."))
    return None if found is None or found[0] != "params" else Source("params", tuple(found[1]))


def _metric(study: StudyRow, name: str) -> Source | None:
    found = locate({"params": study.parameters, "result": study.results}, None, name.split("."))
    if found is not None and found[0] == "result":
        return Source("result", tuple(found[1]))
    return Source("fact", ((name,),)) if name in FACTS else None


def _has_others(study: StudyRow, axes: Mapping[str, Source]) -> bool:
    """Return whether a study has parameters, or keys of them, that are no axes."""
    whole = {path[0] for source in axes.values() for path in source.paths if len(path) == 1}
    return not set(study.parameters) <= whole


def _merged(
    known: tuple[StudyRow, ...], over: tuple[str, ...], read: list[Observations], axes: list[str], metrics: list[str]
) -> Observed:
    sizes = [len(one) for one in read]
    study = np.repeat(np.arange(len(read), dtype=np.int16), sizes)
    names = Coded(study.astype(np.int32), [one.name for one in known])
    return Observed(
        studies=known,
        over=over,
        study=study,
        ids=_joined([one.ids for one in read]),
        status=_joined([one.status for one in read]),
        failure=_joined([one.failure for one in read]),
        revision=_joined([one.revision for one in read]),
        axes={name: names if name == STUDY else _united([one.axes.get(name) for one in read], sizes) for name in axes},
        rest=_apart([one.rest for one in read]).codes,
        worker=_apart([one.worker for one in read]),
        imported=_apart([one.imported for one in read]),
        metrics={name: _joined([one.metrics[name] for one in read]) for name in metrics},
    )


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _united(parts: Sequence[Coded | None], sizes: Sequence[int]) -> Coded:
    """Return one axis of several studies: equal values have equal codes; a study without it has None."""
    if len(parts) == 1 and parts[0] is not None:
        return parts[0]
    places: dict[str, int] = {}
    values: list[Json] = []
    columns = []
    for part, size in zip(parts, sizes, strict=True):
        part = part or Coded(np.zeros(size, dtype=np.int32), [None])
        for value in part.values:
            if places.setdefault(canonical(value), len(places)) == len(values):
                values.append(value)
        codes = np.array([places[canonical(value)] for value in part.values], dtype=np.int32)
        columns.append(codes[part.codes] if size else part.codes)
    return Coded(_joined(columns), values)


def _apart(parts: Sequence[Coded]) -> Coded:
    """Return a column in which codes of different studies differ."""
    values: list[Json] = []
    columns = []
    for part in parts:
        columns.append(part.codes + len(values) if values else part.codes)
        values += part.values
    return Coded(_joined(columns), values)
