"""Lay out small tables and sentences as lines of styled text, for terminals and `repr`."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qexp.truncation import listed

WIDTH = 80
"""Characters of a line without a terminal."""
_GAP = "  "
_NARROWEST = 12
"""The fewest characters of a cut label."""
_NAMED = 6
"""The most columns that are named if there is no room for them."""


@dataclass(frozen=True)
class StyledText:
    """A part of a line in one style, such as `bold`, `dim` or `yellow`."""

    text: str
    style: str = ""


StyledLine = tuple[StyledText, ...]


def plain(lines: Iterable[StyledLine]) -> str:
    """Return lines as text without styles."""
    return "\n".join("".join(piece.text for piece in line).rstrip() for line in lines)


def line(text: str, style: str = "") -> StyledLine:
    """Return one line that is never wrapped, such as a command."""
    return (StyledText(text, style),)


def joined(parts: Iterable[StyledLine]) -> StyledLine:
    """Return parts as one line, with a gap between two of them."""
    return tuple(piece for place, part in enumerate(parts) for piece in ((StyledText(_GAP), *part) if place else part))


def wrapped(text: str, width: int, indent: str = "", style: str = "") -> Iterator[StyledLine]:
    """Yield a sentence as lines; *indent* is before each line but the first."""
    for part in textwrap.wrap(
        text, max(20, width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ):
        yield line(part, style)


def width_of(text: str) -> int:
    """
    Return the columns that a text takes on a terminal.

    >>> width_of("abc"), width_of("数据"), width_of("e\u0301")
    (3, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut(text: str, width: int) -> str:
    """
    Return text of at most *width* columns; longer text ends in an ellipsis.

    >>> cut("resnet50", 7), cut("数据集", 4)
    ('resnet…', '数…')
    """
    if width_of(text) <= width:
        return text
    while text and width_of(text) >= width:
        text = text[:-1]
    return f"{text}…"


def padded(text: str, width: int, right: bool = False) -> str:
    """Return text that is cut or filled with spaces to *width* columns."""
    text = cut(text, width)
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def table(
    heads: Sequence[str],
    labels: Sequence[Sequence[str]],
    columns: Sequence[str],
    cells: Sequence[Sequence[StyledText]],
    width: int = WIDTH,
) -> Iterator[StyledLine]:
    """
    Yield the lines of a table: labels under *heads* at the left of each row, then right-aligned cells.

    If it is wider than *width*, long labels are cut to no less than 12 characters. If that is not enough, the last
    columns are left out and named in a line below. Cells are never cut.
    """
    stubs = [max(map(width_of, [head, *(row[at] for row in labels)])) for at, head in enumerate(heads)]
    widths = [max(map(width_of, [name, *(row[at].text for row in cells)])) for at, name in enumerate(columns)]
    stubs = _narrowed(stubs, width, sum(len(_GAP) + one for one in widths))
    kept = _fitting(widths, width - sum(stubs) - len(_GAP) * (len(stubs) - 1))
    shown = widths[:kept]
    yield _row(heads, stubs, [StyledText(name, "bold") for name in columns[:kept]], shown, "bold")
    yield line("─" * (sum(stubs) + sum(shown) + len(_GAP) * (len(stubs) + kept - 1)), "dim")
    for row, (names, some) in enumerate(zip(labels, cells, strict=True)):
        yield _row(_unrepeated(names, labels[row - 1] if row else ()), stubs, some[:kept], shown)
    if kept < len(columns):
        names_left = listed(columns[kept:], _NAMED)
        yield from wrapped(f"not shown: {names_left}; widen the window, or --format json", width, style="yellow")


def _narrowed(stubs: Sequence[int], width: int, cells: int) -> list[int]:
    """Return widths of labels that leave room for all cells; if that is impossible, labels take half the line."""
    for room in (width - cells, width // 2):
        made = list(stubs)
        while made and sum(made) + len(_GAP) * (len(made) - 1) > room and max(made) > _NARROWEST:
            made[made.index(max(made))] -= 1
        if sum(made) + len(_GAP) * (len(made) - 1) <= room:
            break
    return made


def _fitting(widths: Sequence[int], room: int) -> int:
    """Return how many columns have room, at least one."""
    for count, one in enumerate(widths):
        room -= one + len(_GAP)
        if room < 0:
            return max(1, count)
    return len(widths)


def _row(
    names: Sequence[str], stubs: Sequence[int], cells: Sequence[StyledText], widths: Sequence[int], style: str = ""
) -> StyledLine:
    labels = [line(padded(name, width), style) for name, width in zip(names, stubs, strict=True)]
    numbers = [
        line(padded(cell.text, width, right=True), cell.style) for cell, width in zip(cells, widths, strict=True)
    ]
    return joined([*labels, *numbers])


def _unrepeated(names: Sequence[str], above: Sequence[str]) -> list[str]:
    """Return labels; a label is empty if it and all labels before it repeat the row above."""
    made, same = [], bool(above)
    for place, name in enumerate(names):
        same = same and name == above[place] and place < len(names) - 1
        made.append("" if same else name)
    return made
