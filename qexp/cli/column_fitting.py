"""Fit the columns of a table into a width: whole columns are left out, and no number is cut in half."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from qexp.cli.output import Heading
from qexp.cli.terminal_writer import printable

GAP = 2
"""Spaces between two columns."""
_TEXT = 12
"""The fewest characters of a column of texts that are longer."""
_DISTINCT, _DISTINCT_WIDTH = 100, 40
"""Up to so many texts stay distinct when they are cut, if so many characters are enough."""
_HEADING = 20
"""Characters of a heading that are never cut, since headings of nested results have the same beginning."""
_IN_NUMBER = re.compile(r"[\w.+-]+")
_NUMBER = re.compile(r"-?[\d.]+(e[+-]?\d+)?%?")


@dataclass(frozen=True)
class TableColumn:
    """A column that may be left out or, if it holds text, cut."""

    label: str
    cells: Sequence[str | Text]
    rank: float
    """If there is no room for all columns, those of the lowest ranks are shown."""
    right: bool = False
    cut: bool = False
    """Its cells may end in an ellipsis; numbers may not."""
    least: int = _TEXT
    """The fewest characters of the cells if they are cut."""

    @property
    def natural(self) -> int:
        """The width that shows everything."""
        return max([cell_len(printable(self.label)), *map(_width, self.cells)])

    @property
    def narrowest(self) -> int:
        """The smallest width with which the column is shown."""
        heading = min(cell_len(printable(self.label)), _HEADING)
        if not self.cut:
            return max([heading, *map(_width, self.cells)])
        texts = {str(cell) for cell in self.cells}
        numbers = [_width(text) for text in texts if _NUMBER.fullmatch(text)]
        least = min(self.natural, max([self.least, heading, *numbers]))
        if len(texts) > _DISTINCT:
            return least
        widths = range(least, min(self.natural, _DISTINCT_WIDTH) + 1)
        return next((width for width in widths if _are_distinct(texts, width)), least)

    def fitted(self, width: int) -> tuple[Heading, list[str | Text]]:
        """Return the heading and the cells, cut to a width."""
        cells = [shortened_cell(cell, width) if isinstance(cell, str) else cell for cell in self.cells]
        label = printable(self.label)
        heading = label if cell_len(label) <= width else f"{set_cell_size(label, width - 1)}…"
        return Heading(heading, self.right), cells


def fitting(columns: Sequence[TableColumn], room: int) -> tuple[list[tuple[TableColumn, int]], list[TableColumn]]:
    """Return the columns that fit with their widths, and the columns that are left out; the first one always fits."""
    if sum(natural := [column.natural for column in columns]) + GAP * (len(columns) - 1) <= room:
        return list(zip(columns, natural, strict=True)), []
    shown: set[int] = set()
    used = -GAP
    for index, column in sorted(enumerate(columns), key=lambda item: item[1].rank):
        if not shown or used + GAP + column.narrowest <= room:
            shown.add(index)
            used += GAP + column.narrowest
    kept = [column for index, column in enumerate(columns) if index in shown]
    hidden = [column for index, column in enumerate(columns) if index not in shown]
    return list(zip(kept, _widths(kept, room - GAP * (len(kept) - 1)), strict=True)), hidden


def _widths(columns: Sequence[TableColumn], room: int) -> list[int]:
    """Share the room: the narrowest of the cut columns becomes wider first."""
    natural = [column.natural for column in columns]
    widths = [column.narrowest for column in columns]
    spare = room - sum(widths)
    while spare > 0 and (lacking := [index for index, width in enumerate(widths) if width < natural[index]]):
        widths[min(lacking, key=widths.__getitem__)] += 1
        spare -= 1
    return widths


def shortened_cell(text: str, width: int) -> str:
    """
    Return text for a cell of some width. Longer text ends in an ellipsis, before a number that does not fit.

    >>> shortened_cell("[64, 32, 128]", 11), shortened_cell("resnet50_pretrained", 8)
    ('[64, 32, …', 'resnet…')
    """
    text = printable(text)
    if cell_len(text) <= width:
        return text
    kept = set_cell_size(text, width - 1).rstrip()
    for word in _IN_NUMBER.finditer(text):
        if word.start() < len(kept) < word.end():
            digits = re.search(r"[-+]?[\d.]*(\d[eE][+-]?\d*)?$", kept)
            kept = kept[: digits.start()] if digits and digits[0] and text[len(kept)] in "0123456789.eE" else kept
    return f"{kept}…"


def _are_distinct(texts: Collection[str], width: int) -> bool:
    return len({shortened_cell(text, width) for text in texts}) == len(texts)


def _width(cell: str | Text) -> int:
    return cell_len(printable(cell)) if isinstance(cell, str) else cell.cell_len
