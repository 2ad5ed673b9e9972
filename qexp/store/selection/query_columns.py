"""Columns of experiments by the names that conditions and sort keys write, as SQL expressions over `experiment`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, NoReturn

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Numeric,
    Text,
    case,
    cast,
    collate,
    false,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from qexp.errors import nearest
from qexp.model import NON_FINITE, Status
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema import tables
from qexp.store.schema.expressions import duration, error_of, is_last_attempt, last_attempt
from qexp.store.schema.value_columns import FACTS, MORE_FACTS, KeyPath, Source, locate
from qexp.store.selection.where_parser import Value, WhereName, refuse, shown, spelled
from qexp.truncation import listed

Refuse = Callable[[WhereName, str], NoReturn]
"""Raises SelectorError with the place of a name and its problem."""


@dataclass(frozen=True)
class ColumnField:
    """A name as an expression for each kind of value; null if the value has another kind."""

    kinds: Mapping[type[Value], ColumnElement[Any]]
    missing: ColumnElement[bool]
    not_a_number: ColumnElement[bool]
    """Postgres sorts NaN above all numbers; a condition must not."""


@dataclass(frozen=True)
class ValueLocation:
    """The place of a value in parameters or results, as possible paths in order of likelihood."""

    source: Source
    paths: Sequence[KeyPath]

    @property
    def value(self) -> ColumnElement[Any]:
        """The value at the first of the paths that an experiment has."""
        column = tables.experiment.c[self.source]
        values = [
            column.op("->", return_type=JSONB())(literal(path[0], Text))  # faster than the function
            if len(path) == 1
            else func.jsonb_extract_path(column, *(literal(key, Text) for key in path))
            for path in self.paths
        ]
        return values[0] if len(values) == 1 else func.coalesce(*values)


def _in_condition(name: WhereName, problem: str) -> NoReturn:
    refuse(name.column, problem)


class QueryColumns:
    """The columns that names mean in some studies. A name that none of them has is refused, with similar names."""

    def __init__(self, studies: Sequence[StudyRow], refuse: Refuse = _in_condition) -> None:
        self._studies, self._refuse = studies, refuse

    def find(self, name: WhereName) -> str | ValueLocation:
        """Return the name of a fact, or the location of a parameter or result."""
        plain = name.path[0] if name.prefix is None and len(name.path) == 1 else ""
        if plain == "id" or plain in FACTS or (plain == "study" and len(self._studies) > 1):
            return plain  # frames of several studies have a column `study`
        found = [one for study in self._studies if (one := _locate(study, name)) is not None]
        if not found and plain in MORE_FACTS:
            return plain
        if not found:
            self._refuse(name, self._unknown(name))
        if len({source for source, _ in found}) > 1:
            either = f"expected param.{shown(name.text)} or result.{shown(name.text)}"
            self._refuse(name, f"{name.text!r} is a parameter of one study and a result of another, {either}")
        return ValueLocation(found[0][0], list(dict.fromkeys(path for _, paths in found for path in paths)))

    def field(self, name: WhereName) -> ColumnField:
        """Return a column as a condition compares it."""
        found = self.find(name)
        return self._facts[found] if isinstance(found, str) else _data(found.value)

    def _unknown(self, name: WhereName) -> str:
        known: dict[str, None] = {}
        for study in self._studies:
            known |= dict.fromkeys(study.parameters if name.prefix != "result" else [])
            known |= dict.fromkeys(study.results if name.prefix != "param" else [])
        known |= dict.fromkeys([] if name.prefix else ["id", *FACTS, *MORE_FACTS])
        words = {"param": "parameter", "result": "result", None: "parameter or result"}
        names = list(map(spelled, known))
        hint = nearest(name.text, names) or nearest(name.path[0], names)
        if names and not hint:
            hint = f"; there are {listed([*map(shown, names)], 8)}"
        return f"there is no {words[name.prefix]} {name.path[0]!r}{hint}"

    @cached_property
    def _facts(self) -> Mapping[str, ColumnField]:
        """The facts of every experiment, by their names."""
        columns, place, last = tables.experiment.c, tables.worker.alias().c, tables.attempt.alias()
        studies = tables.study.alias().c
        host = select(place.host).where(place.id == columns.worker)
        error = select(error_of(last)).where(is_last_attempt(last), columns.status == Status.FAILED)
        study = select(studies.name).where(studies.id == columns.study)
        return {
            "id": _fact(Decimal, columns.id),
            "study": _fact(str, study.correlate(tables.experiment).scalar_subquery()),
            "status": _fact(str, columns.status),
            "attempt": _fact(Decimal, columns.attempt),
            "revision": _fact(Decimal, columns.revision),
            "host": _fact(str, host.correlate(tables.experiment).scalar_subquery()),
            "created_at": _fact(str, _moment(columns.created_at)),
            "started_at": _fact(str, _moment(columns.started_at)),
            "finished_at": _fact(str, _moment(columns.finished_at)),
            "duration": _fact(Decimal, duration()),
            "last_attempt": _fact(Decimal, last_attempt()),
            "failure": _fact(str, columns.failure),
            "error": _fact(str, error.correlate(tables.experiment).scalar_subquery()),
        }


def _moment(column: ColumnElement[Any]) -> ColumnElement[str]:
    return func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:MI:SS')


def _fact(kind: type[Value], value: ColumnElement[Any]) -> ColumnField:
    seen = collate(value, "C") if kind is str else cast(value, Numeric)
    return ColumnField({kind: seen}, value.is_(None), false())


def _data(value: ColumnElement[Any]) -> ColumnField:
    text = value.op("#>>", return_type=Text())(literal([], ARRAY(Text)))
    found = func.jsonb_typeof(value)
    return ColumnField(
        {
            Decimal: case((or_(found == "number", text.in_(NON_FINITE)), cast(text, Numeric))),
            str: collate(case((found == "string", text)), "C"),
            bool: case((found == "boolean", cast(text, Boolean))),
        },
        func.coalesce(found, "null") == "null",
        text == "NaN",
    )


def _locate(study: StudyRow, name: WhereName) -> tuple[Source, list[KeyPath]] | None:
    return locate({"params": study.parameters, "result": study.results}, name.prefix, name.path)
