"""Sort keys: the names that `--sort` writes become terms of an ORDER BY over `experiment`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, Text, case, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB

from qexp.errors import SelectorError
from qexp.model import NON_FINITE, Status, storable_text
from qexp.store.connection import Connection
from qexp.store.reads import study_rows
from qexp.store.reads.experiment_order import OrderTerm
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema import tables
from qexp.store.schema.expressions import duration, error_of, is_last_attempt, last_attempt
from qexp.store.schema.value_columns import FACTS
from qexp.store.selection import selectors
from qexp.store.selection.query_columns import QueryColumns, ValueLocation
from qexp.store.selection.selectors import Selection
from qexp.store.selection.where_parser import WhereName, read_name, shown

_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
"""A comma that is not inside double quotes."""


@dataclass(frozen=True)
class SortKey:
    """A column by which experiments are sorted."""

    name: WhereName
    descending: bool


def split_names(texts: str | Iterable[str], option: str) -> list[str]:
    """
    Return the names in texts, which commas separate; a name with a comma stands in double quotes.

    >>> split_names("lr, -accuracy", "--sort")
    ['lr', '-accuracy']
    """
    found: list[str] = []
    for text in [texts] if isinstance(texts, str) else texts:
        parts = [part.strip() for part in _COMMA.split(text)]
        if not all(parts) or text.count('"') % 2 or storable_text(text) != text:
            raise SelectorError(f"{option}: found {shown(text) or 'nothing'}, expected names with commas between them")
        found += parts
    return found


def parse(sort: str | Iterable[str]) -> list[SortKey]:
    """
    Read sort keys: names as in a condition, each after `-` if the largest value comes first.

    >>> [(key.name.text, key.descending) for key in parse("-accuracy,lr")]
    [('accuracy', True), ('lr', False)]
    """
    found: list[SortKey] = []
    for text in split_names(sort, "--sort"):
        descending = text.startswith("-")
        if not (name := text[descending:].strip()):
            raise SelectorError(f"--sort: found {text!r}, expected a name such as -accuracy")
        found.append(SortKey(read_name(name), descending))
    return found


def terms(
    connection: Connection, selection: Selection, condition: ColumnElement[bool], sort: str | Iterable[str]
) -> list[OrderTerm]:
    """Return the terms of sort keys. Raises SelectorError for a name that none of the studies has."""
    keys = parse(sort)
    only_facts = all(key.name.text == "id" or key.name.text in FACTS for key in keys)
    known = [] if only_facts else studies_of(connection, selection, condition)
    columns = QueryColumns(known, _refused)
    return [term for key in keys for term in _terms(columns.find(key.name), key.descending)]


def studies_of(connection: Connection, selection: Selection, condition: ColumnElement[bool]) -> list[StudyRow]:
    """Return the studies whose names a selection may use."""
    if (named := selectors.studies(connection, selection)) is not None:
        return named
    return study_rows.among(connection, condition) if selection.ids else study_rows.every(connection)


def _refused(name: WhereName, problem: str) -> NoReturn:
    raise SelectorError(f"--sort: {problem}")


def _terms(found: str | ValueLocation, descending: bool) -> Sequence[OrderTerm]:
    """Return the terms of a column: numbers and truth values first, then texts, lists and mappings, NaN is missing."""
    if isinstance(found, str):
        return [OrderTerm(_facts()[found], descending)]
    value = found.value
    kind = func.jsonb_typeof(value)
    infinite = case({'"Infinity"': _json("1e1001"), '"-Infinity"': _json("-1e1001")}, value=cast(value, Text))
    text = case((value.in_([_json(f'"{word}"') for word in NON_FINITE]), None), else_=value)
    number = case({"number": value, "boolean": value, "string": infinite}, value=kind)
    other = case({"number": None, "string": text, "array": value, "object": value}, value=kind)
    return [OrderTerm(number, descending), OrderTerm(other, descending)]


def _json(text: str) -> ColumnElement[Any]:
    """Return a constant; infinities are stored as text, and sort as numbers beyond any float."""
    return literal_column(f"'{text}'::jsonb", JSONB)


def _facts() -> Mapping[str, ColumnElement[Any]]:
    columns, last = tables.experiment.c, tables.attempt.alias()
    error = select(error_of(last)).where(is_last_attempt(last), columns.status == Status.FAILED)
    own = ("id", "status", "attempt", "revision", "created_at", "started_at", "finished_at", "failure")
    return {
        **{name: columns[name] for name in own},
        "study": tables.study.c.name,
        "host": tables.worker.c.host,
        "duration": duration(),
        "last_attempt": last_attempt(),
        "error": error.correlate(tables.experiment).scalar_subquery(),
    }
