"""Print the table of `qexp table` in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qexp.analysis.column_fitting import end_cut
from qexp.analysis.table.model import Cell, Key, Note, Table
from qexp.analysis.text_layout import StyledLine, StyledText, cut, joined, line, padded, width_of, wrapped
from qexp.analysis.writers.labels import Span, column_labels, number, row_labels, shown, spans, stub_heads
from qexp.cli import output
from qexp.escapes import printable
from qexp.truncation import listed

_GAP = 2
_NARROWEST = 4
"""The smallest width of a cut row label."""
_HEAD = 16
"""The width of long column labels in a table that is wider than the terminal."""
_NAMED = 6
"""The most hidden columns that are named below a table."""
_RAISED = dict(zip("abcdefghijklmnoprstuvwxyz0123456789", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True))


def show_summary(table: Table) -> None:
    """Print a table; a command stays on one line, so that it can be copied."""
    output.show_lines(summary_lines(table, output.console().width))


def summary_lines(table: Table, width: int) -> Iterator[StyledLine]:
    """
    Yield the lines of a table, then those of its notes.

    If it is wider than *width*, long column labels are cut, then its last columns are hidden and named below. Numbers
    are never cut; row labels are cut if otherwise no column fits.
    """
    keys = heads = column_labels(table)
    columns = _columns(table, heads)
    stubs = _stub_widths(table, columns, width)
    if columns and _width(columns, stubs) > width:
        short = end_cut([key[-1] for key in keys], _HEAD)
        heads = [(*key[:-1], head) for key, head in zip(keys, short, strict=True)]
        columns = _columns(table, heads)
        stubs = _stub_widths(table, columns, width)
    kept = _fitting(columns, width, stubs)
    yield from _head(table, heads[:kept], stubs, columns[:kept])
    yield from _rows(table, stubs, columns[:kept])
    hidden = [" / ".join(key) for key in keys[kept:]]
    if table.notes or hidden:
        yield line("")
    if hidden:
        text = f"not shown: {listed(hidden, _NAMED)}; widen the window, or --format csv"
        yield from wrapped(text, width, style="yellow")
    for note in table.notes:
        yield from _note_lines(note, width)


@dataclass(frozen=True)
class _TextColumn:
    """The texts of a column: numbers and their suffixes."""

    numbers: tuple[str, ...]
    suffixes: tuple[str, ...]
    head: int
    """The width of its heading."""

    @classmethod
    def of(cls, table: Table, index: int, head: str) -> _TextColumn:
        cells = [row[index] for row in table.cells]
        return cls(
            tuple("" if cell is None else printable(number(cell)) for cell in cells),
            tuple("" if cell is None else _suffix(cell) for cell in cells),
            width_of(head),
        )

    @property
    def number(self) -> int:
        return max(map(width_of, self.numbers), default=0)

    @property
    def suffix(self) -> int:
        return max(map(width_of, self.suffixes), default=0)

    @property
    def width(self) -> int:
        return max(self.head, self.number + self.suffix)

    def cell(self, row: int, bold: bool) -> StyledLine:
        """Return a cell: the number, aligned to the right, and its suffix."""
        text = padded(self.numbers[row], self.width - self.suffix, right=True)
        return StyledText(text, "bold" if bold else ""), StyledText(padded(self.suffixes[row], self.suffix))


def _suffix(cell: Cell) -> str:
    count = f" {cell.count_text}" if cell.count_text else ""
    return count + raised(cell.marks)


def raised(marks: Sequence[str]) -> str:
    """
    Return marks as superscripts, or in brackets where Unicode has none.

    >>> raised(["a", "b"]), raised(["q"])
    ('ᵃ˒ᵇ', '[q]')
    """
    texts = [printable(mark) for mark in marks if mark]
    if all(character in _RAISED for text in texts for character in text):
        return "˒".join("".join(_RAISED[character] for character in text) for text in texts)
    return f"[{','.join(texts)}]"


def _stub_widths(table: Table, columns: Sequence[_TextColumn], width: int) -> list[int]:
    """Return the widths of the row labels: the widest become narrower until the first column fits."""
    heads, keys = stub_heads(table), row_labels(table)
    widths = [max([width_of(head), *(width_of(key[index]) for key in keys)]) for index, head in enumerate(heads)]
    first = columns[0].width if columns else 0
    while widths and sum(widths) + _GAP * len(widths) + first > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _columns(table: Table, heads: Sequence[Key]) -> list[_TextColumn]:
    return [_TextColumn.of(table, index, head[-1]) for index, head in enumerate(heads)]


def _width(columns: Sequence[_TextColumn], stubs: Sequence[int]) -> int:
    """Return the width of a table."""
    return sum(stubs) + sum(column.width for column in columns) + _GAP * (len(stubs) + len(columns) - 1)


def _fitting(columns: Sequence[_TextColumn], width: int, stubs: Sequence[int]) -> int:
    """Return how many columns fit beside the row labels, at least one."""
    counts = range(len(columns), 1, -1)
    return next((count for count in counts if _width(columns[:count], stubs) <= width), min(1, len(columns)))


def _head(
    table: Table, keys: Sequence[Key], stubs: Sequence[int], columns: Sequence[_TextColumn]
) -> Iterator[StyledLine]:
    last = max(1, len(table.column_axes)) - 1
    blank = [" " * width for width in stubs]
    for level in range(last):
        yield joined([line(text, "bold") for text in [*blank, *(_group(span, columns) for span in spans(keys, level))]])
    names = [padded(name, width) for name, width in zip(stub_heads(table), stubs, strict=True)]
    heads = [_right(key[last], column) for key, column in zip(keys, columns, strict=True)]
    yield joined([line(text, "bold") for text in [*names, *heads]])
    yield line("─" * _width(columns, stubs), "dim")


def _group(span: Span, columns: Sequence[_TextColumn]) -> str:
    """Return the label of a group, between lines as wide as its columns."""
    inside = columns[span.start : span.start + span.size]
    width = sum(column.width for column in inside) + _GAP * (span.size - 1)
    label = f" {cut(span.label, width - 2)} " if width > 4 else cut(span.label, width)
    spare = width - width_of(label)
    return "─" * (spare // 2) + label + "─" * (spare - spare // 2)


def _right(head: str, column: _TextColumn) -> str:
    """Return a heading above the numbers of its column, not above their suffixes."""
    spare = max(0, column.width - column.suffix - width_of(head))
    return padded(" " * spare + head, column.width)


def _rows(table: Table, stubs: Sequence[int], columns: Sequence[_TextColumn]) -> Iterator[StyledLine]:
    keys = row_labels(table)
    levels = [end_cut([key[level] for key in keys], width) for level, width in enumerate(stubs)]
    for index in range(len(keys)):
        repeated = _repeated(keys, index)
        labels = [
            padded("" if level < repeated else texts[index], width)
            for level, (texts, width) in enumerate(zip(levels, stubs, strict=True))
        ]
        cells = table.cells[index]
        bold = [(cell := cells[place]) is not None and cell.bold for place in range(len(columns))]
        numbers = [column.cell(index, is_bold) for column, is_bold in zip(columns, bold, strict=True)]
        yield joined([*map(line, labels), *numbers])


def _repeated(keys: Sequence[Key], index: int) -> int:
    """Return how many first labels a row shares with the row above."""
    if index == 0:
        return 0
    same = [one == other for one, other in zip(keys[index], keys[index - 1], strict=True)]
    return same.index(False) if False in same else len(same)


def _note_lines(note: Note, width: int) -> Iterator[StyledLine]:
    mark = f"{raised([note.mark])} " if note.mark else ""
    yield from wrapped(mark + shown(note.text), width, " " * width_of(mark))
    if note.advice:
        yield from wrapped(f"    {shown(note.advice)}", width, "    ")
    if note.command:
        yield line(f"    {shown(note.command)}")
