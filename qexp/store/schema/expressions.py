"""SQL expressions over the tables: durations, and levels of queues."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Double, cast, func

from qexp.store.schema import tables


def seconds(interval: ColumnElement[Any]) -> ColumnElement[float]:
    """Return an interval in seconds."""
    return cast(func.extract("epoch", interval), Double)


def last_attempt() -> ColumnElement[float]:
    """Return the seconds of an experiment's last attempt."""
    columns = tables.experiment.c
    return seconds(columns.finished_at - columns.started_at)


def duration() -> ColumnElement[float]:
    """Return the seconds of an experiment's last attempt and of the attempts that it continues."""
    return last_attempt() + func.coalesce(tables.experiment.c.seconds_before, 0.0)


def level_of(priority: ColumnElement[int]) -> ColumnElement[int]:
    """Return the list of a queue for a priority, as `qexp.queueing.messages.level` does, in SQL."""
    return func.least(9, func.greatest(0, 5 - priority))
