"""The statement that reads experiments as columns: which values it reads, and how it packs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    Integer,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    select,
)

from qexp.model import NON_FINITE, Origin, Status
from qexp.store.schema import tables
from qexp.store.schema.expressions import duration, is_last_attempt, last_attempt
from qexp.store.schema.value_columns import KeyPath

ACCEPTED, ADDED, CONTINUED = 1, 2, 4
"""
Flags of an experiment. A person accepted its result after a failure; code added it beside the grid; its last attempt
continued from a checkpoint.
"""
_NAN = cast(literal("NaN"), Double)
_LONGEST_NUMBER = 300
"""A number of up to so many digits fits into a double."""
FACTS: Mapping[str, Any] = {
    "duration": duration,
    "last_attempt": last_attempt,
    **{
        name: lambda name=name: tables.attempt.c[name]
        for name in ("cpu_seconds", "peak_memory", "gpu_memory", "energy_kwh")
    },
}
"""Metrics that qexp has measured: seconds, bytes and kWh. The last four belong to the last attempt."""
_OF_ATTEMPT = frozenset(FACTS) - {"duration", "last_attempt"}


@dataclass(frozen=True)
class ValueSource:
    """The place of a value in the experiments of one study: possible paths in `params` or `result`, or a fact."""

    column: str
    """`params`, `result` or `fact`."""
    paths: tuple[KeyPath, ...]


@dataclass(frozen=True)
class ColumnRequest:
    """The columns to read of one study's experiments."""

    study: int
    axes: Mapping[str, ValueSource]
    """Parameters that have a column of their own."""
    metrics: Mapping[str, ValueSource]
    condition: ColumnElement[bool] | None = None
    others: bool = True
    """The study may have parameters that are no axes."""
    with_workers: bool = False
    with_imports: bool = False
    """Read which list of imports each done attempt has; this joins the attempts."""


def statement(request: ColumnRequest, chosen: ColumnElement[bool], low: int, high: int) -> Select[Any]:
    """Return the statement that packs the columns of the chosen experiments with *low* ≤ id < *high* into one row."""
    columns = tables.experiment.c
    hashed = [_hash(jsonb_of(source)) for source in request.axes.values()]
    others = [_hash(_rest(request))] if request.others else []
    workers = [func.coalesce(func.uuid_hash_extended(columns.worker, 0), 0)] if request.with_workers else []
    attempt = tables.attempt.c
    imported = [func.coalesce(func.uuid_hash_extended(attempt.imported, 0), 0)] if request.with_imports else []
    numbers = [columns.id, _state(), *hashed, *others, *workers, *imported]
    found: list[Any] = [_packed(func.int8send(number)) for number in numbers]
    found += [_packed(func.float8send(_number(source))) for source in request.metrics.values()]
    query: Select[Any] = select(*found).where(chosen, columns.id >= low, columns.id < high)
    facts = {source.paths[0][0] for source in request.metrics.values() if source.column == "fact"}
    if request.with_imports or facts & _OF_ATTEMPT:
        return query.outerjoin_from(tables.experiment, tables.attempt, is_last_attempt())
    return query.select_from(tables.experiment)


def is_of_last_attempt(source: ValueSource) -> bool:
    """Return whether a metric counts the last attempt only, though an experiment may continue earlier ones."""
    return source.column == "fact" and source.paths[0][0] != "duration"


def _packed(column: ColumnElement[Any]) -> ColumnElement[bytes]:
    """Return the column of all experiments as one byte string, which numpy reads without a loop."""
    return func.string_agg(column, literal(b""))


def jsonb_of(source: ValueSource) -> ColumnElement[Any]:
    """Return a value as jsonb; NULL: an experiment does not have it."""
    values = [func.jsonb_extract_path(_column(source), *_keys(path)) for path in source.paths]
    return values[0] if len(values) == 1 else func.coalesce(*values)


def _column(source: ValueSource) -> ColumnElement[Any]:
    return tables.experiment.c[source.column]


def _keys(path: KeyPath) -> list[ColumnElement[str]]:
    return [literal(key, Text) for key in path]


def _hash(value: ColumnElement[Any]) -> ColumnElement[int]:
    """Return 64 bits that equal values share; absent values share 0."""
    return func.coalesce(func.jsonb_hash_extended(value, 0), 0)


def _rest(request: ColumnRequest) -> ColumnElement[Any]:
    """Return the parameters without those that are axes."""
    left: ColumnElement[Any] = tables.experiment.c.params
    for source in request.axes.values():
        for path in source.paths:
            left = left.op("#-")(literal(list(path), ARRAY(Text)))
    return left


def _state() -> ColumnElement[int]:
    """Return revision, flags, failure and status in one number; a word is coded by first letter and length."""
    columns = tables.experiment.c
    failure, revision = func.coalesce(_letter(columns.failure), 0), func.coalesce(columns.revision, 0)
    return ((cast(revision, BigInteger) * 8 + _flags()) * 4096 + failure) * 4096 + _letter(columns.status)


def _flags() -> ColumnElement[int]:
    """Return the flags of an experiment; only an accepted result has a reason while it is done."""
    columns = tables.experiment.c
    applies = (
        (ACCEPTED, and_(columns.status == Status.DONE, columns.reason.is_not(None))),
        (ADDED, columns.origin == Origin.CODE),
        (CONTINUED, columns.seconds_before > 0),
    )
    first, *others = (case((condition, flag), else_=0) for flag, condition in applies)
    return sum(others, first)


def _letter(word: ColumnElement[Any]) -> ColumnElement[int]:
    return func.ascii(word) * 16 + func.length(word)


def _number(source: ValueSource) -> ColumnElement[float]:
    """Return a metric as a float, NaN if it is none; no value makes the query fail."""
    if source.column == "fact":
        return func.coalesce(cast(FACTS[source.paths[0][0]](), Double), _NAN)
    value, kind = text_and_kind(source)
    return case(
        (and_(kind == "number", func.length(value) <= _LONGEST_NUMBER), cast(value, Double)),
        (kind == "number", _long(cast(value, Numeric))),
        (and_(kind == "string", value.in_(list(NON_FINITE))), cast(value, Double)),
        (kind == "boolean", cast(cast(cast(value, Boolean), Integer), Double)),
        else_=_NAN,
    )


def text_and_kind(source: ValueSource) -> tuple[ColumnElement[str], ColumnElement[str]]:
    """Return a value's text and its kind, as jsonb_typeof says it."""
    values = [func.jsonb_extract_path_text(_column(source), *_keys(path), type_=Text) for path in source.paths]
    return values[0] if len(values) == 1 else func.coalesce(*values), func.jsonb_typeof(jsonb_of(source))


def _long(value: ColumnElement[Any]) -> ColumnElement[float]:
    """Return a number of many digits as a double, which may be 0 or infinite."""
    large, small = cast(literal("1e308"), Numeric), cast(literal("1e-307"), Numeric)
    return case(
        (func.abs(value) < small, cast(literal("0"), Double)),
        (value > large, cast(literal("Infinity"), Double)),
        (value < -large, cast(literal("-Infinity"), Double)),
        else_=cast(value, Double),
    )
