"""The checks that a table must pass: nothing missing, mixed, NaN or open."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qexp.analysis.table import labels, refusal_reasons
from qexp.analysis.table.disclosures import remarks
from qexp.analysis.table.mixed_results import mixed
from qexp.analysis.table.name_resolution import STUDY, metric_source, unknown_key
from qexp.analysis.table.refusal_reasons import Cells, Problem
from qexp.analysis.table.replicates import Replicates
from qexp.analysis.table.spec import TableSpec
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.errors import OptionError
from qexp.model import Json, canonical, plain
from qexp.store.connection import Connection
from qexp.store.reads import experiment_rows, observations, revisions
from qexp.store.reads.observation_sql import FACTS, ValueSource
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema import tables


def check(
    connection: Connection,
    observed: TableExperiments,
    cells: Cells,
    spec: TableSpec,
    units: Replicates,
    opened: tuple[int, int] | None,
) -> list[Problem]:
    """Return the reasons to refuse the table, the most important first, and notes."""
    found = [] if opened is None else [_open(connection, observed, opened)]
    found += mixed(connection, observed, spec, cells)
    found += refusal_reasons.missing(observed, cells)
    found += refusal_reasons.short_averages(spec.average, units, cells)
    found += _planned(connection, observed)
    for metric in dict.fromkeys(spec.all_metrics):
        found += _values(connection, observed, metric, cells)
    return [*found, *remarks(connection, observed, spec, cells)]


def _open(connection: Connection, observed: TableExperiments, opened: tuple[int, int]) -> Problem:
    """Name the parameters in which two experiments of one replicate differ."""
    first, second = opened
    if observed.study[first] != observed.study[second]:
        return refusal_reasons.open_studies([study.name for study in observed.studies])
    ids = [int(observed.ids[place]) for place in opened]
    params = [
        _flat(dict(view.params)) for view in experiment_rows.experiments(connection, tables.experiment.c.id.in_(ids))
    ]
    texts = [{name: canonical(value) for name, value in one.items()} for one in params]
    differing = [name for name in {**params[0], **params[1]} if texts[0].get(name) != texts[1].get(name)]
    values = [plain(one[differing[0]]) if differing[0] in one else labels.NO_VALUE for one in params]
    names = [f"param.{name}" if name == STUDY else name for name in differing]
    return refusal_reasons.open_axes(names, values, observed.over)


def _flat(params: Mapping[str, Json], above: str = "") -> dict[str, Json]:
    """Return parameters with dotted names instead of mappings."""
    flat: dict[str, Json] = {}
    for name, value in params.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, dict) and value else {f"{above}{name}": value}
    return flat


def _planned(connection: Connection, observed: TableExperiments) -> list[Problem]:
    """Return problems: the database lacks experiments of the newest grids, or these leave out done experiments."""
    found = []
    for at, study in enumerate(observed.studies):
        lost, left_out = lost_and_left_out(connection, observed, at)
        if lost:
            found.append(refusal_reasons.lost_rows(study.name, lost))
        if left_out:
            found.append(refusal_reasons.left_out(study.name, left_out))
    return found


def lost_and_left_out(connection: Connection, observed: TableExperiments, at: int) -> tuple[int, int]:
    """
    Compare the experiments of the newest grid of one study with the number that the grid has.

    Returns how many are not in the database, and how many done ones the grid leaves out.
    """
    there, left_out = revisions.grid_counts(connection, observed.studies[at].id)
    total = observed.newest(at).total
    return (0 if total is None else max(0, total - there)), left_out


def without_number(connection: Connection, study: StudyRow, metric: str, ids: np.ndarray) -> Mapping[str, list[int]]:
    """
    Return the experiments whose metric is `missing` or `nan`; none if no experiment of the study has the metric.

    Raises OptionError if the metric of some is text.
    """
    source = metric_source(study, metric)
    if source is None or not len(ids):
        return {"missing": [], "nan": []}
    kinds = observations.kinds(connection, source, ids.tolist())
    if kinds["other"]:
        raise refusal_reasons.not_a_number(metric, kinds["other"], study.name)
    return kinds


def _values(connection: Connection, observed: TableExperiments, metric: str, cells: Cells) -> list[Problem]:
    """Return the done experiments whose metric is missing, NaN or infinite; text is an error."""
    found: list[Problem] = []
    strange = observed.is_done & ~np.isfinite(observed.metrics[metric])
    for at, study in enumerate(observed.studies):
        places = np.flatnonzero(strange & (observed.study == at))
        source = metric_source(study, metric)
        if not len(places) or source is None:
            continue
        places = places[np.argsort(observed.ids[places])]
        kinds = without_number(connection, study, metric, observed.ids[places])
        if len(kinds["missing"]) == int((observed.is_done & (observed.study == at)).sum()):
            raise _unknown(connection, study, metric, source)
        for ids, problem in (
            (kinds["missing"], refusal_reasons.without_value),
            (kinds["nan"], refusal_reasons.not_finite),
        ):
            if ids:
                found.append(problem(metric, ids, places[np.searchsorted(observed.ids[places], ids)], cells))
    return found


def _unknown(connection: Connection, study: StudyRow, metric: str, source: ValueSource) -> OptionError:
    """Return the error for a result that no done experiment has, such as a wrong key of a mapping."""
    known = [*study.results, *FACTS]
    if source.column == "result":
        known += observations.keys(connection, study.id, "result", source.paths[0][0])
    return unknown_key(metric, f"done experiment of {study.name} has", [name for name in known if name != metric])
