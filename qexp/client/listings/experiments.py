"""Experiments, as a list that shows itself with parameters and results as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import ClassVar

from qexp.analysis.column_fitting import TableColumn
from qexp.client.listings.listing import Listing
from qexp.dotted_names import ABSENT, Absent
from qexp.model import Json, duration, value_text
from qexp.store.reads.experiment_rows import ExperimentView
from qexp.store.schema.value_columns import Column, columns, shapes
from qexp.truncation import MAX_LINE, shortened, single_line

_WIDEST = 24
"""The most characters of a parameter or result."""


class ExperimentList(Listing[ExperimentView]):
    """Experiments in the order of their ids."""

    empty: ClassVar[str] = "no experiment matches"

    def columns(self, shown: Sequence[ExperimentView]) -> list[TableColumn]:
        """Return the id, parameters and results with their names in frames, then status, duration and error."""
        params, results = [view.params for view in shown], [view.result for view in shown]
        found = [TableColumn("id", [str(view.id) for view in shown], right=True)]
        ranks = {"params": count(1, 2), "result": count(2, 2)}  # the first parameter, the first result, the second ones
        for one in value_columns(params, results):
            found.append(value_column(one.label, _values(one, shown), next(ranks[one.source])))
        found.append(TableColumn("status", [str(view.status) for view in shown]))
        found.append(TableColumn("duration", [duration(view.duration) for view in shown], right=True))
        if any(view.error for view in shown):
            found.append(TableColumn("error", [single_line(view.error or "", MAX_LINE) for view in shown], cut=True))
        return found


def value_columns(params: Sequence[Mapping[str, Json]], results: Sequence[Mapping[str, Json] | None]) -> list[Column]:
    """Return the columns of parameters, then of results, with their names in frames."""
    names = dict.fromkeys(name for given in params for name in given)
    result_names = dict.fromkeys(name for result in results for name in result or ())
    return columns(shapes(names, params), shapes(result_names, results))


def _values(column: Column, shown: Sequence[ExperimentView]) -> list[Json | Absent]:
    return [column.of(view.params if column.source == "params" else view.result) for view in shown]


def value_column(label: str, values: Sequence[Json | Absent], rank: int = 0) -> TableColumn:
    """Return a column of parameters or results: long values are cut, absent ones are empty."""
    is_numeric = all(value in (None, ABSENT) or type(value) in (int, float) for value in values)
    cells = [shortened(value_text(value, value is not ABSENT), _WIDEST) for value in values]
    return TableColumn(label, cells, rank, right=is_numeric, cut=not is_numeric)
