"""SQL expressions that several statements share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Double, FromClause, any_, cast, exists, func, literal, or_

from qexp.model import Status
from qexp.store.schema import tables

LARGEST_ID = 2**63 - 1
"""The largest id that Postgres can hold."""


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


def among(column: ColumnElement[int], ids: Iterable[int]) -> ColumnElement[bool]:
    """Match these ids, as one array: there may be more ids than a statement may have values."""
    return column == any_(literal(list(ids), ARRAY(BigInteger)))


def like(pattern: str) -> str:
    """
    Translate a shell pattern, with `*` for any characters and `?` for one, into one of LIKE.

    >>> like("node_1*")
    'node\\\\_1%'
    """
    return re.sub(r"[%_\\]", r"\\\g<0>", pattern).replace("*", "%").replace("?", "_")


def is_last_attempt(attempt: FromClause = tables.attempt) -> ColumnElement[bool]:
    """Return the condition that joins experiments with their last attempts."""
    columns = tables.experiment.c
    return (attempt.c.experiment == columns.id) & (attempt.c.number == columns.attempt)


def error_of(attempt: FromClause = tables.attempt) -> ColumnElement[str]:
    """Return the error of an attempt as `Type: message`."""
    return func.concat_ws(": ", attempt.c.error_type, func.nullif(attempt.c.error_message, ""))


def has(status: Status, study: Any = tables.study.c.id) -> ColumnElement[bool]:
    """Say whether any experiment of a study has a status; an index look-up for one status."""
    columns = tables.experiment.c
    return exists(columns.id).where(columns.study == study, columns.status == status)


def is_due() -> ColumnElement[bool]:
    """Say whether an experiment does not wait for the time of a retry."""
    columns = tables.experiment.c
    return or_(columns.not_before.is_(None), columns.not_before <= func.now())
