"""Find studies that fail more than their grids allow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, literal, or_, select

from qexp.model import OPEN, Status
from qexp.store.connection import Connection, by_index
from qexp.store.reads import error_groups
from qexp.store.reads.revisions import is_newest
from qexp.store.schema import tables
from qexp.store.schema.expressions import has
from qexp.truncation import shortened, single_line

_JUDGED_FROM = 10
"""Experiments that must have ended before the share of failures counts."""
_SHOWN = 120
"""Characters of an error in a reason."""


@dataclass(frozen=True)
class ExceededLimit:
    """A study with too many failures since it was made or last resumed."""

    id: int
    name: str
    failed: int
    since: datetime


def exceeded(connection: Connection) -> list[ExceededLimit]:
    """Return the studies that exceeded their failure limits; studies without a limit are not checked."""
    by_index(connection)
    study, revision, experiment = tables.study.c, tables.revision.c, tables.experiment.c
    since = func.coalesce(study.resumed_at, study.created_at)
    failed = (
        select(func.count())
        .where(
            experiment.study == study.id,
            experiment.finished_at >= since,
            experiment.status == Status.FAILED,
            experiment.error_fingerprint.is_not(None),  # each failed experiment has one, and it is indexed
        )
        .scalar_subquery()
    )
    query = (
        select(study.id, study.name, failed, since, revision.stop_after)
        .join_from(tables.study, tables.revision, is_newest())
        .where(study.paused_at.is_(None), revision.stop_after != literal({}, revision.stop_after.type))
        .where(or_(*map(has, OPEN)))
        .order_by(study.id)
    )
    found = [(ExceededLimit(*row[:4]), row[4]) for row in connection.execute(query) if row[2]]
    return [excess for excess, limits in found if _is_over(connection, excess, limits)]


def _is_over(connection: Connection, excess: ExceededLimit, limits: Mapping[str, float]) -> bool:
    """Compare a study with its limits. Counts no more ended experiments than the share needs."""
    if excess.failed >= limits.get("failures", math.inf):
        return True
    if "rate" not in limits:
        return False
    telling = max(_JUDGED_FROM, math.floor(excess.failed / limits["rate"]) + 1)
    some = select(literal(1)).where(_ended(excess)).limit(telling).subquery()
    ended: int = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return ended >= _JUDGED_FROM and excess.failed >= limits["rate"] * ended


def _ended(excess: ExceededLimit) -> ColumnElement[bool]:
    columns = tables.experiment.c
    return and_(
        columns.study == excess.id,
        columns.finished_at >= excess.since,
        columns.status.in_([Status.DONE, Status.FAILED]),
    )


def reason(connection: Connection, excess: ExceededLimit) -> str:
    """Return why a study is paused, with its most frequent error and the command that shows the others."""
    ended = _ended(excess)
    number = connection.execute(select(func.count()).where(ended)).scalar_one()
    largest = next(iter(error_groups.error_groups(connection, ended)), None)
    often = ""
    if largest is not None:
        error = single_line(f"{largest.error_type}: {largest.error_message}")
        often = f", most by {shortened(error, _SHOWN)}"
    return f"{excess.failed} of {number} failed{often}; see 'qexp errors {excess.name}'"
