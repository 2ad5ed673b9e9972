"""The progress that a worker logs: of the studies that it works on, and of its queues when it has nothing to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, literal, not_, or_, select

from qexp.model import OPEN, Status
from qexp.store.connection import Connection, by_index
from qexp.store.reads import study_progress
from qexp.store.reads.study_progress import StudyProgress
from qexp.store.reads.workers import ONLY, only
from qexp.store.schema import tables
from qexp.store.schema.expressions import has, is_due, seconds

_AT_ONCE = 20
"""The most settled studies that are counted at once."""


@dataclass(frozen=True)
class SettledStudy:
    """A study of which no experiment moves until a person acts."""

    progress: StudyProgress
    seconds: float | None
    """From the time when it last got work until its last experiment ended; None if none has ended."""


def progress(connection: Connection, names: Iterable[str], lease: float) -> list[StudyProgress]:
    """Return the progress of the studies of these names, the oldest first. Unknown names have none."""
    by_index(connection)
    studies = tables.study.c
    ids = connection.execute(select(studies.id).where(studies.name.in_(list(names))).order_by(studies.id)).scalars()
    return [found for id_ in ids.all() for found in study_progress.counts(connection, lease, id_)]


def settled(connection: Connection, names: Iterable[str], lease: float) -> list[SettledStudy]:
    """Return some settled ones among the studies of these names; the others cost index look-ups only."""
    by_index(connection)
    studies, experiment = tables.study.c, tables.experiment.c
    pending, queued, running = map(has, OPEN)
    last = (
        select(experiment.finished_at)
        .where(experiment.study == studies.id, experiment.status.in_([Status.DONE, Status.FAILED]))
        .order_by(experiment.finished_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    found = connection.execute(
        select(studies.id, seconds(last - studies.renewed_at))
        .where(studies.name.in_(list(names)), not_(running))
        .where(or_(studies.paused_at.is_not(None), not_(or_(pending, queued))))
        .order_by(studies.id)
        .limit(_AT_ONCE)
    ).all()
    return [
        SettledStudy(counts, took) for id_, took in found for counts in study_progress.counts(connection, lease, id_)
    ]


@dataclass(frozen=True)
class OpenStudies:
    """The studies with open experiments, as a worker of some queues sees them."""

    ready: list[str]
    """Studies on its queues with experiments that could run now."""
    elsewhere: list[str]
    """Studies on its queues with experiments that run on other workers only."""
    paused: list[str]
    """Paused studies on its queues."""
    retries: int
    """Experiments on its queues that wait for the time of a retry."""
    retry_in: float | None
    """Seconds until the first of them is due."""
    other_queues: dict[str, int]
    """The number of studies that wait, by queue that it does not read."""


def open_studies(connection: Connection, queues: Sequence[str]) -> OpenStudies:
    """Return the studies with open experiments; studies without any cost one index look-up each."""
    by_index(connection)
    studies, experiment = tables.study.c, tables.experiment.c
    # pending, queued and running are the last of all statuses by the alphabet
    newest = select(func.max(experiment.status)).where(experiment.study == studies.id).scalar_subquery()
    due = select(literal(1)).where(experiment.study == studies.id, experiment.status == Status.PENDING, is_due())
    query = (
        select(
            studies.name,
            studies.queue,
            studies.paused_at.is_not(None),
            due.exists() | has(Status.QUEUED),
            has(Status.RUNNING),
        )
        .where(newest >= min(OPEN))
        .order_by(studies.id)
    )
    ready, elsewhere, paused, others = [], [], [], dict[str, int]()
    for name, queue, is_paused, is_ready, runs in connection.execute(query):
        if queue not in queues and only(name) not in queues:
            if is_ready and not is_paused:
                others[queue] = others.get(queue, 0) + 1
        elif is_paused:
            paused.append(name)
        elif is_ready:
            ready.append(name)
        elif runs:
            elsewhere.append(name)
    number, first = _retries(connection, queues)
    return OpenStudies(ready, elsewhere, paused, number, first, others)


def _retries(connection: Connection, queues: Sequence[str]) -> tuple[int, float | None]:
    """Return how many experiments wait for the time of a retry, and the seconds until the first."""
    studies, experiment = tables.study.c, tables.experiment.c
    wait = func.min(experiment.not_before) - func.now()
    query = (
        select(func.count(), seconds(wait))
        .join_from(tables.experiment, tables.study, experiment.study == studies.id)
        .where(experiment.status == Status.PENDING, experiment.not_before > func.now())
        .where(or_(studies.queue.in_(queues), (literal(ONLY) + studies.name).in_(queues)))
        .where(studies.paused_at.is_(None))
    )
    number, first = connection.execute(query).one()
    return number, first
