"""The newest studies with their progress, and the number of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ScalarSelect, func, literal, select

from qexp.model import Status
from qexp.store.connection import Connection, by_index
from qexp.store.reads import study_progress, study_rows
from qexp.store.reads.study_progress import StudyProgress
from qexp.store.schema import tables


@dataclass(frozen=True)
class StudyOverview:
    """The progress of the newest studies, the oldest of them first."""

    shown: list[StudyProgress]
    older: int
    """Older studies beyond the limit."""
    older_open: int
    """Those of them that have unfinished experiments."""
    older_moving: int
    """Those of them whose experiments move by themselves: a paused study counts only while some still run."""
    others: int
    """Studies that were left out because they are archived, or because others were asked for and they are not."""

    @property
    def is_settled(self) -> bool:
        """Say whether no experiment moves until a person acts."""
        return self.older_moving == 0 and all(counts.is_settled for counts in self.shown)


def overview(
    connection: Connection,
    lease: float,
    targets: Sequence[str] = (),
    limit: int | None = None,
    archived: bool = False,
    only_open: bool = False,
) -> StudyOverview:
    """
    Return the progress of the newest *limit* studies, by default of all; experiments of other studies are not counted.

    *targets* are names and patterns. Studies that are archived are left out, unless their full name is given; with
    *archived*, all others are. With *only_open*, these are studies with unfinished experiments.
    A worker is live if its last heartbeat is at most *lease* seconds old.
    """
    found = _found(connection, targets)
    wanted = [row for row in found if row.is_archived == archived or row.name in targets]
    chosen = [row for row in wanted if row.is_open or not only_open]
    count = len(chosen) if limit is None else min(limit, len(chosen))
    older, newest = chosen[: len(chosen) - count], chosen[len(chosen) - count :]
    shown = study_progress.counts(connection, lease, [row.id for row in newest]) if newest else []
    unfinished, moving = (sum(row.is_open for row in older), sum(row.is_moving for row in older))
    return StudyOverview(shown, len(older), unfinished, moving, len(found) - len(wanted))


@dataclass(frozen=True)
class _StudyState:
    """A study: whether experiments wait or run, and whether it is paused or archived."""

    id: int
    name: str
    is_waiting: bool
    is_running: bool
    is_paused: bool
    is_archived: bool

    @property
    def is_open(self) -> bool:
        return self.is_waiting or self.is_running

    @property
    def is_moving(self) -> bool:
        return self.is_running or (self.is_waiting and not self.is_paused)


def _found(connection: Connection, targets: Sequence[str]) -> list[_StudyState]:
    """Return the studies, the oldest first, by a few index look-ups for each."""
    studies = tables.study.c
    waiting = func.coalesce(_one(Status.PENDING), _one(Status.QUEUED), False)
    running = func.coalesce(_one(Status.RUNNING), False)
    query = (
        select(
            studies.id,
            studies.name,
            waiting,
            running,
            studies.paused_at.is_not(None),
            studies.archived_at.is_not(None),
        )
        .where(studies.deleted_at.is_(None))
        .order_by(studies.id)
    )
    if targets:
        query = query.where(studies.id.in_([row.id for row in study_rows.matching(connection, targets)]))
    by_index(connection)
    return [_StudyState(*row) for row in connection.execute(query)]


def _one(status: Status) -> ScalarSelect[bool]:
    """
    Return true if a study has an experiment in a status, otherwise null.

    Unlike EXISTS, it is always a look-up for each study: the planner would read all experiments in the status instead.
    """
    columns = tables.experiment.c
    found = select(literal(True)).where(columns.study == tables.study.c.id, columns.status == status)
    return found.limit(1).scalar_subquery()
