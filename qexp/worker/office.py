"""What a worker's main process keeps in Postgres: that it is there, and what became of children that died."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil

from qexp import private_folders
from qexp.errors import ResultError, ServiceError
from qexp.model import Error, Failure, OutputPiece
from qexp.queueing import broker
from qexp.queueing.publisher import open_publisher
from qexp.settings import Settings
from qexp.source import current
from qexp.store.connection import Database, Raw, connect
from qexp.store.reconnecting import REFUSALS, ReconnectingConnection
from qexp.store.schema import schema_version, views
from qexp.store.writes import claiming, journal, sources, worker_rows
from qexp.this_process import user_name
from qexp.truncation import single_line
from qexp.worker.attempt import failure
from qexp.worker.attempt.capture import path_of
from qexp.worker.attempt.processes import crash_error, death_error
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attempt.signals import GRACE
from qexp.worker.attendance import Attendance
from qexp.worker.board import Board, Post, Request
from qexp.worker.child import result_log
from qexp.worker.child.outbox import ResultOutbox
from qexp.worker.child.outbox_files import ChildDeath, set_aside
from qexp.worker.context.output import Output
from qexp.worker.dispatcher import Dispatcher
from qexp.worker.heartbeat import Heart
from qexp.worker.tenure import Tenure
from qexp.worker.warden import Warden, tell

log = logging.getLogger(__name__)


_MOMENT = 2.0
"""Seconds for which the main process waits for a Postgres that is away: Celery's loop stands still meanwhile."""
_UNDER_WAY = 1.0
"""Seconds to wait for what children are claiming, when they are ended."""


class Office:
    """The main process's side of a worker; opens a connection for each of its rare statements."""

    def __init__(self, settings: Settings, worker: UUID, scratch: Scratch, tenure: Tenure) -> None:
        self.settings, self.worker, self.scratch = settings, worker, scratch
        self.board = Board(scratch.board)
        self._dispatcher = Dispatcher(settings, worker, self.board, self._settle_dead)
        self._warden = Warden(self.board, self._record_kill)
        self._postgres = postgres = ReconnectingConnection(settings)
        self._outbox = ResultOutbox(settings, postgres)
        attendance = Attendance(self.board, worker, self._note_death)
        self._heart = Heart(settings, worker, postgres, attendance, self._outbox, tenure, self._record_death)

    def arrive(self, name: str, queues: Sequence[str], concurrency: int) -> None:
        """Register the worker, with the schema current, before it takes anything."""
        broker.check(self.settings)
        database = Database(self.settings)
        with database.begin() as connection:
            schema_version.migrate(connection, self.settings.lease)
        views.renew(database)
        self._settle_dead()
        self.scratch.make()
        self.board.make()
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

    def open(self, stop_taking: Callable[[], None]) -> None:
        """Begin what goes on beside the experiments; *stop_taking* is called when the worker is quarantined."""
        self._heart.start(stop_taking)
        self._dispatcher.start()
        self._warden.start()

    def wake(self, study: int) -> None:
        """Tell the dispatcher that a child has taken a probe of a study."""
        self._dispatcher.wake(study)

    def record_crash(self, ids: Sequence[int], pid: int, reason: str) -> None:
        """End the attempt that a dead child was at, and give to others what it had not begun of a message."""
        reason = reason.removeprefix("Worker exited prematurely: ").partition(" Job:")[0].rstrip(".")
        name = next((word.strip("()") for word in reason.split() if "SIG" in word), None)
        post = self.board.of(pid)
        if post is not None and post.request is not Request.NONE and post.process in (pid, 0):
            error = death_error(post, -signal.SIGKILL)
        else:
            error = crash_error(reason, name)
        self._note_death(_death(self.worker, pid, error, post))
        with self._logging_losses(), open_publisher(self.settings) as publisher:
            publisher.republish(ids)

    def _record_kill(self, post: Post) -> None:
        """End an attempt whose process was killed because it was over a limit."""
        if post.process == post.pid:  # another process than the child is recorded by the child
            self._note_death(_death(self.worker, post.pid, death_error(post, -signal.SIGKILL), post))

    def _note_death(self, died: ChildDeath) -> None:
        """Deal with the death of a child; while Postgres is away it waits in the outbox, and nobody waits for it."""
        try:
            self._record_death(died)
        except ServiceError as error:
            log.warning("the death of process %d is not recorded yet: %s", died.pid, single_line(error))
            try:
                self._outbox.keep_death(died)
            except OSError as problem:  # the board still has it, and the next heartbeat tries again
                log.error("the death of process %d is kept in memory only: %s", died.pid, problem)

    def _record_death(self, died: ChildDeath) -> None:
        """Record what a dead process has left, take back what it had not begun, and end the attempt that it was at."""
        self._outbox.drain(_MOMENT)  # it may have ended, and said so in a file
        folder = Scratch(died.worker).folder
        self._settle(died.worker, folder, died.pid, [died.experiment] if died.attempt and died.experiment else [])
        if died.attempt and (experiment := died.experiment):
            self._postgres.run(
                lambda raw: self._end_attempt(raw, folder, died, experiment), "the death of a child", _MOMENT
            )
            self.scratch.remove_attempt(died.experiment, died.attempt)
        if died.worker == self.worker:
            self.board.forget(died.pid)

    def _end_attempt(self, raw: Raw, folder: Path, died: ChildDeath, experiment: int) -> None:
        """End the attempt that a dead child was at."""
        for one in claiming.crash(raw, [experiment], died.worker, died.pid, died.error, attempt=died.attempt):
            again = "" if one.due is None else f"; its next attempt is due at {one.due:%H:%M:%S %Z}"
            log.error("experiment %d: %s%s", one.id, died.error.message, again)
            self._keep_output(raw, folder, one, died)

    def _keep_output(self, raw: Raw, folder: Path, failed: claiming.FailedAttempt, died: ChildDeath) -> None:
        """Store what a dead child had printed and not sent."""
        writer = journal.AttemptFence(failed.id, failed.attempt, died.worker)
        rest = Output(path_of(folder, died.pid), position=journal.printed(raw, writer)).take(final=True)
        if pieces := [OutputPiece(chunk.position, chunk.size, chunk.text) for chunk in rest]:
            journal.add_output(raw, writer, pieces)

    def ask_to_stop(self) -> None:
        """Tell functions that want to know that the node goes away, and wait a little for them to save and leave."""
        waiting = {slot: post for slot, post in self.board.busy().items() if post.cooperative}
        for slot, post in waiting.items():
            tell(self.board, slot, post, Request.STOP)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and any(
            (now := self.board.get(slot)) is not None and now.experiment == post.experiment
            for slot, post in waiting.items()
        ):
            time.sleep(0.05)

    def _settle(self, worker: UUID, folder: Path, pid: int, begun: Sequence[int] | None) -> None:
        """
        Record what a process has done that dies or is dead, and take back what it had claimed and not *begun*.

        None: what it had begun is not known, so nothing is taken back.
        """
        left = result_log.read(folder, pid)
        if left.results:
            self._record(worker, pid, left.results)
        if begun is not None and (
            undone := self._postgres.run(
                lambda raw: claiming.undo(raw, worker, pid, begun), "experiments that did not start", _MOMENT
            )
        ):
            with open_publisher(self.settings) as publisher:
                publisher.republish(undone)
        if left.damaged:
            set_aside(result_log.path_of(folder, pid), self.settings.unreadable, "a line of it is no result")
        elif not psutil.pid_exists(pid):
            result_log.forget(folder, pid)

    def _record(self, worker: UUID, pid: int, items: Sequence[claiming.EncodedResult]) -> None:
        """Record results of a dead process; those that Postgres refuses are errors of their experiments."""
        try:
            if recorded := self._outbox.record_encoded(worker, items, patience=_MOMENT):
                log.info("recorded %d results of a dead process", len(recorded))
        except REFUSALS as error:
            if len(items) > 1:
                for item in items:
                    self._record(worker, pid, [item])
                return
            (item,) = items
            reason = failure.describe(
                ResultError(f"the result cannot be stored: {single_line(error)}"), Failure.ERROR, None
            )
            self._postgres.run(
                lambda raw: claiming.crash(raw, [item.id], worker, pid, reason, attempt=item.attempt),
                "a refused result",
                _MOMENT,
            )
            log.error("experiment %d: %s", item.id, reason.message)

    def _settle_own(self) -> None:
        """Settle what the children of this worker hold, which are dead or about to be."""
        self._settle_all(self.worker, self.scratch.folder)

    def _settle_dead(self) -> None:
        """Settle what workers of this machine hold that were killed."""
        for worker, folder in self.scratch.abandoned(self._knows):
            self._settle_all(worker, folder)

    def _settle_all(self, worker: UUID, folder: Path) -> None:
        running = self._postgres.run(
            lambda raw: claiming.processes(raw, worker), "the experiments of a worker", _MOMENT
        )
        board = Board(folder / "board")
        for pid in {*running, *result_log.writers(folder)}:
            self._settle(worker, folder, pid, _begun(board, pid))

    def _knows(self, worker: UUID) -> bool:
        """Say whether a worker is one of this site."""
        return self._postgres.run(lambda raw: worker_rows.is_known(raw, worker), "workers of this machine")

    def give_back(self, taken: Iterable[int]) -> None:
        """
        Return what is running to Postgres, publish it again, and leave: a cold shutdown kills the children next.

        *taken* are the ids in messages that this worker has taken, begun or not.
        """
        self.board.close()
        self._postgres = ReconnectingConnection(self.settings)  # a signal may have interrupted the other one
        self._outbox = ResultOutbox(self.settings, self._postgres)
        self.ask_to_stop()
        self._close(hurry=True)
        self._await_claims()
        with self._logging_losses():
            self._settle_own()
            released = self._postgres.run(
                lambda raw: claiming.release(raw, self.worker), "the experiments of this worker", _MOMENT
            )
            self._postgres.run(lambda raw: worker_rows.leave(raw, self.worker), "the end of this worker", _MOMENT)
            for experiment, _ in released:
                log.warning("experiment %d: given back, because the worker stops now", experiment)
            with open_publisher(self.settings) as publisher:
                publisher.publish_studies({study for _, study in released})
                publisher.republish(list(taken))

    def _await_claims(self) -> None:
        """Let claims that children have under way be made, so that they can be taken back; no more are begun."""
        deadline = time.monotonic() + _UNDER_WAY
        while time.monotonic() < deadline and any(psutil.pid_exists(pid) for pid in self.board.claims()):
            time.sleep(0.02)

    def leave(self) -> None:
        """Say that the worker has stopped, and record what its children have left."""
        self._close()
        with self._logging_losses():
            self._settle_own()
            self._postgres.run(lambda raw: worker_rows.leave(raw, self.worker), "the end of this worker", _MOMENT)
            self.scratch.remove()  # else who is next on this machine finds there what is left to record

    def _close(self, hurry: bool = False) -> None:
        patience = GRACE if hurry else None  # they may wait for what a signal has interrupted
        self._dispatcher.stop(hurry, patience)
        self._warden.stop(patience)
        self._heart.stop(patience)

    @contextmanager
    def _logging_losses(self) -> Iterator[None]:
        """Log that a service is out of reach: Celery's main process must go on whatever Postgres does."""
        try:
            yield
        except ServiceError as error:
            log.error("%s", error)


def _begun(board: Board, pid: int) -> Sequence[int] | None:
    """Return what a process is at, or was; None: the board cannot be read, and all is left to the worker's lease."""
    try:
        if not private_folders.is_owned(board.path):
            raise ValueError("it does not exist, or belongs to another user")
        post = board.of(pid)
    except (OSError, ValueError) as error:
        log.error("%s cannot be read: %s", board.path, error)
        return None
    return [post.experiment] if post is not None and post.attempt else []


def _death(worker: UUID, pid: int, error: Error, post: Post | None) -> ChildDeath:
    if post is None:
        return ChildDeath(worker, pid, error)
    return ChildDeath(worker, pid, error, post.experiment, post.attempt)


def _boot() -> str | None:
    """Return what names the time since this host was started; None: it does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # only Linux has it
        return None
