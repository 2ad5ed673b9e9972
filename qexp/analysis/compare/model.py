"""A finished comparison: pairs of methods with their statistics, ranks, and notes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qexp.analysis.axis_column_names import axis_columns
from qexp.analysis.statistics import PairedComparison
from qexp.analysis.table.model import Key, Note
from qexp.analysis.text_layout import WIDTH, StyledLine, plain

if TYPE_CHECKING:
    import pandas as pd


_FIGURES = (
    *("n", "results", "first_mean", "second_mean", "difference", "low", "high", "wins", "ties", "losses"),
    *("cohens_dz", "rank_biserial", "p", "p_uncorrected", "needed_n", "reason"),
)
"""The columns of a frame after the names of a pair."""


@dataclass(frozen=True)
class Pair:
    """Two methods on the same units. Every difference is first - second."""

    group: Key
    """The values of the axes in `per`; empty if there are none."""
    first: str
    second: str
    first_mean: float
    """The mean of the first method over the pairs; NaN if there is none."""
    second_mean: float
    figures: PairedComparison
    results: int
    """Pairs of results before any averaging."""
    p: float | None
    """The p after correction for all pairs shown; None: figures.reason says why."""

    @property
    def name(self) -> str:
        """Return `SVC - tree` with a minus sign."""
        return f"{self.first} \N{MINUS SIGN} {self.second}"


@dataclass(frozen=True)
class Ranks:
    """Methods ranked in each block, the best 1 (Demšar 2006)."""

    methods: tuple[str, ...]
    """The best average rank first."""
    ranks: tuple[float, ...]
    blocks: int
    friedman_p: float | None
    """The p of the Friedman test; None below five blocks."""
    critical_difference: float | None
    """
    Ranks that differ by less are not told apart at 0.05 (Nemenyi 1963).

    None below five blocks, and if the p of the Friedman test is above 0.05.
    """
    groups: tuple[tuple[str, ...], ...]
    """Methods that are not told apart from each other; empty without a critical difference."""
    reason: str = ""
    """The reason why there is no critical difference."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """Methods compared in pairs. It shows itself in 80 columns, and in a notebook."""

    studies: tuple[str, ...]
    by: tuple[str, ...]
    metric: str
    maximize: bool
    methods: tuple[str, ...]
    """In the order of the grid."""
    means: tuple[float, ...]
    """The mean of each method over all of its units, also those that another method lacks."""
    per: tuple[str, ...]
    unit: str
    """One pair in words, such as `combinations of dataset, each the mean over seed`."""
    pairs: tuple[Pair, ...]
    is_matrix: bool
    """All pairs of the methods are there, in one group."""
    test: str
    """The name of the test."""
    correction: str
    ranks: Ranks | None = None
    notes: tuple[Note, ...] = ()
    baseline: str | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """
        One row per pair; NaN where there is no figure. p is corrected, p_uncorrected is not.

        An axis in `per` with the name of another column is `param.NAME`.
        """
        import pandas as pd

        made = pd.DataFrame.from_records(
            [self._record(pair) for pair in self.pairs], columns=[*self._axis_columns(), "first", "second", *_FIGURES]
        )
        return made.astype({"p": "float64", "p_uncorrected": "float64", "needed_n": "Int64"})

    def data(self) -> dict[str, Any]:
        """Return this as JSON data."""
        return {
            "studies": list(self.studies),
            "by": list(self.by),
            "metric": self.metric,
            "maximize": self.maximize,
            "unit": self.unit,
            "test": self.test,
            "correction": self.correction,
            "methods": [
                {"method": name, "mean": None if math.isnan(mean) else mean}
                for name, mean in zip(self.methods, self.means, strict=True)
            ],
            "pairs": [self._record(pair) for pair in self.pairs],
            "ranks": None if self.ranks is None else dataclasses.asdict(self.ranks),
            "notes": [{"kind": note.kind, "text": note.text, "command": note.command} for note in self.notes],
        }

    def _axis_columns(self) -> list[str]:
        return axis_columns(self.per, ("first", "second", *_FIGURES))

    def _record(self, pair: Pair) -> dict[str, Any]:
        own = {**vars(pair.figures), **vars(pair), "p_uncorrected": pair.figures.p}
        group = dict(zip(self._axis_columns(), pair.group, strict=True))
        return {**group, "first": pair.first, "second": pair.second, **{name: own[name] for name in _FIGURES}}

    def lines(self, width: int = WIDTH) -> Iterator[StyledLine]:
        """Yield the comparison as lines of text."""
        from qexp.analysis.compare.text import lines

        return lines(self, width)

    def __repr__(self) -> str:
        return plain(self.lines())

    def _repr_html_(self) -> str:
        from qexp.analysis.compare.text import page

        return page(self)
