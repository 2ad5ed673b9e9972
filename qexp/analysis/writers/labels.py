"""Labels, headers and numbers that all writers share."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from qexp.analysis.table.model import Cell, Key, Note, Table
from qexp.escapes import printable

NOTHING = "—"
"""The text of a cell without a result, and of the spread of a single replicate."""


def shown(label: str) -> str:
    r"""
    Return a label as one visible line: characters that are not printable are escaped, an empty label is quoted.

    >>> shown("a\nb"), shown("")
    ('a\\nb', '""')
    """
    return printable(label) if label else '""'


def stub_heads(table: Table) -> list[str]:
    """Return the headings of the row labels: the names of the row axes."""
    return [shown(axis) for axis in table.row_axes]


def row_labels(table: Table) -> list[Key]:
    """Return the labels of each row."""
    return [tuple(map(shown, key)) for key in table.rows]


def column_labels(table: Table) -> list[Key]:
    """
    Return the labels above each column, one per level; without column axes these are the metrics.

    A label that is a number or other JSON tells a reader nothing, so it is shown with its axis: `hidden = 64`.
    """
    if not table.column_axes:
        name = ", ".join(shown(metric.name) for metric in table.metrics)
        return [(name,) for _ in table.columns]
    return [tuple(map(with_axis, table.column_axes, key)) for key in table.columns]


def with_axis(axis: str, label: str) -> str:
    """Return the label of a column; a label that is a number or other JSON gets the name of its axis."""
    return f"{shown(axis)} = {shown(label)}" if not label or is_json(label) else shown(label)


def is_json(text: str) -> bool:
    """Return whether a text is JSON, such as a number."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@dataclass(frozen=True)
class Span:
    """Neighbouring rows or columns under one label."""

    label: str
    start: int
    size: int


def spans(keys: Sequence[Key], level: int) -> list[Span]:
    """Return the neighbours that agree in their labels up to *level*, which counts from 0."""
    runs = itertools.groupby(range(len(keys)), key=lambda index: keys[index][: level + 1])
    found = [(key[level], list(run)) for key, run in runs]
    return [Span(label, run[0], len(run)) for label, run in found]


def sentence(note: Note) -> str:
    """Return the text of a note with its advice: `fold has several values in one cell; choose --average fold`."""
    return f"{note.text}; {note.advice}" if note.advice else note.text


def number(cell: Cell) -> str:
    """Return the statistic of a cell: `0.91 ± 0.02`, `0.91 [0.88, 0.93]` or `0.91`; a dash if it has no replicate."""
    if not cell.text:
        return NOTHING
    spread = f" ± {cell.spread_text}" if cell.spread_text else ""
    quartiles = f" [{', '.join(cell.interval_texts)}]" if cell.interval_texts else ""
    return cell.text + spread + quartiles
