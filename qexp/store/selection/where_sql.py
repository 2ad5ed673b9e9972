"""
Translate a condition into SQL over `experiment`; names and values that a person wrote become bound values.

Comparisons have SQL's three answers. A comparison with a missing value, or one of another kind, is null: neither it nor
its `not` holds. No row makes a query fail, because the kind of a value is checked before a cast.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import ARRAY, Boolean, ColumnElement, Numeric, Text, and_, any_, case, func, literal, not_, or_, true

from qexp.store.reads.study_rows import StudyRow
from qexp.store.selection.query_columns import ColumnField, QueryColumns
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
)

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


def predicate(condition: Condition, studies: Iterable[StudyRow]) -> ColumnElement[bool]:
    """Return a condition on `experiment`; SelectorError for a name that none of the studies has."""
    return _Predicate(list(studies)).of(condition)


class _Predicate:
    def __init__(self, studies: Sequence[StudyRow]) -> None:
        self._columns = QueryColumns(studies)

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
        field = self._columns.field(name)
        if value.value is None and word in ("=", "!="):
            return field.missing if word == "=" else not_(field.missing)
        seen = _seen(field, name, value)
        made = _OPERATORS[word](seen, literal(value.value, _TYPES[type(value.value)]))
        if word in (">", ">=") and type(value.value) is Decimal:
            return and_(made, not_(field.not_a_number))
        return made

    def _one_of(self, name: WhereName, literals: Sequence[Literal]) -> ColumnElement[bool]:
        field = self._columns.field(name)
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


def _seen(field: ColumnField, name: WhereName, value: Literal) -> ColumnElement[Any]:
    """Return a field as the kind of value that it is compared with."""
    kind = type(value.value)
    if kind not in field.kinds:
        expected = " or ".join(_KINDS[known] for known in field.kinds)
        found = _KINDS.get(kind, "null, which is neither above nor below anything")
        refuse(value.column, f"found {found}, expected {expected} for {shown(name.text)}")
    return field.kinds[kind]
