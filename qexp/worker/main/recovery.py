"""Recover the work of dead children and workers: record results, and publish again experiments that did not begin."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import psutil

from qexp import private_folders
from qexp.errors import ServiceError
from qexp.model import Error, OutputPiece, counted
from qexp.queueing.publisher import open_publisher
from qexp.settings import Settings
from qexp.source import cached
from qexp.store.connection import RawConnection
from qexp.store.reads import snapshots
from qexp.store.reconnecting import REFUSALS, ReconnectingConnection
from qexp.store.writes import claiming, journal, worker_rows
from qexp.truncation import single_line
from qexp.worker.attempt import failure
from qexp.worker.attempt.crash_stack import SIGNALS, with_stack
from qexp.worker.attempt.output_capture import path_of
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.child import result_log
from qexp.worker.child.outbox import ResultOutbox
from qexp.worker.child.outbox_files import ChildDeath, set_aside
from qexp.worker.context.output_reader import Output
from qexp.worker.log.attempt_line import AttemptLine
from qexp.worker.slots import SlotTable

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that the main process waits for Postgres: Celery's event loop is blocked meanwhile."""


class Recovery:
    """Recovers the work of dead processes of this worker, and of killed workers on this machine."""

    def __init__(self, settings: Settings, worker: UUID, scratch: Scratch, slots: SlotTable) -> None:
        self.settings, self.worker, self.scratch, self.slots = settings, worker, scratch, slots
        self.postgres = ReconnectingConnection(settings)
        self.outbox = ResultOutbox(settings, self.postgres)

    def reconnect(self) -> None:
        """Use a new connection from now on, since a signal may have interrupted a statement on the old one."""
        self.postgres = ReconnectingConnection(self.settings)
        self.outbox = ResultOutbox(self.settings, self.postgres)

    def note_death(self, died: ChildDeath) -> None:
        """Record the death of a child, or keep it in the outbox if Postgres is unreachable."""
        try:
            self.record_death(died)
        except ServiceError as error:
            log.warning("the death of process %d is not recorded yet: %s", died.pid, single_line(error))
            try:
                self.outbox.keep_death(died)
            except OSError as problem:  # the slot still has the attempt, and the next heartbeat tries again
                log.error("the death of process %d is kept in memory only: %s", died.pid, problem)

    def record_death(self, died: ChildDeath) -> None:
        """Record the results of a dead process, undo claims that it did not begin, and end the attempt that it ran."""
        self.outbox.drain(PATIENCE)  # it may have left the outcome in a file
        folder = Scratch(died.worker).folder
        self.recover_process(
            died.worker, folder, died.pid, [died.experiment] if died.attempt and died.experiment else []
        )
        if died.attempt and (experiment := died.experiment):
            self.postgres.run(
                lambda raw: self._end_attempt(raw, folder, died, experiment), "the death of a child", PATIENCE
            )
            self.scratch.remove_attempt(died.experiment, died.attempt)
        if died.worker == self.worker:
            self.slots.clear_dead(died.pid)

    def _end_attempt(self, raw: RawConnection, folder: Path, died: ChildDeath, experiment: int) -> None:
        """End the attempt that a dead child ran."""
        error = self._with_stack(raw, folder, died, experiment)
        for failed in claiming.crash(raw, [experiment], died.worker, died.pid, error, attempt=died.attempt):
            AttemptLine.of(failed.study, failed.id, error, failed.seconds, failed.retry_in).log(log)
            self._keep_output(raw, folder, failed, died)

    def _with_stack(self, raw: RawConnection, folder: Path, died: ChildDeath, experiment: int) -> Error:
        """Return the error of a dead child, with its Python stack if a signal ended it."""
        if died.error.signal not in SIGNALS:
            return died.error
        source, original = snapshots.places(raw, experiment)
        code = original if source is None else cached(source, self.settings.home / "sources")
        return with_stack(died.error, path_of(folder, died.pid), code, original)

    def _keep_output(self, raw: RawConnection, folder: Path, failed: claiming.FailedAttempt, died: ChildDeath) -> None:
        """Store the output that a dead child had not stored."""
        writer = journal.AttemptFence(failed.id, failed.attempt, died.worker)
        rest = Output(path_of(folder, died.pid), position=journal.printed(raw, writer)).take(final=True)
        if pieces := [OutputPiece(chunk.position, chunk.size, chunk.text) for chunk in rest]:
            journal.add_output(raw, writer, pieces)

    def recover_process(self, worker: UUID, folder: Path, pid: int, begun: Sequence[int] | None) -> None:
        """
        Record the results of a process, and undo its claims except those that it has *begun*.

        If *begun* is None, it is unknown which began, so no claim is undone.
        """
        logged = result_log.read(folder, pid)
        if logged.results:
            self._record(worker, pid, logged.results)
        if begun is not None and (
            undone := self.postgres.run(
                lambda raw: claiming.undo(raw, worker, pid, begun), "experiments that did not start", PATIENCE
            )
        ):
            with open_publisher(self.settings) as publisher:
                publisher.republish(undone)
        if logged.damaged:
            set_aside(result_log.path_of(folder, pid), self.settings.unreadable, "a line of it is no result")
        elif not psutil.pid_exists(pid):
            result_log.forget(folder, pid)

    def _record(self, worker: UUID, pid: int, items: Sequence[claiming.EncodedResult]) -> None:
        """Record results of a dead process. A result that Postgres refuses becomes an error of its experiment."""
        try:
            if recorded := self.outbox.record_encoded(worker, items, patience=PATIENCE):
                log.debug("recorded %s of a dead process", counted(len(recorded), "result"))
        except REFUSALS as error:
            if len(items) > 1:
                for item in items:
                    self._record(worker, pid, [item])
                return
            (item,) = items
            reason = failure.not_storable("the result", error, None)
            failures = self.postgres.run(
                lambda raw: claiming.crash(raw, [item.id], worker, pid, reason, attempt=item.attempt),
                "a refused result",
                PATIENCE,
            )
            for failed in failures:
                AttemptLine.of(failed.study, failed.id, reason, failed.seconds, failed.retry_in).log(log)

    def recover_own(self) -> None:
        """Recover the work of this worker's children."""
        self.recover_worker(self.worker, self.scratch.folder)

    def recover_dead_workers(self) -> None:
        """Recover the work of killed workers on this machine."""
        for worker, folder in self.scratch.abandoned(self._knows):
            self.recover_worker(worker, folder)

    def recover_worker(self, worker: UUID, folder: Path) -> None:
        """Recover the work of a worker's processes."""
        running = self.postgres.run(
            lambda raw: claiming.processes(raw, worker), "the experiments of a worker", PATIENCE
        )
        slots = SlotTable(folder / "slots")
        for pid in {*running, *result_log.writers(folder)}:
            self.recover_process(worker, folder, pid, _begun(slots, pid))

    def _knows(self, worker: UUID) -> bool:
        """Say whether a worker belongs to this site."""
        return self.postgres.run(lambda raw: worker_rows.is_known(raw, worker), "workers of this machine")


def _begun(slots: SlotTable, pid: int) -> Sequence[int] | None:
    """Return the experiment that a process runs or ran. Returns None if the slots cannot be read."""
    try:
        if not private_folders.is_owned(slots.path):
            raise ValueError("it does not exist, or belongs to another user")
        entry = slots.find(pid)
    except (OSError, ValueError) as error:
        log.error("%s cannot be read: %s", slots.path, error)
        return None
    return [entry.experiment] if entry is not None and entry.attempt else []
