"""A list that shows itself as a table: as HTML in a notebook, otherwise as text."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import ClassVar, Self, SupportsIndex, TypeVar, overload

from qexp.analysis.column_fitting import TableColumn, table_lines
from qexp.analysis.html_elements import Html, join, tag
from qexp.analysis.text_layout import plain, wrapped
from qexp.escapes import printable
from qexp.truncation import listed, shortened

T = TypeVar("T")

_SIZE = (120, 24)
"""Columns and lines without a terminal, as in a notebook."""
_NAMED = 12
"""The most hidden columns that are named below a table."""
_LONGEST = 200
"""The most characters of a cell in HTML."""


class Listing(list[T]):
    """A list that shows itself as a table with its first rows. Slices are listings too."""

    empty: ClassVar[str] = "nothing"
    """The text of an empty list."""
    most: ClassVar[int] = 30
    """The most rows that are shown."""
    shows_last: ClassVar[bool] = False
    """The last rows are shown instead of the first ones."""

    def columns(self, shown: Sequence[T]) -> list[TableColumn]:
        """Return the columns for some of the items."""
        raise NotImplementedError

    def notes(self) -> list[str]:
        """Return lines below the table."""
        return []

    def text_if_empty(self) -> str:
        """Return the text of this list while it is empty."""
        return self.empty

    def shown(self) -> Self:
        """Return the items whose rows are shown."""
        return self[-self.most :] if self.shows_last else self[: self.most]

    def _shown(self) -> tuple[list[TableColumn], list[str]]:
        rest = len(self) - self.most
        left_out = [f"and {rest:,} {'earlier ones' if self.shows_last else 'more'}"] if rest > 0 else []
        return self.columns(self.shown()), [*left_out, *self.notes()]

    def __repr__(self) -> str:
        if not self:
            return self.text_if_empty()
        columns, notes = self._shown()
        return "\n".join([*text_lines(columns, shutil.get_terminal_size(_SIZE).columns), *map(printable, notes)])

    def _repr_html_(self) -> str:
        if not self:
            return tag("p", self.text_if_empty())
        columns, notes = self._shown()
        return join(html_table(columns), [tag("p", note) for note in notes])

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | Self:
        return self._part(super().__getitem__(index)) if isinstance(index, slice) else super().__getitem__(index)

    def _part(self, items: list[T]) -> Self:
        """Return a listing of some of the items."""
        return type(self)(items)


def text_lines(columns: Sequence[TableColumn], width: int) -> list[str]:
    """Return a table as lines that fit into *width*; columns that are left out are named below."""
    lines, hidden = table_lines(columns, width)
    names = wrapped(f"not shown: {listed(hidden, _NAMED)}", width) if hidden else ()
    return plain([*lines, *names]).split("\n")


def html_table(columns: Sequence[TableColumn]) -> Html:
    """Return a table as HTML. Text is escaped, and long cells are cut."""
    styles = [f"text-align:{'right' if column.right else 'left'};vertical-align:top" for column in columns]
    heads = [tag("th", column.heading, style=style) for column, style in zip(columns, styles, strict=True)]
    rows = [
        tag(
            "tr", [tag("td", shortened(text, _LONGEST), style=style) for text, style in zip(cells, styles, strict=True)]
        )
        for cells in zip(*(column.texts for column in columns), strict=True)
    ]
    return tag("table", tag("thead", tag("tr", heads)), tag("tbody", [tag("tr", row) for row in rows]))
