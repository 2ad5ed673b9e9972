"""The checks that a table must pass: nothing missing, mixed, NaN or open."""

from __future__ import annotations

import numpy as np

from qexp.analysis.table import problems
from qexp.analysis.table.mixed import mixed
from qexp.analysis.table.observed import STUDY, Observed, metric_source
from qexp.analysis.table.problems import Cells, Problem
from qexp.analysis.table.spec import TableSpec
from qexp.model import Json, Status, plain
from qexp.store import observations, reports, revisions, tables
from qexp.store.connect import Connection

_DONE = list(Status).index(Status.DONE)
_MANY = 10_000
"""Experiments whose values are looked at one by one."""


def check(
    connection: Connection,
    observed: Observed,
    cells: Cells,
    spec: TableSpec,
    opened: tuple[int, int] | None,
) -> list[Problem]:
    """Return all reasons for which the table would be wrong, the most telling first."""
    found = [] if opened is None else [_open(connection, observed, opened, spec)]
    found += mixed(connection, observed, spec, cells)
    found += problems.missing(observed, cells)
    found += _lost(connection, observed)
    for metric in dict.fromkeys((*spec.metrics, *([spec.by] if spec.by else []))):
        found += _values(connection, observed, metric, cells)
    return found


def _open(connection: Connection, observed: Observed, opened: tuple[int, int], spec: TableSpec) -> Problem:
    """Name the parameters in which two experiments of one replicate differ."""
    first, second = opened
    if observed.study[first] != observed.study[second]:
        names = [study.name for study in observed.studies]
        return problems.open_axes([STUDY], names, observed.over)
    ids = [int(observed.ids[place]) for place in opened]
    params = [dict(view.params) for view in reports.experiments(connection, tables.experiment.c.id.in_(ids))]
    left = [_without(one, spec, observed) for one in params]
    differing = [name for name in {**left[0], **left[1]} if left[0].get(name) != left[1].get(name)]
    values = [plain(one.get(differing[0])) for one in left]
    return problems.open_axes(differing, values, observed.over)


def _without(params: dict[str, Json], spec: TableSpec, observed: Observed) -> dict[str, Json]:
    """Return the parameters that have no role, the keys of mappings by dotted names."""
    flat: dict[str, Json] = {}
    for name, value in params.items():
        flat |= (
            {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) and value else {name: value}
        )
    roles = {*spec.axes, *observed.over}
    return {name: value for name, value in flat.items() if name not in roles and name.partition(".")[0] not in roles}


def _lost(connection: Connection, observed: Observed) -> list[Problem]:
    """Compare the rows of each newest grid with the number that the grid has."""
    found = []
    for study in observed.studies:
        total = revisions.revisions(connection, study.id)[study.revision].total
        if total is not None and (lost := total - revisions.grid_rows(connection, study.id)) > 0:
            found.append(problems.lost_rows(study.name, lost))
    return found


def _values(connection: Connection, observed: Observed, metric: str, cells: Cells) -> list[Problem]:
    """Return the done experiments whose metric is missing, NaN or infinite; text is an error."""
    found: list[Problem] = []
    strange = (observed.status == _DONE) & ~np.isfinite(observed.metrics[metric])
    for at, study in enumerate(observed.studies):
        places = np.flatnonzero(strange & (observed.study == at))
        source = metric_source(study, metric)
        if not len(places) or source is None:
            continue
        place_of = {int(observed.ids[place]): int(place) for place in places[:_MANY].tolist()}
        said = observations.kinds(connection, source, place_of)
        if said["other"]:
            raise problems.not_a_number(metric, said["other"], study.name)
        for ids, problem in ((said["missing"], problems.without_value), (said["nan"], problems.not_finite)):
            if ids:
                found.append(problem(metric, ids, np.array([place_of[one] for one in ids]), cells))
    return found
