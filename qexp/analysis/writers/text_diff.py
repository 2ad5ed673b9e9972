"""Describe how a table's file differs from the current table, on one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from qexp.analysis.table.model import Table
from qexp.analysis.writers.labels import column_labels, row_labels
from qexp.model import counted
from qexp.truncation import shortened, single_line

Rows = list[list[str]]
"""The rows of a table's body as texts: the labels of each row, then its cells."""
_SHOWN = 3
_WIDTH = 60
_LEAD = 40
"""Characters of a line before the first one that differs."""


def difference(old: str, new: str, form: str, table: Table) -> str:
    """
    Return the changed cells of a table if only cells of LaTeX differ, otherwise the first changed line.

    *new* is the text of *table* in the format *form*.
    """
    cells = _changed_cells(_tex_rows(old), _tex_rows(new), table) if form == "tex" else []
    return _cells(cells) if cells else first_line(old, new)


def macro_difference(old: str, new: str) -> str:
    """Return the changed macros of two files of macros, or the first changed line."""
    before, after = _macros(old), _macros(new)
    cells = [
        (rf"\{name}", tex_text(before.get(name, "nothing")), tex_text(after.get(name, "nothing")))
        for name in dict.fromkeys([*after, *before])
        if before.get(name) != after.get(name)
    ]
    return _cells(cells) if cells else first_line(old, new)


def first_line(old: str, new: str) -> str:
    """
    Return the first line that differs, with its number.

    >>> first_line("a" + chr(10) + "b", "a" + chr(10) + "c")
    'line 2: b → c'
    """
    for number, (before, after) in enumerate(zip_longest(old.splitlines(), new.splitlines()), start=1):
        if before != after:
            one, other = (None if line is None else single_line(line) for line in (before, after))
            start = max(0, _agreeing(one or "", other or "") - _LEAD)
            return f"line {number}: {_brief(one, start)} → {_brief(other, start)}"
    return "line ends"


def _agreeing(one: str, other: str) -> int:
    """Return the length of the common beginning of two texts."""
    differing = (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(differing, min(len(one), len(other)))


def _brief(line: str | None, start: int) -> str:
    """Return a line from *start* on, shortened."""
    if line is None:
        return "no line"
    text = "…" * (start > 0) + line[start:] or "an empty line"
    return shortened(text, _WIDTH)


def _cells(cells: Sequence[tuple[str, str, str]]) -> str:
    named = "; ".join(f"{name}: {before} → {after}" for name, before, after in cells[:_SHOWN])
    more = "; …" if len(cells) > _SHOWN else ""
    return f"{counted(len(cells), 'cell')} ({named}{more})"


def _changed_cells(old: Rows, new: Rows, table: Table) -> list[tuple[str, str, str]]:
    """Return name, old and new text of each cell that differs; nothing if the rows or their labels differ."""
    width = len(table.columns)
    if [(len(row), row[:-width]) for row in old] != [(len(row), row[:-width]) for row in new]:
        return []
    names = [" / ".join((*row, *column)) for row in row_labels(table) for column in column_labels(table)]
    before = [text for row in old for text in row[-width:]]
    after = [text for row in new for text in row[-width:]]
    triples = zip(names, before, after, strict=False)
    return [(name, one or "nothing", other or "nothing") for name, one, other in triples if one != other]


def _tex_rows(text: str) -> Rows:
    body = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0]
    lines = [line.removesuffix(r" \\") for line in body.splitlines() if line.endswith(r"\\")]
    return [[tex_text(part) for part in re.split(r"(?<!\\)&", line)] for line in lines]


_GROUP = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
_TEX = [
    (re.compile(rf"\\phantom{_GROUP}"), ""),
    (re.compile(r"\\rlap\{---\}|\\mbox\{---\}"), "—"),
    (re.compile(rf"\\rlap{_GROUP}"), r"\1"),
    (re.compile(rf"\\mathbf{_GROUP}"), r"**\1**"),
    (re.compile(r"\\bfseries (.*?)(?= \{|$)"), r"**\1**"),
    (re.compile(r"\\times 10\^\{(-?\d+)\}"), "\N{MULTIPLICATION SIGN} 10^\\1"),
    (re.compile(r"\\pm"), "±"),
    (re.compile(r"\\infty"), "∞"),
    (re.compile(r"\\[,;]"), " "),
    (re.compile(r"(?<!\\)[${}]"), ""),
    (re.compile(r"\s+"), " "),
]


def tex_text(tex: str) -> str:
    r"""
    Return the text of a cell of LaTeX for a line of a terminal; bold stands between stars.

    >>> tex_text(r"$\mathbf{0.91 \pm 0.02}$\,(4/5)$^{a}$\phantom{0}")
    '**0.91 ± 0.02** (4/5)^a'
    """
    for pattern, text in _TEX:
        tex = pattern.sub(text, tex)
    return tex.strip()


def _macros(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\\newcommand\{\\(\w+)\}\{(.*)\}$", text, flags=re.MULTILINE))
