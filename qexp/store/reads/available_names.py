"""The parameters that experiments of a study have, and the results that are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, Select, Text, case, cast, column, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from qexp.model import NON_FINITE, Origin, Status
from qexp.store.connection import Connection
from qexp.store.schema import tables

_DEEPEST = 3
"""Levels of mappings in results that are searched."""


def present(connection: Connection, study: int, names: Sequence[str]) -> list[str]:
    """Return the parameters among *names* that any experiment has; those that the grid leaves out do not count."""
    if not names:
        return []
    columns = tables.experiment.c
    has = [func.coalesce(func.bool_or(columns.params.has_key(name)), False) for name in names]
    row = connection.execute(select(*has).where(columns.study == study, columns.origin != Origin.ORPHANED)).one()
    return [name for name, is_there in zip(names, row, strict=True) if is_there]


def numeric_results(connection: Connection, study: int, names: Sequence[str]) -> list[tuple[str, ...]]:
    """
    Return the paths of the results that are numbers in all done experiments that have them, in the order of *names*.

    Keys of mappings follow the name of their result. NaN, infinities and truth values are numbers.
    """
    found: dict[tuple[str, ...], bool] = {}
    paths: list[tuple[str, ...]] = [()]
    for _ in range(_DEEPEST):
        kinds = [(path, row) for path in paths for row in connection.execute(_kinds(study, path))]
        paths = [(*path, key) for path, (key, _, is_mapping) in kinds if is_mapping]
        found |= {(*path, key): is_number for path, (key, is_number, _) in kinds}
    places = {name: place for place, name in enumerate(names)}
    numeric = [path for path, is_number in found.items() if is_number]
    return sorted(numeric, key=lambda path: (places.get(path[0], len(places)), path))


def _kinds(study: int, path: tuple[str, ...]) -> Select[Any]:
    """Return a query for the keys below a path, each with two answers: are its values numbers, is any a mapping."""
    columns = tables.experiment.c
    whole = func.jsonb_extract_path(columns.result, *(literal(key, Text) for key in path)) if path else columns.result
    mapping = case((func.jsonb_typeof(whole) == "object", whole), else_=cast(literal("{}"), JSONB))
    each = func.jsonb_each(mapping, type_=JSONB).table_valued(column("key", Text), column("value", JSONB)).lateral()
    kind = func.jsonb_typeof(each.c.value)
    words = cast(each.c.value, Text).in_([f'"{word}"' for word in NON_FINITE])
    is_number = case((kind.in_(["number", "boolean"]), True), (kind == "null", None), else_=words)
    return (
        select(
            each.c.key, func.coalesce(func.bool_and(cast(is_number, Boolean)), False), func.bool_or(kind == "object")
        )
        .select_from(tables.experiment.join(each, literal(True)))
        .where(columns.study == study, columns.status == Status.DONE)
        .group_by(each.c.key)
        .order_by(each.c.key)
    )
