"""
Series of many experiments, summarized in Postgres: a million points become a few thousand rows.

Rows are in the order of group and step, and count finite points only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Double, Select, and_, func, literal, or_, select

from qexp.store.connection import Connection
from qexp.store.reads.records import begun_again
from qexp.store.schema import tables
from qexp.store.schema.expressions import among

Members = tuple[Sequence[int], Sequence[int]]
"""The ids of experiments, and the number of the group of each."""

_QUARTILES = (0.25, 0.5, 0.75)


def means(connection: Connection, members: Members, name: str) -> list[tuple[float, ...]]:
    """Return group, step, n, mean and standard deviation (ddof = 1; NaN if n is 1) of a series."""
    point = _points(members, name)
    deviation = func.coalesce(func.stddev_samp(point.value), literal(float("nan"), Double))
    return [tuple(row) for row in connection.execute(_by_step(point, func.avg(point.value), deviation))]


def quartiles(connection: Connection, members: Members, name: str) -> list[tuple[float, ...]]:
    """Return group, step, n and the three quartiles of a series, as numpy interpolates them."""
    point = _points(members, name)
    found = func.percentile_cont(literal(list(_QUARTILES), ARRAY(Double))).within_group(point.value)
    return [(group, step, n, *three) for group, step, n, three in connection.execute(_by_step(point, found))]


def interquartile_means(connection: Connection, members: Members, name: str) -> list[tuple[float, ...]]:
    """Return group, step, n and the mean of a series without its lowest and highest n // 4 points."""
    point = _points(members, name)
    cell = [point.group, point.step]
    place = func.row_number().over(partition_by=cell, order_by=point.value).label("place")
    count = func.count().over(partition_by=cell).label("n")
    ranked = select(*cell, point.value, place, count).where(_is_finite(point.value)).subquery().c
    is_kept = ranked.place.between(ranked.n // 4 + 1, ranked.n - ranked.n // 4)
    columns = ranked.group, ranked.step, func.max(ranked.n), func.avg(ranked.value)
    query = select(*columns).where(is_kept).group_by(*columns[:2]).order_by(*columns[:2])
    return [tuple(row) for row in connection.execute(query)]


def runs(connection: Connection, members: Members, name: str) -> list[tuple[int, int, int]]:
    """Return for each group how many experiments have a finite point, and how many have another one."""
    point = _points(members, name)
    finite = _is_finite(point.value)
    each = (
        select(point.group, func.bool_or(finite).label("drawn"), func.bool_or(~finite).label("odd"))
        .group_by(point.group, point.experiment)
        .subquery()
        .c
    )
    counts = func.count().filter(each.drawn), func.count().filter(each.odd)
    query = select(each.group, *counts).group_by(each.group).order_by(each.group)
    return [(group, drawn, odd) for group, drawn, odd in connection.execute(query)]


def names(connection: Connection, members: Members) -> list[str]:
    """Return the names of the series that some experiments have."""
    columns = tables.metric.c
    query = select(columns.name).where(among(columns.experiment, members[0])).distinct()
    return sorted(connection.execute(query).scalars())


def _points(members: Members, name: str) -> Any:
    """Return the columns group, experiment, step and value of the points that `records.series` yields."""
    columns = tables.metric.c
    given = func.unnest(*(literal(list(numbers), ARRAY(BigInteger)) for numbers in members))
    member = given.table_valued("id", "group").render_derived()
    again = begun_again(among(tables.experiment.c.id, members[0]), [name]).c
    same = and_(again.experiment == columns.experiment, again.attempt == columns.attempt, again.name == columns.name)
    query = (
        select(member.c.group, columns.experiment, columns.step, columns.value)
        .join_from(member, tables.metric, columns.experiment == member.c.id)
        .join(again.step.table, same)
        .where(columns.name == name, or_(again.step.is_(None), columns.step < again.step))
    )
    return query.subquery().c


def _is_finite(value: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.abs(value) < literal(float("inf"), Double)  # Postgres: NaN is above infinity


def _by_step(point: Any, *statistics: ColumnElement[Any]) -> Select[Any]:
    columns: list[ColumnElement[Any]] = [point.group, point.step, func.count(), *statistics]
    finite = _is_finite(point.value)
    return select(*columns).where(finite).group_by(*columns[:2]).order_by(*columns[:2])


def is_large(connection: Connection, ids: Sequence[int], limit: int) -> bool:
    """Return whether some experiments have more than *limit* points, without counting further."""
    columns = tables.metric.c
    some = select(literal(1)).where(among(columns.experiment, ids)).limit(limit + 1)
    number: int = connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()
    return number > limit
