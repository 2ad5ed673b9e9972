"""
Translate a condition into SQL over `experiment`; names and values that a person wrote become bound values.

Comparisons have SQL's three answers. A comparison with a missing value, or one of another kind, is null: neither it nor
its `not` holds. No row makes a query fail, because the kind of a value is checked before a cast.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Numeric,
    Text,
    and_,
    any_,
    case,
    cast,
    collate,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from qexp.errors import nearest
from qexp.model import NON_FINITE, Status
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema import tables
from qexp.store.schema.expressions import duration, error_of, is_last_attempt, last_attempt
from qexp.store.schema.value_columns import KeyPath, Source, locate
from qexp.store.selection.where_parser import (
    And,
    Condition,
    Literal,
    Not,
    OneOf,
    Or,
    Value,
    WhereComparison,
    WhereName,
    refuse,
    shown,
    spelled,
)
from qexp.truncation import listed

_TYPES: Mapping[type[Value], Any] = {Decimal: Numeric, str: Text, bool: Boolean}
_KINDS: Mapping[type[Value], str] = {Decimal: "a number", str: "text", bool: "true or false"}
_OPERATORS: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "like": lambda value, pattern: value.like(pattern),
}


@dataclass(frozen=True)
class _Field:
    """A name as an expression for each kind of value; null if the value has another kind."""

    kinds: Mapping[type[Value], ColumnElement[Any]]
    missing: ColumnElement[bool]
    not_a_number: ColumnElement[bool]
    """Postgres sorts NaN above all numbers; a condition must not."""


def _fact(kind: type[Value], value: ColumnElement[Any]) -> _Field:
    seen = collate(value, "C") if kind is str else cast(value, Numeric)
    return _Field({kind: seen}, value.is_(None), false())


def _facts() -> dict[str, _Field]:
    """Return the facts of every experiment, by their names in frames."""
    columns, place, last = tables.experiment.c, tables.worker.alias().c, tables.attempt.alias()
    host = select(place.host).where(place.id == columns.worker)
    study = tables.study.alias().c  # the query that gets this condition may read studies too
    name = select(study.name).where(study.id == columns.study)
    error = select(error_of(last)).where(is_last_attempt(last), columns.status == Status.FAILED)
    began = func.to_char(func.timezone("UTC", columns.started_at), 'YYYY-MM-DD"T"HH24:MI:SS')
    return {
        "id": _fact(Decimal, columns.id),
        "study": _fact(str, name.correlate(tables.experiment).scalar_subquery()),
        "status": _fact(str, columns.status),
        "attempt": _fact(Decimal, columns.attempt),
        "revision": _fact(Decimal, columns.revision),
        "host": _fact(str, host.correlate(tables.experiment).scalar_subquery()),
        "started_at": _fact(str, began),
        "duration": _fact(Decimal, duration()),
        "last_attempt": _fact(Decimal, last_attempt()),
        "failure": _fact(str, columns.failure),
        "error": _fact(str, error.correlate(tables.experiment).scalar_subquery()),
    }


def _data(column: ColumnElement[Any], paths: Sequence[KeyPath]) -> _Field:
    """Return the value at the first of some paths that an experiment has."""
    values = [func.jsonb_extract_path(column, *(literal(key, Text) for key in path)) for path in paths]
    value: ColumnElement[Any] = values[0] if len(values) == 1 else func.coalesce(*values)
    text = value.op("#>>")(literal([], ARRAY(Text)))
    found = func.jsonb_typeof(value)
    return _Field(
        {
            Decimal: case((or_(found == "number", text.in_(NON_FINITE)), cast(text, Numeric))),
            str: collate(case((found == "string", text)), "C"),
            bool: case((found == "boolean", cast(text, Boolean))),
        },
        func.coalesce(found, "null") == "null",
        text == "NaN",
    )


def predicate(condition: Condition, studies: Iterable[StudyRow]) -> ColumnElement[bool]:
    """Return a condition on `experiment`; SelectorError for a name that none of the studies has."""
    return _Predicate(list(studies)).of(condition)


class _Predicate:
    def __init__(self, studies: Sequence[StudyRow]) -> None:
        self._studies = studies
        self._facts = _facts()
        if len(studies) == 1 and _locate(studies[0], WhereName(("study",), None, "study", 0)) is not None:
            del self._facts["study"]  # frames of one study have no column with its name

    def of(self, condition: Condition) -> ColumnElement[bool]:
        match condition:
            case And(parts):
                return and_(*map(self.of, parts))
            case Or(parts):
                return or_(*map(self.of, parts))
            case Not(part):
                return not_(self.of(part))
            case OneOf(name, literals):
                return self._one_of(name, literals)
            case WhereComparison(name, word, value):
                return self._compared(name, word, value)

    def _compared(self, name: WhereName, word: str, value: Literal) -> ColumnElement[bool]:
        field = self._field(name)
        if value.value is None and word in ("=", "!="):
            return field.missing if word == "=" else not_(field.missing)
        seen = _seen(field, name, value)
        made = _OPERATORS[word](seen, literal(value.value, _TYPES[type(value.value)]))
        if word in (">", ">=") and type(value.value) is Decimal:
            return and_(made, not_(field.not_a_number))
        return made

    def _one_of(self, name: WhereName, literals: Sequence[Literal]) -> ColumnElement[bool]:
        field = self._field(name)
        chosen: dict[type[Value], list[Value]] = {}
        for one in literals:
            chosen.setdefault(type(one.value), []).append(one.value)
            if one.value is not None:
                _seen(field, name, one)
        missing = chosen.pop(type(None), None)
        found = [field.kinds[kind] == any_(literal(values, ARRAY(_TYPES[kind]))) for kind, values in chosen.items()]
        if len(found) > 1:  # a value has one kind: the null answers of the other kinds must not count
            found = [func.coalesce(case((or_(*found), true())), *found)]
        return or_(*found, *([field.missing] if missing else []))

    def _field(self, name: WhereName) -> _Field:
        if name.prefix is None and len(name.path) == 1 and name.path[0] in self._facts:
            return self._facts[name.path[0]]
        found = [one for study in self._studies if (one := _locate(study, name)) is not None]
        if not found:
            refuse(name.column, self._unknown(name))
        if len({source for source, _ in found}) > 1:
            either = f"expected param.{shown(name.text)} or result.{shown(name.text)}"
            refuse(name.column, f"{name.text!r} is a parameter of one study and a result of another, {either}")
        paths = dict.fromkeys(path for _, paths in found for path in paths)
        return _data(tables.experiment.c[found[0][0]], list(paths))

    def _unknown(self, name: WhereName) -> str:
        known = dict.fromkeys([] if name.prefix else self._facts)
        for study in self._studies:
            known |= dict.fromkeys(study.parameters if name.prefix != "result" else [])
            known |= dict.fromkeys(study.results if name.prefix != "param" else [])
        words = {"param": "parameter", "result": "result", None: "parameter or result"}
        names = list(map(spelled, known))
        hint = nearest(name.text, names) or nearest(name.path[0], names)
        if names and not hint:
            hint = f"; there are {listed([*map(shown, names)], 8)}"
        return f"there is no {words[name.prefix]} {name.path[0]!r}{hint}"


def _seen(field: _Field, name: WhereName, value: Literal) -> ColumnElement[Any]:
    """Return a field as the kind of value that it is compared with."""
    kind = type(value.value)
    if kind not in field.kinds:
        expected = " or ".join(_KINDS[known] for known in field.kinds)
        found = _KINDS.get(kind, "null, which is neither above nor below anything")
        refuse(value.column, f"found {found}, expected {expected} for {shown(name.text)}")
    return field.kinds[kind]


def _locate(study: StudyRow, name: WhereName) -> tuple[Source, list[KeyPath]] | None:
    return locate({"params": study.parameters, "result": study.results}, name.prefix, name.path)
