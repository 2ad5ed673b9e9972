"""A list that shows itself as a table: as HTML in a notebook, otherwise as text."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, SupportsIndex, TypeVar, overload

from qexp.analysis.html_elements import Html, join, tag
from qexp.analysis.text_layout import padded, width_of
from qexp.escapes import printable
from qexp.truncation import listed, shortened

T = TypeVar("T")

_GAP = "  "
_SIZE = (120, 24)
"""Columns and lines without a terminal, as in a notebook."""
_NARROWEST = 8
"""The fewest characters of a cut column."""
_NAMED = 12
"""The most hidden columns that are named below a table."""
_LONGEST = 200
"""The most characters of a cell in HTML."""


@dataclass(frozen=True)
class ListColumn:
    """A column of a listing: its heading and its cells."""

    head: str
    cells: Sequence[str]
    right: bool = False
    """Aligned to the right, as numbers are."""
    cut: bool = False
    """In a narrow terminal, cells end in an ellipsis."""
    optional: bool = False
    """In a narrow terminal, the column is left out and named below the table."""


class Listing(list[T]):
    """A list that shows itself as a table with its first rows. Slices are listings too."""

    empty: ClassVar[str] = "nothing"
    """The text of an empty list."""
    most: ClassVar[int] = 30
    """The most rows that are shown."""
    shows_last: ClassVar[bool] = False
    """The last rows are shown instead of the first ones."""

    def columns(self, shown: Sequence[T]) -> list[ListColumn]:
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

    def _shown(self) -> tuple[list[ListColumn], list[str]]:
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


def text_lines(columns: Sequence[ListColumn], width: int) -> list[str]:
    """
    Return a table as lines that fit into *width* if possible.

    The widest columns that may be cut become narrower. If that is not enough, the last optional ones are left out and
    named below.
    """
    kept, hidden = list(columns), list[str]()
    while (widths := _widths(kept, width)) is None:
        last = max((at for at, column in enumerate(kept) if column.optional), default=None)
        if last is None:
            widths = [max(_width(column), 1) for column in kept]
            break
        hidden.insert(0, kept.pop(last).head)
    lines = _lines(kept, widths)
    return [*lines, f"not shown: {listed([printable(name) for name in hidden], _NAMED)}"] if hidden else lines


def _widths(columns: Sequence[ListColumn], room: int) -> list[int] | None:
    """Return the widths of columns that fit into a room. Returns None if they do not fit."""
    widths = [_width(column) for column in columns]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > room:
        cut = [at for at, column in enumerate(columns) if column.cut and widths[at] > _NARROWEST]
        if not cut:
            return None
        widths[max(cut, key=lambda at: widths[at])] -= 1
    return widths


def _width(column: ListColumn) -> int:
    return max(width_of(printable(text)) for text in [column.head, *column.cells])


def _lines(columns: Sequence[ListColumn], widths: Sequence[int]) -> list[str]:
    texts = [[printable(text) for text in [column.head, *column.cells]] for column in columns]
    rows = []
    for cells in zip(*texts, strict=True):
        placed = [padded(text, room, column.right) for text, room, column in zip(cells, widths, columns, strict=True)]
        rows.append(_GAP.join(placed).rstrip())
    return [rows[0], "─" * (sum(widths) + len(_GAP) * (len(widths) - 1)), *rows[1:]]


def html_table(columns: Sequence[ListColumn]) -> Html:
    """Return a table as HTML. Text is escaped, and long cells are cut."""
    styles = [f"text-align:{'right' if column.right else 'left'};vertical-align:top" for column in columns]
    heads = [tag("th", column.head, style=style) for column, style in zip(columns, styles, strict=True)]
    rows = [
        tag(
            "tr", [tag("td", shortened(text, _LONGEST), style=style) for text, style in zip(cells, styles, strict=True)]
        )
        for cells in zip(*(column.cells for column in columns), strict=True)
    ]
    return tag("table", tag("thead", tag("tr", heads)), tag("tbody", [tag("tr", row) for row in rows]))
