"""What the children of a worker are at is held against the rows: ends what is unwanted, and notes unseen deaths."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from uuid import UUID

import psutil

from qexp.store import hot, leases
from qexp.store.connect import Raw
from qexp.worker.attempt import ledger
from qexp.worker.attempt.interrupts import GRACE
from qexp.worker.attempt.limits import crashed, kill_tree
from qexp.worker.board import Board, Post, Request
from qexp.worker.warden import tell

log = logging.getLogger(__name__)

_UNSEEN = 10.0
"""Seconds without a child until an experiment's attempt is ended; Celery sees deaths before, and says how."""


class Attendance:
    """
    Called with each beat of the heart.

    *died* is told of what no child is at, and its process is gone: (ids, process id, error). *relaxed*: a result that
    was recorded may be forgotten, too.
    """

    def __init__(
        self, board: Board, worker: UUID, died: Callable[[list[int], int, hot.Error], None], relaxed: bool = False
    ) -> None:
        self.board, self.worker, self._relaxed = board, worker, relaxed
        self._died = died
        self._asked: dict[tuple[int, int], float] = {}
        """When each unwanted attempt was asked to leave."""
        self._missed: dict[tuple[int, int], float] = {}
        """Since when no child is at an experiment, by its id and the process that was."""

    @property
    def busy(self) -> bool:
        """Whether a child is at something."""
        return bool(self._posts())

    def _posts(self) -> dict[int, Post]:
        """Return what children are at; those of the dead stay on the board until others take their slots."""
        return {slot: post for slot, post in self.board.busy().items() if psutil.pid_exists(post.pid)}

    def check(self, raw: Raw, grace: float = GRACE) -> None:
        """Look once; what is unwanted is asked to leave, and ended after *grace* seconds."""
        posts = self._posts()
        self._end_unwanted(raw, {slot: post for slot, post in posts.items() if post.process}, grace)
        at = [post.experiment for post in posts.values()] + self._held()
        now, strays = time.monotonic(), leases.strays(raw, self.worker, at)
        self._missed = {stray: self._missed.get(stray, now) for stray in strays}
        for pid in {pid for experiment, pid in strays if self._is_late(experiment, pid)}:
            self._died([], pid, crashed("nothing is left of it", None))
        for (experiment, pid), since in self._missed.items():
            if now - since <= _UNSEEN:
                continue
            if psutil.pid_exists(pid):  # it does not know of it any more, and is at something else
                hot.release(raw, self.worker, [experiment])
                log.warning("experiment %d: given back, its process %d is not at it", experiment, pid)
            else:
                self._died([experiment], pid, crashed("nothing is left of it", None))

    def _is_late(self, experiment: int, pid: int) -> bool:
        """Say whether a process is dead whose claim of an experiment was under way then, and was made since."""
        return not psutil.pid_exists(pid) and experiment in ledger.held(self.board.path.parent, pid).unbegun(None)

    def make_sure(self, raw: Raw) -> None:
        """Claim again what children hold and a server that crashed has forgotten."""
        folder = self.board.path.parent
        for pid in {*(post.pid for post in self.board.busy().values()), *ledger.holders(folder)}:
            held = ledger.held(folder, pid)
            current, ended = held.begun(self.board, pid), {item.id: item.attempt for item in held.done}
            # of the dead, whose deaths may not have been noted yet, others may have what was not begun
            attempts = {**held.attempts, **current} if psutil.pid_exists(pid) else current
            if not self._relaxed:  # else nobody may be about to record it any more, and it runs again
                attempts = {**ended, **attempts}
            if attempts or ended:
                for number in hot.claim_again(raw, attempts, self.worker, pid, {**ended, **current}):
                    log.warning("experiment %d: claimed again, Postgres had forgotten it", number)

    def _held(self) -> list[int]:
        """Return what children have claimed that is not begun yet, or not recorded yet."""
        folder = self.board.path.parent
        return [
            number
            for pid in ledger.holders(folder)
            if psutil.pid_exists(pid)
            for number in ledger.held(folder, pid).ids
        ]

    def end_all(self) -> None:
        """End whatever the children are at; outcomes that wait to be delivered may go on waiting."""
        for post in self.board.busy().values():
            if post.process and post.process != os.getpid():
                kill_tree(post.process)

    def _end_unwanted(self, raw: Raw, posts: dict[int, Post], grace: float) -> None:
        held = [(post.experiment, post.attempt) for post in posts.values()]
        unwanted = {(item.id, item.attempt): item for item in leases.unwanted(raw, self.worker, held)} if held else {}
        self._asked = {key: at for key, at in self._asked.items() if key in unwanted}
        for slot, post in posts.items():
            key = post.experiment, post.attempt
            if key not in unwanted:
                continue
            asked = self._asked.setdefault(key, time.monotonic())
            if time.monotonic() - asked < grace:
                log.info("experiment %d: attempt %d is asked to leave", *key)
                tell(self.board, slot, post, Request.STOP)
            elif post.process != os.getpid():
                if unwanted[key].own:
                    hot.release(raw, self.worker, [post.experiment])
                log.warning("experiment %d: attempt %d is ended", *key)
                kill_tree(post.process)
