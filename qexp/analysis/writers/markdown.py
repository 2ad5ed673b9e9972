"""A table as Markdown: a pipe table with its notes below, as GitHub and Jupyter read it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qexp.analysis.table.model import Cell, Note, Table
from qexp.analysis.text_layout import width_of
from qexp.analysis.writers.labels import column_labels, number, row_labels, sentence, shown, stub_heads

_SPECIAL = re.compile(r"[\\`*_#|~$@]|\](?=[(\[])|:(?=[\w+-]+:)")
"""Characters that mark up text, links and, on GitHub, formulas, issues, people and emoji."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_COMMENT_END = re.compile(r"(--!?)>")


def to_markdown(table: Table) -> str:
    """
    Return a table as Markdown.

    The columns of several axes have one heading: `digits / accuracy`. Every row has all of its labels. The provenance
    is a comment, which readers of the rendered page do not see.
    """
    parts = [_provenance(table.provenance), _grid(table), "\n".join(map(_note, table.notes))]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    r"""
    Return text that Markdown shows as it is.

    >>> escaped("a_b | <i>")
    'a\\_b \\| &lt;i&gt;'
    """
    text = re.sub(r"[&<>]", lambda match: _ENTITIES[match[0]], shown(text))
    return _SPECIAL.sub(lambda match: rf"\{match[0]}", text)


def _provenance(lines: Sequence[str]) -> str:
    safe = [_COMMENT_END.sub(r"\1&gt;", shown(line)) for line in lines]
    return "\n".join(["<!--", *safe, "-->"]) if safe else ""


def _grid(table: Table) -> str:
    head = [*map(escaped, stub_heads(table)), *(escaped(" / ".join(key)) for key in column_labels(table))]
    rows = [
        [*map(escaped, labels), *map(_cell, cells)]
        for labels, cells in zip(row_labels(table), table.cells, strict=True)
    ]
    widths = [max(3, *map(width_of, column)) for column in zip(head, *rows, strict=True)]
    stubs = len(table.row_axes)
    rule = [":" + "-" * (width - 1) if index < stubs else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    return "\n".join(_line(cells, widths, stubs) for cells in (head, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int], stubs: int) -> str:
    padded = []
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - width_of(cell))
        padded.append(cell + space if index < stubs else space + cell)
    return f"| {' | '.join(padded)} |"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    text = escaped(number(cell))
    count = f" {escaped(cell.count_text)}" if cell.count_text else ""
    return (f"**{text}**" if cell.bold else text) + count + _superscript(*cell.marks)


def _superscript(*marks: str) -> str:
    return f"<sup>{','.join(map(escaped, marks))}</sup>" if any(marks) else ""


def _note(note: Note) -> str:
    mark = f"{_superscript(note.mark)} " if note.mark else ""
    command = f"<br>\n  {_code(note.command)}" if note.command else ""
    return f"- {mark}{escaped(sentence(note))}{command}"


def _code(text: str) -> str:
    """Return text as code: between more backticks than it has in a row."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{shown(text)}{space}{fence}"
