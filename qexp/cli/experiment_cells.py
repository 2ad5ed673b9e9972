"""The columns of listed experiments: parameters and results by their names in frames, and facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from qexp.analysis.column_fitting import TableColumn
from qexp.analysis.text_layout import StyledText
from qexp.cli.output import status_text
from qexp.dotted_names import ABSENT, Absent
from qexp.model import Json, Status, duration, short_names, value_text
from qexp.store.reads.experiment_rows import ExperimentView
from qexp.store.reads.running_experiments import RunningExperiment
from qexp.store.schema.value_columns import FACTS, MORE_FACTS, Column, columns, shapes
from qexp.truncation import MAX_LINE, single_line

_NUMBERS = frozenset({"id", "attempt", "revision", "duration", "last_attempt"})
_PROGRESS = "progress"
_LEAST = 24
"""The fewest characters of a cut error, study or progress."""


class ExperimentCells:
    """The values of some experiments by column, and their texts."""

    def __init__(
        self,
        views: Sequence[ExperimentView],
        parameters: Sequence[str],
        results: Sequence[str],
        running: Mapping[int, RunningExperiment],
        with_study: bool = False,
    ) -> None:
        self.views, self.running, self.with_study = views, running, with_study
        found = columns(
            shapes(parameters, [view.params for view in views]),
            shapes(results, [view.result for view in views]),
            ("study",) if with_study else (),
        )
        self.columns: Mapping[str, Column] = {column.label: column for column in found}
        facts = dict.fromkeys(["id", *FACTS, *MORE_FACTS, _PROGRESS], "fact")
        self.sources: Mapping[str, str] = {**facts, **{label: c.source for label, c in self.columns.items()}}
        """The source of each column: `params`, `result` or `fact`."""

    def values(self, label: str) -> list[Any]:
        """Return the value of a column in each experiment, or ABSENT."""
        if (column := self.columns.get(label)) is not None:
            return [column.of(view.params if column.source == "params" else view.result) for view in self.views]
        if label == _PROGRESS:
            return [self._progress(view) or ABSENT for view in self.views]
        if label in self.sources:
            return [getattr(view, label) for view in self.views]
        return [ABSENT] * len(self.views)

    def constant(self, label: str) -> Json | Absent:
        """Return the value of a column if it is the same in all experiments, otherwise ABSENT."""
        values = self.values(label)
        return values[0] if len(set(map(repr, values))) == 1 else ABSENT

    def is_empty(self, label: str) -> bool:
        """Say whether no experiment has a value in a column."""
        return all(value is ABSENT for value in self.values(label))

    def column(self, label: str, rank: float) -> TableColumn:
        """Return a column of the table."""
        if label in self.columns or label not in self.sources:
            return _of_values(label, self.values(label), rank, self.sources.get(label) == "params")
        if label == _PROGRESS:
            return self.progress(rank)
        cells = [self._fact(view, label) for view in self.views]
        return TableColumn(label, cells, rank, label in _NUMBERS, label in ("error", "host", "study"), _LEAST)

    def progress(self, rank: float) -> TableColumn:
        """Return the column with the progress of those that run."""
        return TableColumn(_PROGRESS, [self._progress(view) for view in self.views], rank, cut=True, least=_LEAST)

    def _progress(self, view: ExperimentView) -> str:
        return running.progress if (running := self.running.get(view.id)) else ""

    def _fact(self, view: ExperimentView, label: str) -> str | StyledText:
        value = getattr(view, label)
        if label == "status":
            return status_text(view.status)
        if label == "duration" and view.status is Status.RUNNING and (running := self.running.get(view.id)):
            return duration(running.elapsed)
        if label in ("duration", "last_attempt"):
            return duration(value)
        if isinstance(value, datetime):
            return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
        return "" if value is None else single_line(value, MAX_LINE)


def _of_values(label: str, values: Sequence[Any], rank: float, is_parameter: bool) -> TableColumn:
    """Return a column of values. If all values of a parameter are import paths, it has only their last parts."""
    short = short_names(values) if is_parameter else {}
    cells = [short[v] if isinstance(v, str) and v in short else value_text(v, v is not ABSENT) for v in values]
    is_numeric = all(value in (None, ABSENT) or isinstance(value, int | float) for value in values)
    return TableColumn(label, cells, rank, is_numeric, not is_numeric)
