"""Facts about results that readers of a table should know, but that do not refuse it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qexp.analysis.table.name_resolution import metric_source
from qexp.analysis.table.refusal_reasons import Cells, Problem
from qexp.analysis.table.spec import TableSpec
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.model import compact
from qexp.store.connection import Connection
from qexp.store.reads import reproduced_results
from qexp.store.reads.observation_sql import ACCEPTED, ADDED, CONTINUED, is_of_last_attempt

_SHOWN = 12


def remarks(connection: Connection, observed: TableExperiments, spec: TableSpec, cells: Cells) -> Iterator[Problem]:
    """Yield remarks on done experiments; results that may be incomplete mark their cells."""
    yield from _flagged(observed, spec, cells)
    for at, study in enumerate(observed.studies):
        if ids := reproduced_results.ids(connection, study.id, observed.revisions[at]):
            places = np.flatnonzero(observed.is_done & (observed.study == at) & np.isin(observed.ids, ids))
            what = "results that replaced another one of the same settings and code"
            yield from _remark("repeated", observed, places, cells, what)


def _flagged(observed: TableExperiments, spec: TableSpec, cells: Cells) -> Iterator[Problem]:
    """Yield the remarks on accepted results, added experiments, and measures of a last attempt only."""

    def chosen(flag: int) -> np.ndarray:
        return np.flatnonzero(observed.is_done & (observed.flags & flag > 0))

    accepted = "results of failed attempts that a person accepted"
    yield from _remark("accepted", observed, chosen(ACCEPTED), cells, accepted)
    yield from _remark("added", observed, chosen(ADDED), cells, "experiments that code added beside the grid")
    sources = {name: [metric_source(study, name) for study in observed.studies] for name in spec.metrics}
    partial = [name for name, found in sources.items() if any(one and is_of_last_attempt(one) for one in found)]
    if partial:
        what = f"experiments that continued from a checkpoint, so {', '.join(partial)} counts the last attempt only"
        yield from _remark("continued", observed, chosen(CONTINUED), cells, what)


def _remark(kind: str, observed: TableExperiments, places: np.ndarray, cells: Cells, what: str) -> Iterator[Problem]:
    if not len(places):
        return
    concerned = np.unique(cells.of[places]).tolist()
    ids = compact(np.sort(observed.ids[places])[:_SHOWN].tolist())
    text = f"{what}: {len(places):,} in {cells.listed(concerned)}"
    yield Problem(kind, text, f"qexp show {ids}", tuple(concerned) if kind == "accepted" else ())
