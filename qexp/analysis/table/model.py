"""The finished table: headers, cells and notes. Writers print it; nothing here computes or reads the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Key = tuple[str, ...]
"""The labels of one row or column: one text per axis."""


@dataclass(frozen=True)
class Metric:
    """One result that a table shows."""

    name: str
    maximize: bool
    """A larger value is better."""


@dataclass(frozen=True)
class Cell:
    """One metric of one row and column: its statistic over replicates, as numbers and as text."""

    n: int
    """Replicates in the statistic."""
    expected: int
    """Replicates that the newest grid has for this cell."""
    center: float | None
    """The mean, median or interquartile mean; None if there is no replicate."""
    spread: float | None = None
    """The number after ±; None if the statistic has none or n is 1."""
    interval: tuple[float, float] | None = None
    """The quartiles of a median."""
    text: str = ""
    """The center with the table's number of digits, such as 0.91; empty if there is no replicate."""
    spread_text: str = ""
    """The spread with the same digits, or — if n is 1; empty if the statistic has no spread."""
    bold: bool = False
    marks: tuple[str, ...] = ()
    """The marks of the notes that concern this cell, such as a."""
    difference: float | None = None
    """The mean difference from the baseline's cell over the replicates that both have."""
    p: float | None = None
    """The corrected p of that difference; None without a baseline, or if p cannot reach 0.05 with n replicates."""
    values: np.ndarray | None = field(default=None, repr=False, compare=False)
    """The replicates, in the order of the axes that the statistic is over."""

    @property
    def is_complete(self) -> bool:
        """Return whether every expected replicate is in the statistic."""
        return self.n == self.expected

    @property
    def interval_texts(self) -> tuple[str, str] | None:
        """Return the quartiles with as many decimals as the text has; None if the statistic has no quartiles."""
        if self.interval is None:
            return None
        low, high = self.interval
        return _with_decimals_of(self.text, low), _with_decimals_of(self.text, high)

    @property
    def count_text(self) -> str:
        """Return `(4/5)` for a cell with missing replicates, otherwise nothing."""
        return "" if self.is_complete else f"({self.n}/{self.expected})"


@dataclass(frozen=True)
class Note:
    """A line below the table."""

    kind: str
    """
    One of `statistic`, `choice`, `test`, `warning` and `excluded`; `missing`, `mixed`, `nan` and `open`, which refuse a
    table unless they are allowed; `settings`, `code` and `packages` for differences between cells; `accepted`, `added`,
    `continued` and `repeated` for the origins of results; `unknown` for results of unknown imports or machines.
    """
    text: str
    mark: str = ""
    """The mark of the cells that the note is about; empty if the note is about the whole table."""
    command: str = ""
    """The command that completes or explains these cells."""
    advice: str = ""
    """The options to choose, where no command helps."""


@dataclass(frozen=True, repr=False)
class Table:
    """A table as writers print it. Rows and columns are in display order."""

    row_axes: tuple[str, ...]
    """The names of the row axes, such as classifier."""
    column_axes: tuple[str, ...]
    """The names of the column axes; the last one is `metric` if the table has several metrics."""
    rows: tuple[Key, ...]
    columns: tuple[Key, ...]
    cells: tuple[tuple[Cell | None, ...], ...]
    """One sequence per row; None: the newest grid has no experiment for this cell."""
    metrics: tuple[Metric, ...]
    statistic: str
    """The statistic in the cells, such as mean ± std."""
    over: tuple[str, ...]
    """The axes whose values are the replicates, such as seed."""
    notes: tuple[Note, ...] = ()
    provenance: tuple[str, ...] = ()
    """Lines for the head of a file: study, revision, source, n, statistic, tests and the command; no time of day."""

    @property
    def frame(self) -> pd.DataFrame:
        """The cells as a pandas frame: one row per row, a column per column, with the centers as numbers."""
        from qexp.analysis.writers import to_frame

        return to_frame(self)

    def to_latex(self) -> str:
        """Return a LaTeX tabular for `booktabs`, whose first lines are comments on where it comes from."""
        return self._as("tex")

    def to_markdown(self) -> str:
        """Return a Markdown table with its notes."""
        return self._as("md")

    def to_html(self) -> str:
        """Return an HTML table with its notes."""
        return self._as("html")

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.to_markdown()

    def _as(self, form: str) -> str:
        from qexp.analysis.writers import render

        return render(self, form)

    def cell(self, row: Key | str, column: Key | str) -> Cell | None:
        """Return one cell by the labels of its row and column. Raises KeyError if there is no such row or column."""
        return self.cells[_place(self.rows, row)][_place(self.columns, column)]


def _with_decimals_of(text: str, number: float) -> str:
    """
    Return a number written like another one.

    >>> _with_decimals_of("0.91", 0.8765), _with_decimals_of("1.2e-05", 8e-06), _with_decimals_of("0.1", -0.01)
    ('0.88', '8.0e-06', '0.0')
    """
    mantissa, exponent, _ = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return f"{number:z.{decimals}{'e' if exponent else 'f'}}"


def _place(keys: Sequence[Key], wanted: Key | str) -> int:
    key = (wanted,) if isinstance(wanted, str) else wanted
    try:
        return keys.index(key)
    except ValueError:
        raise KeyError(f"found {key}, expected one of {', '.join(map(str, keys))}") from None
