"""The main process of a worker: registers it in Postgres, starts its threads, and records the death of children."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil

from qexp.current_process import user_name
from qexp.errors import ServiceError
from qexp.model import Error
from qexp.queueing import broker
from qexp.queueing.publisher import open_publisher
from qexp.settings import Settings
from qexp.source import current
from qexp.store.connection import Database, connect
from qexp.store.schema import schema_version, views
from qexp.store.writes import claiming, sources, worker_rows
from qexp.truncation import listed
from qexp.worker.attempt.process_control import crash_error, death_error
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attempt.signals import GRACE
from qexp.worker.child.outbox_files import ChildDeath
from qexp.worker.lifetime import WorkerLifetime
from qexp.worker.log.worker_log import WorkerLog
from qexp.worker.main.heartbeat import Heartbeat
from qexp.worker.main.leader import Leader
from qexp.worker.main.limits import LimitEnforcer, send_request
from qexp.worker.main.progress import ProgressLogger
from qexp.worker.main.reconciler import Reconciler
from qexp.worker.main.recovery import PATIENCE, Recovery
from qexp.worker.main.study_feeder import StudyFeeder
from qexp.worker.slots import SLOTS, ChildRequest, SlotEntry, SlotTable

log = logging.getLogger(__name__)

_SHOWN = 8
"""The most experiments that a line names."""
_CLAIMING = 1.0
"""Seconds to wait for claims under way before the children are killed."""


class MainProcess:
    """Answers Celery's signals in the main process of a worker."""

    def __init__(
        self,
        settings: Settings,
        worker: UUID,
        scratch: Scratch,
        lifetime: WorkerLifetime,
        feeder: StudyFeeder | None = None,
    ) -> None:
        self._feeder = feeder
        self.settings, self.worker, self.scratch = settings, worker, scratch
        self.log = WorkerLog()
        self.slots = SlotTable(scratch.slots)
        self.recovery = recovery = Recovery(settings, worker, scratch, self.slots)
        self._leader = Leader(settings, worker, self.slots, recovery.recover_dead_workers)
        self._limits = LimitEnforcer(self.slots, self._record_kill)
        reconciler = Reconciler(self.slots, worker, recovery.note_death)
        self.heartbeat = Heartbeat(settings, recovery, reconciler, lifetime)
        self.progress = ProgressLogger(settings, self.slots, self.log)
        self._dead: deque[int] = deque(maxlen=SLOTS)
        """Processes whose deaths are recorded, the last ones."""

    def register(self, name: str, queues: Sequence[str], concurrency: int) -> None:
        """Migrate the schema, recover the work of killed workers on this machine, and register this worker."""
        broker.check(self.settings)
        database = Database(self.settings)
        with database.begin() as connection:
            schema_version.migrate(connection, self.settings.lease)
        views.renew(database)
        self.recovery.recover_dead_workers()
        self.scratch.make()
        self.slots.create()
        environment = current()
        with database.begin() as connection:
            sources.keep_environment(connection, environment)
        with connect(self.settings) as raw:
            worker_rows.register(
                raw,
                self.worker,
                worker_rows.WorkerInfo(
                    socket.gethostname(),
                    os.getpid(),
                    name,
                    queues,
                    concurrency,
                    user_name(),
                    environment.digest,
                    _boot(),
                ),
            )

    def start(self, queues: Sequence[str], stop_taking: Callable[[], None]) -> None:
        """Start the threads; the heartbeat calls *stop_taking* when the worker is quarantined."""
        self.log.start()
        self.heartbeat.start(stop_taking)
        self._leader.start()
        self._limits.start()
        self.progress.start(queues)
        if self._feeder is not None:
            self._feeder.start()

    def explains_death(self, pid: int) -> bool:
        """Say whether the log tells of the death of a child as the end of its attempt."""
        return pid in self._dead or self.slots.find(pid) is not None

    def wake(self, study: int) -> None:
        """Tell the threads that publish that a child has taken a probe of a study."""
        self._leader.wake(study)
        if self._feeder is not None:
            self._feeder.wake()

    def record_crash(self, ids: Sequence[int], pid: int, reason: str) -> None:
        """End the attempt that the dead child *pid* ran, and publish the other experiments of its message again."""
        reason = reason.removeprefix("Worker exited prematurely: ").partition(" Job:")[0].rstrip(".")
        name = next((word.strip("()") for word in reason.split() if "SIG" in word), None)
        self._dead.append(pid)
        entry = self.slots.find(pid)
        if entry is not None and entry.request is not ChildRequest.NONE and entry.process in (pid, 0):
            error = death_error(entry, -signal.SIGKILL)
        else:
            error = crash_error(reason, name)
        self.recovery.note_death(_death(self.worker, pid, error, entry))
        with self._logging_losses(), open_publisher(self.settings) as publisher:
            publisher.republish(ids)

    def _record_kill(self, entry: SlotEntry) -> None:
        """End an attempt whose process was killed because it exceeded a limit."""
        self._dead.append(entry.pid)
        if entry.process == entry.pid:  # otherwise the child records the death of its subprocess
            self.recovery.note_death(_death(self.worker, entry.pid, death_error(entry, -signal.SIGKILL), entry))

    def ask_to_stop(self) -> None:
        """Ask functions that read `stop_requested` to stop, and wait up to GRACE seconds for them."""
        waiting = {slot: entry for slot, entry in self.slots.occupied().items() if entry.asks_to_stop}
        for slot, entry in waiting.items():
            send_request(self.slots, slot, entry, ChildRequest.STOP)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and any(
            (now := self.slots.read(slot)) is not None and now.experiment == entry.experiment
            for slot, entry in waiting.items()
        ):
            time.sleep(0.05)

    def give_back(self, taken: Iterable[int]) -> None:
        """
        Release running experiments in Postgres, publish them again, and deregister, before the children are killed.

        *taken* are the ids in messages that this worker has taken.
        """
        self.slots.refuse_new()
        self.recovery.reconnect()
        self.ask_to_stop()
        self._stop_threads(hurry=True)
        self._await_claims()
        with self._logging_losses():
            self.recovery.recover_own()
            released = self.recovery.postgres.run(
                lambda raw: claiming.release(raw, self.worker), "the experiments of this worker", PATIENCE
            )
            self._deregister()
            if released:
                ids = listed([f"#{experiment}" for experiment, _ in released], _SHOWN)
                log.warning("%s given back: %s", _were(len(released)), ids)
            with open_publisher(self.settings) as publisher:
                publisher.publish_studies({study for _, study in released})
                publisher.republish(list(taken))

    def _await_claims(self) -> None:
        """Wait for claims under way, so that they can be released; the children make no new ones."""
        deadline = time.monotonic() + _CLAIMING
        while time.monotonic() < deadline and any(psutil.pid_exists(pid) for pid in self.slots.claiming_processes()):
            time.sleep(0.02)

    def shut_down(self) -> None:
        """Recover the work of the children, and deregister the worker."""
        self._stop_threads()
        with self._logging_losses():
            self.recovery.recover_own()
            self._deregister()
            self.scratch.remove()  # after an error, the next worker on this machine recovers the work
            self.progress.log_last()
        log.info("stopped")
        self.log.stop()

    def _deregister(self) -> None:
        end = "the end of this worker"
        self.recovery.postgres.run(lambda raw: worker_rows.deregister(raw, self.worker), end, PATIENCE)

    def _stop_threads(self, hurry: bool = False) -> None:
        patience = GRACE if hurry else None  # threads may wait for a lock that interrupted code holds
        if self._feeder is not None:
            self._feeder.stop(hurry, patience)
        self._leader.stop(hurry, patience)
        self._limits.stop(patience)
        self.heartbeat.stop(patience)
        self.progress.stop(patience)

    @contextmanager
    def _logging_losses(self) -> Iterator[None]:
        """Log that a service is unreachable, and continue."""
        try:
            yield
        except ServiceError as error:
            log.error("%s", error)


def _death(worker: UUID, pid: int, error: Error, entry: SlotEntry | None) -> ChildDeath:
    if entry is None:
        return ChildDeath(worker, pid, error)
    return ChildDeath(worker, pid, error, entry.experiment, entry.attempt)


def _were(number: int) -> str:
    return "1 running experiment is" if number == 1 else f"{number:,} running experiments are"


def _boot() -> str | None:
    """Return the id of the host's last boot. Returns None except on Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
