"""The coverage of a study's newest grid: counts per cell, and the gaps with their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qexp.analysis import html_elements, text_layout
from qexp.analysis.axis_column_names import axis_columns
from qexp.analysis.table.model import Key, Note
from qexp.analysis.text_layout import WIDTH, StyledLine, StyledText
from qexp.truncation import listed

if TYPE_CHECKING:
    import pandas as pd

    from qexp.analysis.plots.figure import Picture

KINDS = ("failed", "stale", "valueless", "diverged", "cancelled", "paused", "running", "pending")
"""Reasons why an experiment is not done, in the order in which they are shown."""
_SHOWN = 3


@dataclass(frozen=True)
class Gap:
    """Experiments that are not done for one reason."""

    kind: str
    """One of KINDS, or `absent`: it is not in the database."""
    count: int
    text: str
    """The reason in words, without the cells: `3 failed (2 error, 1 timeout)`."""
    commands: tuple[str, ...]
    """The command that fills the gap, one per study."""
    cells: tuple[int, ...]
    """The cells that have such experiments: row * number of columns + column; empty if they are not known."""


@dataclass(frozen=True, repr=False)
class Coverage:
    """The done experiments of the newest grid, in cells. Rows and columns are in the order of the grid."""

    studies: tuple[str, ...]
    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    rows: tuple[Key, ...]
    columns: tuple[Key, ...]
    over: tuple[str, ...]
    """The axes whose values are counted; empty: experiments are counted."""
    done: np.ndarray
    """For each row and column; an integer."""
    expected: np.ndarray
    """For each row and column; 0: the grid has no experiment there."""
    lost: int
    """Experiments of the newest grid that are not in the database: they belong to no cell."""
    gaps: tuple[Gap, ...]
    counts: dict[str, np.ndarray]
    """The experiments of each gap, for each row and column."""
    notes: tuple[Note, ...] = ()

    @property
    def total_done(self) -> int:
        """The number of done experiments, or values of the axes in `over`."""
        return int(self.done.sum())

    @property
    def total(self) -> int:
        """The number in the newest grid."""
        return int(self.expected.sum()) + self.lost

    @property
    def is_complete(self) -> bool:
        """Return whether everything that the newest grid has is done."""
        return self.total_done == self.total

    @property
    def summary(self) -> str:
        """Return the line `45 of 50 done`."""
        what = f" (each value of {', '.join(self.over)} counts once)" if self.over else ""
        return f"{self.total_done:,} of {self.total:,} done{what}"

    @property
    def frame(self) -> pd.DataFrame:
        """
        One row per cell: the axes, done, expected, and a column with the experiments of each kind of gap.

        An axis with the name of another column is `param.NAME`.
        """
        import pandas as pd

        heads = [*self._axis_columns(), "done", "expected", *self.counts]
        return pd.DataFrame.from_records(list(self._records()), columns=heads)

    def _records(self) -> Iterator[dict[str, Any]]:
        """Yield the cells that the grid has."""
        counts = {"done": self.done, "expected": self.expected, **self.counts}
        for row, column in np.argwhere(self.expected > 0).tolist():
            labels = zip(self._axis_columns(), (*self.rows[row], *self.columns[column]), strict=True)
            yield {**dict(labels), **{name: int(found[row, column]) for name, found in counts.items()}}

    def _axis_columns(self) -> list[str]:
        return axis_columns((*self.row_axes, *self.column_axes), ("done", "expected", *KINDS))

    def data(self) -> dict[str, Any]:
        """Return this as JSON data."""
        return {
            "studies": list(self.studies),
            "rows": list(self.row_axes),
            "columns": list(self.column_axes),
            "over": list(self.over),
            "done": self.total_done,
            "expected": self.total,
            "cells": list(self._records()),
            "gaps": [
                {
                    "kind": gap.kind,
                    "count": gap.count,
                    "text": gap.text,
                    "cells": [list(self.labels(cell)) for cell in gap.cells],
                    "commands": list(gap.commands),
                }
                for gap in self.gaps
            ],
            "notes": [{"kind": note.kind, "text": note.text, "command": note.command} for note in self.notes],
        }

    def labels(self, cell: int) -> Key:
        """Return the labels of a cell's row and column."""
        row, column = divmod(cell, len(self.columns))
        return (*self.rows[row], *self.columns[column])

    def listed(self, cells: Sequence[int]) -> str:
        """Return some cells in words: whole rows or columns by their labels, otherwise the first three cells."""
        names = self._whole(cells) or [" / ".join(self.labels(cell)) for cell in cells]
        return listed(names, _SHOWN)

    def _whole(self, cells: Sequence[int]) -> list[str]:
        """Return the labels of rows or columns that consist of exactly these cells; otherwise nothing."""
        asked = np.zeros(self.expected.shape, dtype=bool)
        asked.flat[list(cells)] = True
        has = self.expected > 0
        for axis, keys in ((0, self.columns), (1, self.rows)):
            some = np.flatnonzero(asked.any(axis=axis)).tolist()
            is_whole = bool((asked | ~has).take(some, axis=1 - axis).all()) and self.expected.shape[axis] > 1
            if is_whole and len(some) < len(keys):
                return [" / ".join(keys[place]) for place in some]
        return ["all cells"] if (asked == has).all() and has.sum() > 1 else []

    def sentence(self, gap: Gap) -> str:
        """Return a gap in words, with its cells."""
        is_in_cells = bool(gap.cells) and any(self.labels(gap.cells[0]))
        return f"{gap.text} in {self.listed(gap.cells)}" if is_in_cells else gap.text

    def lines(self, width: int = WIDTH) -> Iterator[StyledLine]:
        """Yield the table, the gaps by reason with their commands, and the notes."""
        if self.row_axes or self.column_axes:
            yield from text_layout.table(self.row_axes, self.rows, self._heads(), self._cells(), width)
            yield ()
        yield text_layout.line(self.summary, "" if self.is_complete else "bold")
        for place, gap in enumerate(self.gaps):
            yield from text_layout.wrapped(self.sentence(gap), width, "  ")
            if gap.commands not in [later.commands for later in self.gaps[place + 1 : place + 2]]:
                yield from (text_layout.line(f"    {command}", "cyan") for command in gap.commands)
        for note in self.notes:
            yield from text_layout.wrapped(note.text, width, "  ", "dim")
            if note.command:
                yield text_layout.line(f"    {note.command}", "cyan")

    def figure(self) -> Picture:
        """Return a matplotlib figure: a heat map of the share that is done, with the counts."""
        from qexp.analysis.coverage.export import coverage_figure

        return coverage_figure(self)

    def _heads(self) -> list[str]:
        return [" / ".join(key) or "done" for key in self.columns]

    def _cells(self) -> list[list[StyledText]]:
        return [[self._piece(row, column) for column in range(len(self.columns))] for row in range(len(self.rows))]

    def _piece(self, row: int, column: int) -> StyledText:
        done, expected = int(self.done[row, column]), int(self.expected[row, column])
        if not expected:
            return StyledText("·", "dim")
        return StyledText(
            f"{done}/{expected}", "green" if done == expected else "bold red" if not done else "bold yellow"
        )

    def __repr__(self) -> str:
        return text_layout.plain(self.lines())

    def _repr_html_(self) -> str:
        rows = [[*key, *(piece.text for piece in cells)] for key, cells in zip(self.rows, self._cells(), strict=True)]
        shades = {"green": "#e3f4e3", "bold yellow": "#fff2c9", "bold red": "#fbdcd6", "dim": ""}
        colors = [[*[""] * len(self.row_axes), *(shades[piece.style] for piece in cells)] for cells in self._cells()]
        texts = [self.summary]
        texts += [": ".join([self.sentence(gap), *gap.commands]) for gap in self.gaps]
        texts += [f"{note.text}: {note.command}" if note.command else note.text for note in self.notes]
        table = html_elements.table([*self.row_axes, *self._heads()], rows, shades=colors)
        return html_elements.join(table, [html_elements.tag("p", text) for text in texts])
