"""Rows of `worker` and `leader`: heartbeats, leases, rescue, leadership; raw psycopg in autocommit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from qexp.model import Error
from qexp.store.connection import Raw
from qexp.store.rules.notifications import KEPT, MOST_TRIES
from qexp.store.sql.loader import statements
from qexp.store.writes.claiming import FailedAttempt, crash

SQL = statements("workers.sql")


@dataclass(frozen=True)
class WorkerInfo:
    """A worker as others see it: where it runs and what it listens to."""

    host: str
    pid: int
    name: str
    queues: Sequence[str]
    concurrency: int
    user: str | None = None
    environment: str | None = None
    """The digest of what is installed there."""
    boot: str | None = None
    """What names the time since the host was started; None: not known."""


def register(raw: Raw, worker: UUID, station: WorkerInfo) -> None:
    """Say that a worker is there, before it takes anything."""
    raw.execute(SQL["register"], {"id": worker, **vars(station), "queues": list(station.queues)})


def is_known(raw: Raw, worker: UUID) -> bool:
    """Say whether a worker is one of this database's."""
    return raw.execute(SQL["known"], {"id": worker}).fetchone() is not None


@dataclass(frozen=True)
class HeartbeatReply:
    """What a worker is told when it says that it is there."""

    given_up: bool
    """It was silent for too long, and what it ran was given to others."""
    site: UUID | None
    """None: nobody has led yet."""
    quarantine: str | None
    """Why it is given nothing any more; None: it is."""


def beat(raw: Raw, worker: UUID, now: datetime | None = None, stopping: bool = False) -> HeartbeatReply:
    """Say that a worker is still there, and whether it was told to stop."""
    row = raw.execute(SQL["beat"], {"id": worker, "now": now, "stopping": stopping}).fetchone()
    return HeartbeatReply(True, None, None) if row is None else HeartbeatReply(*row)


@dataclass(frozen=True)
class Unwanted:
    """An attempt that a child is at and should leave."""

    id: int
    attempt: int
    own: bool
    """It is still the worker's, and its study is paused; else it is someone else's, or was cancelled."""


def unwanted(raw: Raw, worker: UUID, posts: Sequence[tuple[int, int]]) -> list[Unwanted]:
    """Return those of the attempts, (id, number), that the children of a worker should leave."""
    values = {"worker": worker, "ids": [post[0] for post in posts], "attempts": [post[1] for post in posts]}
    return [Unwanted(*row) for row in raw.execute(SQL["unwanted"], values)]


def strays(raw: Raw, worker: UUID, busy: Iterable[int]) -> list[tuple[int, int]]:
    """Return what runs on a worker by its row and in none of its *busy* processes: (id, process id)."""
    return [(row[0], row[1]) for row in raw.execute(SQL["strays"], {"worker": worker, "busy": list(busy)})]


@dataclass(frozen=True)
class SilentWorker:
    """A worker that was given up, and what it was running."""

    worker: UUID
    name: str
    host: str
    last_seen: datetime
    died: bool
    """It was not told to stop, and its host goes on."""
    experiments: list[int]


def silent(raw: Raw, lease: float, now: datetime | None = None) -> list[SilentWorker]:
    """Give up the workers that were not heard of for *lease* seconds; return them."""
    return [SilentWorker(*row) for row in raw.execute(SQL["silent"], {"lease": lease, "now": now})]


def rescue(raw: Raw, silent: SilentWorker, error: Error, now: datetime | None = None) -> list[FailedAttempt]:
    """End as lost what a worker that was given up was running; return which attempts those were."""
    return crash(raw, silent.experiments, silent.worker, None, error, now, worker_died=silent.died)


def leave(raw: Raw, worker: UUID) -> None:
    """Say that a worker has stopped."""
    raw.execute(SQL["leave"], {"id": worker})


@dataclass(frozen=True)
class Leadership:
    """The office of the leader: of which site, and whether there is anything for it to look after."""

    site: UUID
    is_first: bool
    """Nobody has led this site before."""
    stirs: bool


def lead(raw: Raw, worker: UUID, lease: float, silence: float, now: datetime | None = None) -> Leadership | None:
    """
    Take the lease of the leader for *lease* seconds, or prolong it; None: another worker leads.

    A worker that was silent for longer than *silence* is something to look after.
    """
    values = {"worker": worker, "lease": lease, "silence": silence, "now": now, "tries": MOST_TRIES, "kept": KEPT}
    row = raw.execute(SQL["lead"], values).fetchone()
    return None if row is None else Leadership(*row)


def resign(raw: Raw, worker: UUID) -> None:
    """Let another worker lead at once."""
    raw.execute(SQL["resign"], {"worker": worker})
