"""The tables of the commands run, list and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from qexp.cli.output import Heading, status_text, table, value_text
from qexp.dotted_names import ABSENT
from qexp.model import Json, Status, duration, short_names
from qexp.store.reads.experiment_rows import ExperimentView
from qexp.store.schema.value_columns import Column, columns, shapes
from qexp.truncation import MAX_LINE, single_line


def experiment_table(views: Sequence[ExperimentView], parameters: Sequence[str], results: Sequence[str]) -> Table:
    """
    Return one line per experiment with its parameters and results, or its error.

    Columns have the same names as in frames. If some parameters vary, those that do not vary are left out.
    """
    given = columns(
        shapes(parameters, [view.params for view in views]), shapes(results, [view.result for view in views])
    )
    found = [_ColumnValues.of(column, views) for column in given]
    settings = [values for values in found if values.column.source == "params"]
    shown = [values for values in settings if values.varies] or settings
    shown += [values for values in found if values.column.source == "result" and values.is_used]
    failed = any(view.status is Status.FAILED for view in views)
    heads = [
        Heading("id", right=True),
        *(Heading(values.column.label, right=values.is_numeric, cut=True) for values in shown),
        Heading("status"),
        Heading("duration", right=True),
        *[Heading("error", cut=True)] * failed,
    ]
    cells = [values.texts() for values in shown]
    rows: list[list[str | Text]] = [
        [
            str(view.id),
            *(texts[number] for texts in cells),
            status_text(view.status),
            duration(view.duration),
            *[single_line(view.error or "", MAX_LINE)] * failed,
        ]
        for number, view in enumerate(views)
    ]
    return table(heads, rows)


@dataclass(frozen=True)
class _ColumnValues:
    """A column, and its value in each experiment."""

    column: Column
    values: Sequence[Json]

    @classmethod
    def of(cls, column: Column, views: Sequence[ExperimentView]) -> _ColumnValues:
        return cls(column, [column.of(view.params if column.source == "params" else view.result) for view in views])

    @property
    def varies(self) -> bool:
        return len(set(map(repr, self.values))) > 1

    @property
    def is_used(self) -> bool:
        return any(value is not ABSENT for value in self.values)

    @property
    def is_numeric(self) -> bool:
        return all(value in (None, ABSENT) or isinstance(value, int | float) for value in self.values)

    def texts(self) -> list[str]:
        """Return the cells. If all values of a parameter are import paths, show only their last parts."""
        short = short_names(self.values) if self.column.source == "params" else {}
        return [
            short[value] if isinstance(value, str) and value in short else value_text(value, value is not ABSENT)
            for value in self.values
        ]
