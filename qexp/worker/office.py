"""What a worker's main process keeps in Postgres: that it is there, and what became of children that died."""

from __future__ import annotations

import getpass
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
import psycopg

from qexp import broker
from qexp.client import Client
from qexp.errors import ServiceError
from qexp.settings import Settings
from qexp.source import current
from qexp.store import hot, journal, leases, sources
from qexp.store.connect import Raw, connect
from qexp.store.line import PATIENCE, Line
from qexp.worker.attempt import ledger
from qexp.worker.attempt.capture import path_of
from qexp.worker.attempt.delivery import Delivery, is_refusal
from qexp.worker.attempt.interrupts import GRACE
from qexp.worker.attempt.limits import crashed, death
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attendance import Attendance
from qexp.worker.board import Board, Post, Request
from qexp.worker.context.output import Output
from qexp.worker.dispatcher import Dispatcher
from qexp.worker.heartbeat import Heart
from qexp.worker.tenure import Tenure
from qexp.worker.warden import Warden, tell

log = logging.getLogger(__name__)


_UNDER_WAY = 1.0
"""Seconds to wait for what children are claiming, when they are ended."""


class Office:
    """The main process's side of a worker; opens a connection for each of its rare statements."""

    def __init__(self, settings: Settings, worker: UUID, scratch: Scratch, tenure: Tenure) -> None:
        self.settings, self.worker, self.scratch = settings, worker, scratch
        self.board = Board(scratch.board)
        self._dispatcher = Dispatcher(settings, worker, self.board, self._settle_dead)
        self._warden = Warden(self.board, self._record_kill)
        self._line = line = Line(settings)
        self._delivery = Delivery(settings, line)
        attendance = Attendance(self.board, worker, self._record_death, settings.relaxed)
        self._heart = Heart(settings, worker, line, attendance, self._delivery, tenure)

    def arrive(self, name: str, queues: Sequence[str], concurrency: int) -> None:
        """Register the worker, with the schema current, before it takes anything."""
        broker.check(self.settings)
        Client(self.settings).migrate()
        self._settle_dead()
        self.scratch.make()
        self.board.make()
        environment = current()
        with Client(self.settings).begin() as connection:
            sources.keep_environment(connection, environment)
        with connect(self.settings) as raw:
            leases.register(
                raw,
                self.worker,
                leases.Station(
                    socket.gethostname(), os.getpid(), name, queues, concurrency, _user(), environment.digest
                ),
            )

    def open(self, stop_taking: Callable[[], None]) -> None:
        """Begin what goes on beside the experiments; *stop_taking* is called when the worker is quarantined."""
        self._heart.start(stop_taking)
        self._dispatcher.start()
        self._warden.start()

    def stir(self, scout: int | None) -> None:
        """Note that a child has taken a message; *scout* is the study if it is one of the first of that."""
        self._dispatcher.stir(scout)

    def record_crash(self, ids: Sequence[int], pid: int, reason: str) -> None:
        """End the attempts that a dead child was at."""
        reason = reason.removeprefix("Worker exited prematurely: ").partition(" Job:")[0].rstrip(".")
        post = next((post for post in self.board.busy().values() if post.pid == pid), None)
        if post is not None and post.request in (Request.TIMEOUT, Request.MEMORY):
            self._record_kill(post)
            ids = [number for number in ids if number != post.experiment]
        name = next((word.strip("()") for word in reason.split() if "SIG" in word), None)
        self._record_death(ids, pid, crashed(reason, name))
        with self._logging_losses():
            Client(self.settings).put_back(ids)

    def _record_kill(self, post: Post) -> None:
        """End an attempt whose process was killed because it was over a limit."""
        if post.process == post.pid:  # another process than the child is recorded by the child
            self._record_death([post.experiment], post.pid, death(post, -signal.SIGKILL))

    def _record_death(self, ids: Sequence[int], pid: int, error: hot.Error) -> None:
        with self._logging_losses(), connect(self.settings) as raw:
            self._delivery.deliver_rest(PATIENCE)  # it may have ended, and said so in a file
            unbegun = self._settle(self.worker, self.scratch.folder, pid)
            begun = [number for number in ids if number not in unbegun]
            for failed in hot.crash(raw, begun, self.worker, pid, error):
                again = "" if failed.due is None else f"; its next attempt is due at {failed.due:%H:%M:%S %Z}"
                log.error("experiment %d: %s%s", failed.id, error.message, again)
                self._keep_output(raw, failed, pid)
                self.scratch.remove_attempt(failed.id, failed.attempt)

    def _keep_output(self, raw: Raw, failed: hot.Failed, pid: int) -> None:
        """Store what a dead child had printed and not sent."""
        writer = journal.Writer(failed.id, failed.attempt, self.worker)
        rest = Output(path_of(self.scratch.folder, pid), position=journal.printed(raw, writer)).take(final=True)
        if pieces := [journal.Piece(chunk.position, chunk.size, chunk.text) for chunk in rest]:
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

    def _settle(self, worker: UUID, folder: Path, pid: int) -> Sequence[int]:
        """Record what a process has done that is dead; take back, and return, what it had claimed and not begun."""
        held = ledger.held(folder, pid)
        begun = held.begun(Board(folder / "board"), pid)
        if held.done:
            self._record(worker, pid, held.done)
        if begun:  # what a server that crashed has forgotten would have no row, and its number would come twice
            self._line.do(lambda raw: hot.claim_again(raw, begun, worker, pid, begun), "what was begun")
        unbegun = held.unbegun(next(iter(begun), None))
        if unbegun and (undone := self._line.do(lambda raw: hot.undo(raw, unbegun, worker, pid), "what was not begun")):
            Client(self.settings).put_back(undone)
        if not psutil.pid_exists(pid):
            ledger.forget(folder, pid, held)
        return unbegun

    def _record(self, worker: UUID, pid: int, items: Sequence[hot.Done]) -> None:
        """Record results of a dead process; those that Postgres refuses are lost, and run again as such."""
        try:
            if recorded := self._delivery.record(worker, pid, items):
                log.info("%d results of a dead process were recorded", len(recorded))
        except (psycopg.Error, ValueError, OverflowError) as error:
            if not is_refusal(error):
                raise
            if len(items) == 1:
                log.error("experiment %d: what it has left is refused: %s", items[0].id, " ".join(str(error).split()))
                return
            for item in items:
                self._record(worker, pid, [item])

    def _settle_own(self) -> None:
        """Do so for the children, which are dead or about to be."""
        for pid in ledger.holders(self.scratch.folder):
            self._settle(self.worker, self.scratch.folder, pid)

    def _settle_dead(self) -> None:
        """Do so for workers of this machine that were killed."""
        for worker, folder in self.scratch.abandoned(self._knows):
            for pid in ledger.holders(folder):
                self._settle(worker, folder, pid)

    def _knows(self, worker: UUID) -> bool:
        """Say whether a worker is one of this site."""
        return self._line.do(lambda raw: leases.is_known(raw, worker), "workers of this machine")

    def give_back(self, taken: Iterable[int]) -> None:
        """
        Return what is running to Postgres, announce it anew, and leave: a cold shutdown kills the children next.

        *taken* is what messages of this worker have announced, begun or not.
        """
        self.board.close()
        self._line = Line(self.settings)  # a signal may have interrupted what is done over the other one
        self._delivery = Delivery(self.settings, self._line)
        self.ask_to_stop()
        self._close(hurry=True)
        self._await_claims()
        with self._logging_losses():
            self._settle_own()
            with connect(self.settings) as raw:
                released = hot.release(raw, self.worker)
                leases.leave(raw, self.worker)
            for experiment, _ in released:
                log.warning("experiment %d: given back, the worker stops at once", experiment)
            Client(self.settings).announce_studies(sorted({study for _, study in released}))
            Client(self.settings).put_back(list(taken))

    def _await_claims(self) -> None:
        """Let claims that children have under way be made, so that they can be taken back; no more are begun."""
        folder, deadline = self.scratch.folder, time.monotonic() + _UNDER_WAY
        while time.monotonic() < deadline and any(
            psutil.pid_exists(pid) and ledger.held(folder, pid).under_way for pid in ledger.holders(folder)
        ):
            time.sleep(0.02)

    def leave(self) -> None:
        """Say that the worker has stopped, and record what its children have left."""
        self._close()
        with self._logging_losses():
            self._settle_own()
            with connect(self.settings) as raw:
                leases.leave(raw, self.worker)
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


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a user id that has no name
        return str(os.getuid())
