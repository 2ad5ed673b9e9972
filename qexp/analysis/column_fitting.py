"""Fit the columns of a table into a width: whole columns are left out, and no number is cut in half."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from qexp.analysis.text_layout import StyledLine, StyledText, cut, joined, line, padded, width_of
from qexp.escapes import printable

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


def shortened_cell(text: str, width: int) -> str:
    """
    Return text for a cell of some width. Longer text ends in an ellipsis, before a number that does not fit.

    >>> shortened_cell("[64, 32, 128]", 11), shortened_cell("resnet50_pretrained", 8)
    ('[64, 32, …', 'resnet…')
    """
    text = printable(text)
    if width_of(text) <= width:
        return text
    kept = cut(text, width)[:-1].rstrip()
    for word in _IN_NUMBER.finditer(text):
        if word.start() < len(kept) < word.end():
            digits = re.search(r"[-+]?[\d.]*(\d[eE][+-]?\d*)?$", kept)
            kept = kept[: digits.start()] if digits and digits[0] and text[len(kept)] in "0123456789.eE" else kept
    return f"{kept}…"


def end_cut(texts: Sequence[str], width: int) -> list[str]:
    """
    Shorten texts to a width by their end, as `shortened_cell` does, or by their beginning if texts would become equal.

    >>> end_cut(["checkpoint_epoch_010.pt", "checkpoint_epoch_020.pt", "none"], 12)
    ['…poch_010.pt', '…poch_020.pt', 'none']
    """
    texts = [printable(text) for text in texts]
    made = [[shortened_cell(text, width) for text in texts]]
    if len(set(made[0])) < len(set(texts)):
        made.append(_without_beginning(texts, width))
    return max(made, key=lambda cells: len(set(cells)))  # the first of those with the most different texts


def _without_beginning(texts: Sequence[str], width: int) -> list[str]:
    """Leave out the beginning that long texts share, as far as the width demands, but no part of a number."""
    long = [text for text in texts if width_of(text) > width]
    shared = len(os.path.commonprefix(long))  # noqa: RUF071 - of characters
    begin = next((place for place in range(shared) if all(width_of(text[place:]) < width for text in long)), shared)
    while begin > 0 and long[0][begin - 1 : begin + 1].strip("0123456789.") == "":
        begin -= 1
    left_out = "…" if begin else ""
    return [shortened_cell(left_out + text[begin:] if width_of(text) > width else text, width) for text in texts]


def middle_cut(names: Sequence[str], width: int) -> list[str]:
    """
    Shorten names to a width: by their middle, or by another part if names would become equal.

    >>> middle_cut(["lenet_cifar10_lr_big", "lenet"], 12)
    ['lenet_…r_big', 'lenet']
    >>> middle_cut(["lenet_a_long_small_end", "lenet_b_long_small_end"], 12)
    ['lenet_a_…end', 'lenet_b_…end']
    """
    cuts: list[Callable[[str], str]] = [
        _without_part(width, begin) for begin in (width // 2, width // 3, width * 2 // 3, width - 1, 0)
    ]
    made = [[name if len(name) <= width else without(name) for name in names] for without in cuts]
    return max(made, key=lambda texts: len(set(texts)))  # the first of those with the most different names


def _without_part(width: int, begin: int) -> Callable[[str], str]:
    """Return a function that keeps *begin* characters at the start, and the rest of the width at the end."""
    end = width - 1 - begin
    return lambda name: f"{name[:begin]}…{name[len(name) - end :]}"


@dataclass(frozen=True)
class TableColumn:
    """A column that may be left out or, if it holds text, cut."""

    label: str
    cells: Sequence[str | StyledText]
    rank: float = 0
    """If there is no room for all columns, those of the lowest ranks are shown, and of equal ranks the first ones."""
    right: bool = False
    """Aligned to the right, as numbers are."""
    cut: bool = False
    """Its cells may end in an ellipsis; numbers may not."""
    least: int = _TEXT
    """The fewest characters of the cells if they are cut."""
    shorten: Callable[[Sequence[str], int], list[str]] = end_cut
    """Shortens all cells to a width."""

    @cached_property
    def heading(self) -> str:
        """The label in visible characters."""
        return printable(self.label)

    @cached_property
    def texts(self) -> list[str]:
        """The cells in visible characters."""
        return [printable(cell if isinstance(cell, str) else cell.text) for cell in self.cells]

    @cached_property
    def natural(self) -> int:
        """The width that shows everything."""
        return max(map(width_of, [self.heading, *self.texts]))

    @cached_property
    def narrowest(self) -> int:
        """The smallest width with which the column is shown."""
        heading = min(width_of(self.heading), _HEADING)
        if not self.cut:
            return max([heading, *map(width_of, self.texts)])
        texts = [*dict.fromkeys(self.texts)]
        numbers = [width_of(text) for text in texts if _NUMBER.fullmatch(text)]
        least = min(self.natural, max([self.least, heading, *numbers]))
        if len(texts) > _DISTINCT:
            return least
        widths = range(least, min(self.natural, _DISTINCT_WIDTH) + 1)
        return next((width for width in widths if len(set(self.shorten(texts, width))) == len(texts)), least)

    def fitted(self, width: int) -> list[StyledText]:
        """Return the heading and the cells, cut or filled to a width."""
        texts = self.shorten(self.texts, width) if self.cut else self.texts
        styles = ["" if isinstance(cell, str) else cell.style for cell in self.cells]
        return [
            StyledText(padded(text, width, self.right), style)
            for text, style in zip([self.heading, *texts], ["bold", *styles], strict=True)
        ]


def table_lines(columns: Sequence[TableColumn], width: int) -> tuple[list[StyledLine], list[str]]:
    """Return the lines of a table that fits into a width, and the headings of the columns that are left out."""
    shown, hidden = fitting(columns, width)
    rows = [
        joined([(cell,) for cell in row]) for row in zip(*(column.fitted(room) for column, room in shown), strict=True)
    ]
    rule = line("─" * (sum(room for _, room in shown) + GAP * (len(shown) - 1)))
    return [*rows[:1], rule, *rows[1:]], [column.heading for column in hidden if column.heading]


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
