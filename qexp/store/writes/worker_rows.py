"""Store heartbeats, recover silent workers, and keep the leader's lease, by raw psycopg in autocommit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from qexp.model import Error
from qexp.store.connection import RawConnection
from qexp.store.rules.notifications import KEPT, MOST_TRIES
from qexp.store.sql.loader import statements
from qexp.store.writes.claiming import FailedAttempt, crash

SQL = statements("workers.sql")


@dataclass(frozen=True)
class WorkerInfo:
    """A worker as it registers: its host, process and queues."""

    host: str
    pid: int
    name: str
    queues: Sequence[str]
    concurrency: int
    user: str | None = None
    environment: str | None = None
    """The digest of its environment."""
    boot: str | None = None
    """An id of the host's last boot; None: not known."""


def register(raw: RawConnection, worker: UUID, info: WorkerInfo) -> None:
    """Store a worker before it takes experiments."""
    raw.execute(SQL["register"], {"id": worker, **vars(info), "queues": list(info.queues)})


def is_known(raw: RawConnection, worker: UUID) -> bool:
    """Say whether this database has a worker."""
    return raw.execute(SQL["known"], {"id": worker}).fetchone() is not None


@dataclass(frozen=True)
class HeartbeatReply:
    """The answer to a heartbeat."""

    given_up: bool
    """The worker was silent for too long, and other workers have its experiments."""
    site: UUID | None
    """None: no worker has led yet."""
    quarantine: str | None
    """Why the worker takes no experiments; None: it takes them."""


def beat(raw: RawConnection, worker: UUID, now: datetime | None = None, stopping: bool = False) -> HeartbeatReply:
    """Store a heartbeat of a worker, and whether it was told to stop."""
    row = raw.execute(SQL["beat"], {"id": worker, "now": now, "stopping": stopping}).fetchone()
    return HeartbeatReply(True, None, None) if row is None else HeartbeatReply(*row)


@dataclass(frozen=True)
class UnwantedAttempt:
    """An attempt that a child should stop."""

    id: int
    attempt: int
    own: bool
    """True: the worker still has it, but its study is paused. False: another worker has it, or it was cancelled."""
    study: str
    is_cancelled: bool


def unwanted(raw: RawConnection, worker: UUID, attempts: Sequence[tuple[int, int]]) -> list[UnwantedAttempt]:
    """Return the attempts, given as (id, number), that the children of a worker should stop."""
    ids, numbers = ([pair[at] for pair in attempts] for at in (0, 1))
    values = {"worker": worker, "ids": ids, "attempts": numbers}
    return [UnwantedAttempt(*row) for row in raw.execute(SQL["unwanted"], values)]


def strays(raw: RawConnection, worker: UUID, busy: Iterable[int]) -> list[tuple[int, int]]:
    """Return id and process id of a worker's experiments whose status is running, but in no *busy* process."""
    return [(row[0], row[1]) for row in raw.execute(SQL["strays"], {"worker": worker, "busy": list(busy)})]


@dataclass(frozen=True)
class SilentWorker:
    """A worker that sent no heartbeats, and the experiments that it ran."""

    worker: UUID
    name: str
    host: str
    last_seen: datetime
    died: bool
    """It was not told to stop, and its host still runs."""
    experiments: list[int]


def silent(raw: RawConnection, lease: float, now: datetime | None = None) -> list[SilentWorker]:
    """Mark workers without a heartbeat for *lease* seconds as stopped, and return them."""
    return [SilentWorker(*row) for row in raw.execute(SQL["silent"], {"lease": lease, "now": now})]


def recover(raw: RawConnection, silent: SilentWorker, error: Error, now: datetime | None = None) -> list[FailedAttempt]:
    """End the attempts of a silent worker as lost, and return them."""
    return crash(raw, silent.experiments, silent.worker, None, error, now, worker_died=silent.died)


def deregister(raw: RawConnection, worker: UUID) -> None:
    """Store that a worker stopped."""
    raw.execute(SQL["deregister"], {"id": worker})


@dataclass(frozen=True)
class Leadership:
    """The leader's lease."""

    site: UUID
    is_first: bool
    """No worker led this site before."""
    has_work: bool
    """Experiments may change their status, a worker is silent, or a notification waits."""


def lead(
    raw: RawConnection, worker: UUID, lease: float, silence: float, now: datetime | None = None
) -> Leadership | None:
    """
    Take or prolong the leader's lease for *lease* seconds. Returns None if another worker leads.

    A worker that is silent for longer than *silence* seconds is work for the leader.
    """
    values = {"worker": worker, "lease": lease, "silence": silence, "now": now, "tries": MOST_TRIES, "kept": KEPT}
    row = raw.execute(SQL["lead"], values).fetchone()
    return None if row is None else Leadership(*row)


def resign(raw: RawConnection, worker: UUID) -> None:
    """Give up the leader's lease, so that another worker can lead."""
    raw.execute(SQL["resign"], {"worker": worker})
