"""Print the table of `qexp table` in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from qexp.analysis.table.model import Cell, Key, Note, Table
from qexp.analysis.writers.labels import Span, column_labels, number, row_labels, shown, spans, stub_heads
from qexp.cli.output import console
from qexp.cli.terminal_writer import printable
from qexp.truncation import listed

_GAP = 2
_NARROWEST = 4
"""The smallest width of a cut row label."""
_NAMED = 6
"""The most hidden columns that are named below a table."""
_RAISED = dict(zip("abcdefghijklmnoprstuvwxyz0123456789", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True))


def show_summary(table: Table) -> None:
    """Print a table; a command stays on one line, so that it can be copied."""
    console().print(summary_table(table), soft_wrap=True)


def summary_table(table: Table) -> RenderableType:
    """
    Return a table with its notes below.

    If it is wider than the screen, its last columns are hidden and named below. Numbers are never cut; row labels are
    cut if otherwise no column fits. Print it with soft_wrap=True, as `show_summary` does.
    """
    width, keys = console().width, column_labels(table)
    columns = [_TextColumn.of(table, index, key[-1]) for index, key in enumerate(keys)]
    stubs = _stub_widths(table, columns, width)
    kept = _fitting(columns, width - sum(stubs) - _GAP * len(stubs))
    lines = [*_head(table, keys[:kept], stubs, columns[:kept]), *_rows(table, stubs, columns[:kept])]
    notes = [line for note in table.notes for line in _note_lines(note, width)]
    hidden = list(_hidden(keys, kept, width))
    return Group(*lines, *([Text()] if notes or hidden else []), *hidden, *notes)


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
            cell_len(head),
        )

    @property
    def number(self) -> int:
        return max(map(cell_len, self.numbers), default=0)

    @property
    def suffix(self) -> int:
        return max(map(cell_len, self.suffixes), default=0)

    @property
    def width(self) -> int:
        return max(self.head, self.number + self.suffix)

    def cell(self, row: int, bold: bool) -> Text:
        """Return a cell: the number, aligned to the right, and its suffix."""
        text = Text(" " * (self.width - self.suffix - cell_len(self.numbers[row])))
        text.append(self.numbers[row], style="bold" if bold else "")
        return text.append(_left(self.suffixes[row], self.suffix))


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
    widths = [max([cell_len(head), *(cell_len(key[index]) for key in keys)]) for index, head in enumerate(heads)]
    first = columns[0].width if columns else 0
    while widths and sum(widths) + _GAP * len(widths) + first > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _fitting(columns: Sequence[_TextColumn], room: int) -> int:
    """Return how many columns have room, at least one."""
    for count, column in enumerate(columns):
        room -= column.width + _GAP * (count > 0)
        if room < 0:
            return max(1, count)
    return len(columns)


def _head(table: Table, keys: Sequence[Key], stubs: Sequence[int], columns: Sequence[_TextColumn]) -> Iterator[Text]:
    last = max(1, len(table.column_axes)) - 1
    blank = [" " * width for width in stubs]
    for level in range(last):
        yield _line([*blank, *(_group(span, columns) for span in spans(keys, level))])
    names = [_left(name, width) for name, width in zip(stub_heads(table), stubs, strict=True)]
    heads = [_right(key[last], column) for key, column in zip(keys, columns, strict=True)]
    yield _line([*names, *heads])
    yield Text("─" * (sum(stubs) + sum(c.width for c in columns) + _GAP * (len(stubs) + len(columns) - 1)), style="dim")


def _group(span: Span, columns: Sequence[_TextColumn]) -> str:
    """Return the label of a group, between lines as wide as its columns."""
    inside = columns[span.start : span.start + span.size]
    width = sum(column.width for column in inside) + _GAP * (span.size - 1)
    label = f" {_cut(span.label, width - 2)} " if width > 4 else _cut(span.label, width)
    spare = width - cell_len(label)
    return "─" * (spare // 2) + label + "─" * (spare - spare // 2)


def _right(head: str, column: _TextColumn) -> str:
    """Return a heading above the numbers of its column, not above their suffixes."""
    spare = max(0, column.width - column.suffix - cell_len(head))
    return _left(" " * spare + head, column.width)


def _rows(table: Table, stubs: Sequence[int], columns: Sequence[_TextColumn]) -> Iterator[Text]:
    keys = row_labels(table)
    for index, key in enumerate(keys):
        repeated = _repeated(keys, index)
        labels = [
            _left("" if level < repeated else label, width)
            for level, (label, width) in enumerate(zip(key, stubs, strict=True))
        ]
        cells = table.cells[index]
        bold = [(cell := cells[place]) is not None and cell.bold for place in range(len(columns))]
        numbers = [column.cell(index, is_bold) for column, is_bold in zip(columns, bold, strict=True)]
        yield _line([*labels, *numbers], style="")


def _repeated(keys: Sequence[Key], index: int) -> int:
    """Return how many first labels a row shares with the row above."""
    if index == 0:
        return 0
    same = [one == other for one, other in zip(keys[index], keys[index - 1], strict=True)]
    return same.index(False) if False in same else len(same)


def _line(parts: Sequence[str | Text], style: str = "bold") -> Text:
    line = Text(" " * _GAP).join(part if isinstance(part, Text) else Text(part, style=style) for part in parts)
    line.rstrip()
    line.no_wrap, line.overflow = True, "ignore"
    return line


def _left(text: str, width: int) -> str:
    text = _cut(text, width)
    return text + " " * (width - cell_len(text))


def _cut(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) >= width:
        text = text[:-1]
    return f"{text}…"


def _hidden(keys: Sequence[Key], kept: int, width: int) -> Iterator[Text]:
    names = [" / ".join(key) for key in keys[kept:]]
    if names:
        text = f"not shown: {listed(names, _NAMED)}; widen the window, or --format csv"
        yield from _wrapped(text, width, "", "yellow")


def _note_lines(note: Note, width: int) -> Iterator[Text]:
    mark = f"{raised([note.mark])} " if note.mark else ""
    yield from _wrapped(mark + shown(note.text), width, " " * cell_len(mark))
    if note.advice:
        yield from _wrapped(f"    {shown(note.advice)}", width, "    ")
    if note.command:
        yield _unwrapped(f"    {shown(note.command)}")


def _wrapped(text: str, width: int, indent: str, style: str = "") -> Iterator[Text]:
    room = max(20, width)
    lines = textwrap.wrap(text, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    for line in lines:
        yield _unwrapped(line, style)


def _unwrapped(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ignore")
