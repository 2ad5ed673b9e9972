r"""Write LaTeX macros, one per cell such as `\lenetSVCIris`, so that no number is typed by hand."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from qexp.analysis.table.model import Cell, Table
from qexp.analysis.writers.labels import shown
from qexp.analysis.writers.latex import comments
from qexp.analysis.writers.tex_escaping import TexText, describe
from qexp.analysis.writers.tex_numbers import formula
from qexp.errors import ExportError

_SPELLED = {
    "0": "Zero", "1": "One", "2": "Two", "3": "Three", "4": "Four", "5": "Five", "6": "Six", "7": "Seven",
    "8": "Eight", "9": "Nine", "+": "Plus",
}  # fmt: skip
_POINT = re.compile(r"(?<=\d)\.(?=\d)")
_MINUS = re.compile(r"(?<!\w)-(?=\d|\.)|(?<=\de)-(?=\d)|(?<=\dE)-(?=\d)")


def to_macros(tables: Mapping[str, Table]) -> str:
    r"""
    Return one `\newcommand` per cell of several tables, which are given by name.

    A macro is named after its table and the labels of its row and column, in letters. Its text is the number, with the
    count if replicates are missing, neither bold nor marked. Raises ExportError if two cells would share a name;
    numbers in names would change with the order of the rows.
    """
    escape = TexText()
    found: dict[str, tuple[str, ...]] = {}
    body: list[str] = []
    for name, table in tables.items():
        body += comments([f"{name}: {table.statistic}", *table.provenance])
        for labels, cell in _cells(table):
            macro = macro_name(name, *labels)
            _check_new(macro, (name, *labels), found)
            body.append(rf"\newcommand{{\{macro}}}{{{_text(cell, escape)}}}")
    return "\n".join([*comments(map(describe, sorted(escape.replaced))), *body]) + "\n"


def macro_name(table: str, *labels: str) -> str:
    r"""
    Return the name of a macro without its backslash.

    >>> macro_name("lenet", "SVC", "iris-2", "0.1")
    'lenetSVCIrisTwoZeroPointOne'
    """
    words = "".join(map(_letters, labels))
    first = _letters(table)
    return first[:1].lower() + first[1:] + words


def _letters(label: str) -> str:
    """Return a label as words of letters, each with a capital; an empty label, or one without letters, is spelled."""
    text = _MINUS.sub(" Minus ", _POINT.sub(" Point ", label))
    text = "".join(f" {_SPELLED[c]} " if c in _SPELLED else c for c in unicodedata.normalize("NFKD", text))
    text = "".join(_letter(character) for character in text)
    found = "".join(word[0].upper() + word[1:] for word in text.split())
    return found or "".join(_named(character) for character in label) or "Empty"


def _letter(character: str) -> str:
    if character.isascii():
        return character if character.isalpha() else " "
    if unicodedata.combining(character):
        return ""
    return f" {_named(character)} " if character.isalpha() else " "


def _named(character: str) -> str:
    """Return the letters of a character's Unicode name, such as PercentSign for %."""
    name = unicodedata.name(character, f"U {ord(character):x}")
    words = re.sub(r"^(GREEK|LATIN|CYRILLIC) (SMALL |CAPITAL )?LETTER ", "", name)
    spelled = "".join(f" {_SPELLED[c]} " if c in _SPELLED else c for c in words)
    return "".join(word.capitalize() for word in re.findall("[A-Za-z]+", spelled))


def _cells(table: Table) -> Iterator[tuple[tuple[str, ...], Cell]]:
    for row, cells in zip(table.rows, table.cells, strict=True):
        for column, cell in zip(table.columns, cells, strict=True):
            if cell is not None:
                yield (*row, *column), cell


def _check_new(macro: str, place: tuple[str, ...], found: dict[str, tuple[str, ...]]) -> None:
    other = found.setdefault(macro, place)
    if other is not place:
        both = " and ".join(" / ".join(map(shown, labels)) for labels in (other, place))
        raise ExportError(
            f"macros: found the name \\{macro} for both {both}, expected one name per cell; "
            "give one table another name, or leave one row or column out with --where"
        )


def _text(cell: Cell, escape: TexText) -> str:
    count = f" {cell.count_text}" if cell.count_text else ""
    return f"${formula(cell, escape)}${count}"
