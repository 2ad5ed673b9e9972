"""Read the workers with their state and the experiments that they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Row, Select, exists, func, literal, or_, select

from qexp.model import Status
from qexp.store.connection import Connection
from qexp.store.schema import tables
from qexp.store.schema.expressions import seconds


class WorkerState(StrEnum):
    """The state of a worker."""

    IDLE = "idle"
    BUSY = "busy"
    QUARANTINED = "quarantined"
    """It takes no experiments: its attempts failed while other workers succeeded."""
    SILENT = "silent"
    """It sent no heartbeat for longer than the lease; another worker will recover its experiments."""
    STOPPED = "stopped"
    LOST = "lost"
    """It was silent, and its experiments were recovered."""


LIVE = (WorkerState.IDLE, WorkerState.BUSY)


def live(lease: float, worker: FromClause = tables.worker) -> ColumnElement[bool]:
    """Say whether a worker sends heartbeats and takes experiments."""
    columns = worker.c
    heard = columns.last_seen > func.clock_timestamp() - timedelta(seconds=lease)
    return columns.stopped_at.is_(None) & columns.quarantined_at.is_(None) & heard


ONLY = "study:"
"""The beginning of the entry in a worker's queues that stands for one study on any queue."""


def only(study: str) -> str:
    """Return the entry in the queues of a worker that takes the experiments of one study only."""
    return f"{ONLY}{study}"


def serves(study: FromClause = tables.study, worker: FromClause = tables.worker) -> ColumnElement[bool]:
    """Say whether a worker takes the experiments of a study: it listens on its queue, or takes only this study."""
    heard = worker.c.queues
    return or_(study.c.queue == func.any(heard), literal(ONLY) + study.c.name == func.any(heard))


def is_served(lease: float) -> ColumnElement[bool]:
    """
    Say whether a live worker takes the experiments of a study.

    Unlike `serves`, it reads the workers once for all studies.
    """
    study = tables.study.c
    heard = select(func.unnest(tables.worker.c.queues)).where(live(lease))
    return or_(study.queue.in_(heard), (literal(ONLY) + study.name).in_(heard))


def children(connection: Connection, study: int, lease: float) -> int:
    """Return how many child processes the live workers of a study have."""
    query = select(func.coalesce(func.sum(tables.worker.c.concurrency), 0)).where(
        tables.study.c.id == study, live(lease), serves()
    )
    return int(connection.execute(query).scalar_one())


def number_of(connection: Connection, study: int, lease: float) -> int:
    """Return how many live workers take the experiments of a study."""
    query = select(func.count()).where(tables.study.c.id == study, live(lease), serves())
    return int(connection.execute(query).scalar_one())


def unserved_queues(connection: Connection, studies: Sequence[int], lease: float) -> list[str]:
    """Return the queues of those studies that no live worker takes, without paused studies."""
    study = tables.study.c
    query = select(study.queue).distinct().where(study.id.in_(studies), study.paused_at.is_(None), ~is_served(lease))
    return list(connection.execute(query.order_by(study.queue)).scalars())


@dataclass(frozen=True)
class WorkerView:
    """A worker as a person reads it; all times are the database's."""

    id: UUID
    name: str
    host: str
    pid: int
    user: str | None
    state: WorkerState
    concurrency: int
    queues: list[str]
    running: Mapping[str, list[int]]
    """Ids of the experiments that it runs, by study."""
    leads: bool
    """It announces due experiments, and recovers the experiments of silent workers."""
    started_at: datetime
    last_seen: datetime
    stopped_at: datetime | None
    quarantine_reason: str | None
    age: float
    """Seconds since it was started."""
    silence: float
    """Seconds since its last heartbeat."""

    @property
    def live(self) -> bool:
        """Say whether it takes experiments."""
        return self.state in LIVE

    def serves(self, study: str, queue: str) -> bool:
        """Say whether it takes the experiments of a study, which wait on this queue."""
        return queue in self.queues or self.serves_only(study)

    def serves_only(self, study: str) -> bool:
        """Say whether it takes the experiments of this study and of no other."""
        return only(study) in self.queues

    @property
    def busy(self) -> int:
        """How many experiments it runs."""
        return sum(map(len, self.running.values()))


def listed(connection: Connection, lease: float, stopped: int = 0) -> list[WorkerView]:
    """
    Return the workers that have not stopped, by host and name, then the *stopped* ones that stopped last.

    A worker without a heartbeat for *lease* seconds is silent.
    """
    columns = tables.worker.c
    present = _workers().where(columns.stopped_at.is_(None)).order_by(columns.host, columns.name, columns.started_at)
    gone = _workers().where(columns.stopped_at.is_not(None)).order_by(columns.stopped_at.desc()).limit(stopped)
    rows = [row for query in (present, gone) for row in connection.execute(query)]
    running = _running(connection)
    return [_view(row, running.get(row.id, {}), lease) for row in rows]


def find(connection: Connection, worker: UUID, lease: float) -> WorkerView:
    """Return one worker, whether it has stopped or not."""
    row = connection.execute(_workers().where(tables.worker.c.id == worker)).one()
    return _view(row, _running(connection).get(worker, {}), lease)


_COLUMNS = (
    *("id", "name", "host", "pid", "user", "concurrency", "queues"),
    *("started_at", "last_seen", "stopped_at", "quarantined_at", "quarantine_reason"),
)


def _workers() -> Select[Any]:
    columns, leader = tables.worker.c, tables.leader.c
    now = func.clock_timestamp()  # not now(): a heartbeat may come after the transaction began
    return select(
        *(columns[name] for name in _COLUMNS),
        exists().where(leader.worker == columns.id, leader.until > now).label("leads"),
        seconds(now - columns.started_at).label("age"),
        seconds(now - columns.last_seen).label("silence"),
        seconds(columns.stopped_at - columns.last_seen).label("last_silence"),
    )


def _running(connection: Connection) -> dict[UUID, dict[str, list[int]]]:
    columns, study = tables.experiment.c, tables.study.c
    query = (
        select(columns.worker, study.name, func.array_agg(columns.id))
        .join_from(tables.experiment, tables.study, columns.study == study.id)
        .where(columns.status == Status.RUNNING)
        .group_by(columns.worker, study.id)
        .order_by(study.id)
    )
    found: dict[UUID, dict[str, list[int]]] = {}
    for worker, name, ids in connection.execute(query):
        found.setdefault(worker, {})[name] = sorted(ids)
    return found


def _view(row: Row[Any], running: Mapping[str, list[int]], lease: float) -> WorkerView:
    values = dict(row._mapping)
    last_silence, quarantined_at = values.pop("last_silence"), values.pop("quarantined_at")
    if values["stopped_at"] is not None:
        state = WorkerState.LOST if last_silence > lease else WorkerState.STOPPED
    elif values["silence"] > lease:
        state = WorkerState.SILENT
    elif quarantined_at is not None:
        state = WorkerState.QUARANTINED
    else:
        state = WorkerState.BUSY if running else WorkerState.IDLE
    return WorkerView(state=state, running=running, **values)
