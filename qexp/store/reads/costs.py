"""The durations and the costs of a study's experiments, over all of their attempts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Double, and_, cast, func, literal, select

from qexp.model import Status
from qexp.store.connection import Connection
from qexp.store.schema import tables
from qexp.store.schema.expressions import duration, seconds


@dataclass(frozen=True)
class Cost:
    """The sums over attempts that ended in the same way."""

    outcome: str
    attempts: int
    wall_seconds: float
    cpu_seconds: float | None
    """None: not measured in any of these attempts."""
    energy_kwh: float | None
    peak_memory: int | None
    """The largest of these attempts, in bytes."""
    gpu_memory: int | None
    with_cpu: int
    """Attempts in which the time on processors was measured."""
    with_energy: int


def of_attempts(connection: Connection, study: int) -> list[Cost]:
    """Return the costs of all ended attempts of a study by outcome, the longest in total first."""
    columns = tables.attempt.c
    wall = func.sum(seconds(columns.finished_at - columns.started_at))
    query = (
        select(
            columns.outcome,
            func.count(),
            wall,
            func.sum(columns.cpu_seconds),
            func.sum(columns.energy_kwh),
            func.max(columns.peak_memory),
            func.max(columns.gpu_memory),
            func.count(columns.cpu_seconds),
            func.count(columns.energy_kwh),
        )
        .where(columns.study == study)
        .group_by(columns.outcome)
        .order_by(wall.desc(), columns.outcome)
    )
    return [Cost(*row) for row in connection.execute(query)]


def period(connection: Connection, study: int) -> tuple[datetime | None, datetime | None]:
    """Return when the first attempt of a study began and when the last one ended; None if there is none."""
    columns, running = tables.attempt.c, tables.experiment.c
    ended = select(func.min(columns.started_at), func.max(columns.finished_at)).where(columns.study == study)
    first, last = connection.execute(ended).one()
    begun = select(func.min(running.started_at)).where(running.study == study, running.status == Status.RUNNING)
    now = connection.execute(begun).scalar()
    return min((one for one in (first, now) if one is not None), default=None), last


@dataclass(frozen=True)
class Durations:
    """The durations of a study's done experiments in seconds."""

    count: int
    median: float
    p90: float
    longest: float
    bounds: Sequence[float]
    """The limits of the bins, one more than *counts*; their distances, or ratios if *is_log*, are equal."""
    counts: Sequence[int]
    is_log: bool


_BINS = 30
_RATIO = 50.0
"""A ratio of the longest to the shortest duration above which most would fall into one bin of equal width."""
_SHORTEST = 1e-3
"""Seconds that are the lower limit of logarithmic bins."""


def durations(connection: Connection, study: int) -> Durations | None:
    """Return the durations of a study's done experiments. Returns None if none is done."""
    taken = duration()
    chosen = and_(tables.experiment.c.study == study, tables.experiment.c.status == Status.DONE)
    both = func.percentile_cont(literal([0.5, 0.9])).within_group(taken)
    query = select(func.count(taken), func.min(taken), func.max(taken), both).where(chosen)
    count, low, high, found = connection.execute(query).one()
    if not count:
        return None
    median, p90 = found
    floor = max(low, _SHORTEST)
    is_log = high > _RATIO * floor
    scaled: ColumnElement[Any] = func.ln(func.greatest(taken, floor)) if is_log else taken
    first, last = (math.log(floor), math.log(high)) if is_log else (low, high)
    if not last > first:
        return Durations(count, median, p90, high, [low, high], [count], False)
    counts = _binned(connection, chosen, scaled, first, last)
    limits = [first + (last - first) * at / _BINS for at in range(_BINS + 1)]
    bounds = [math.exp(one) for one in limits] if is_log else limits
    return Durations(count, median, p90, high, bounds, counts, is_log)


def _binned(
    connection: Connection, chosen: ColumnElement[bool], value: ColumnElement[Any], low: float, high: float
) -> list[int]:
    bins = func.width_bucket(cast(value, Double), low, high, _BINS)
    place = func.least(func.greatest(bins, 1), _BINS)
    query = select(place, func.count()).where(chosen).group_by(place)
    found = {row[0]: row[1] for row in connection.execute(query)}
    return [found.get(at, 0) for at in range(1, _BINS + 1)]


def slowest(connection: Connection, study: int, limit: int) -> list[int]:
    """Return the ids of the experiments that took longest, the longest first."""
    columns = tables.experiment.c
    ran = (columns.study == study, columns.finished_at.is_not(None), columns.started_at.is_not(None))
    query = select(columns.id).where(*ran).order_by(duration().desc(), columns.id)
    return list(connection.scalars(query.limit(limit)))


def most_retried(connection: Connection, study: int, limit: int) -> list[int]:
    """Return the ids of the experiments with the most attempts, at least two, the most first."""
    columns = tables.experiment.c
    query = select(columns.id).where(columns.study == study, columns.attempt > 1)
    return list(connection.scalars(query.order_by(columns.attempt.desc(), columns.id).limit(limit)))
