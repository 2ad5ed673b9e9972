"""Results of experiments as flat mappings, ready for pandas, as a list that shows itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from qexp.analysis.column_fitting import TableColumn
from qexp.client.listings.experiments import value_column
from qexp.client.listings.listing import Listing
from qexp.dotted_names import ABSENT
from qexp.model import Json
from qexp.store.reads.experiment_rows import ExperimentView
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema.value_columns import columns, shapes


class ResultList(Listing[dict[str, Json]]):
    """One flat mapping per experiment, with the names of frames."""

    empty: ClassVar[str] = "no experiment is done"

    def columns(self, shown: Sequence[dict[str, Json]]) -> list[TableColumn]:
        """Return a column per name."""
        names = dict.fromkeys(name for result in shown for name in result)
        return [value_column(name, [result.get(name, ABSENT) for result in shown]) for name in names]


def flat_results(views: Sequence[ExperimentView], study: StudyRow, with_params: bool) -> ResultList:
    """Return the results of some experiments; *with_params* begins each with its id and parameters."""
    params, results = [view.params for view in views], [view.result for view in views]
    found = [
        column
        for column in columns(shapes(study.parameters, params), shapes(study.results, results))
        if with_params or column.source == "result"
    ]
    made = ResultList()
    for view in views:
        values = {
            column.label: column.of(view.params if column.source == "params" else view.result) for column in found
        }
        given = {label: value for label, value in values.items() if value is not ABSENT}
        made.append({"id": view.id, **given} if with_params else given)
    return made
