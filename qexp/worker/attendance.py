"""What the children of a worker are at is held against the rows: ends what is unwanted, and notes unseen deaths."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from uuid import UUID

import psutil

from qexp.store.connection import Raw
from qexp.store.writes import claiming, worker_rows
from qexp.worker.attempt.processes import crash_error, kill_tree
from qexp.worker.attempt.signals import GRACE
from qexp.worker.board import Board, Post, Request
from qexp.worker.child import result_log
from qexp.worker.child.outbox_files import ChildDeath
from qexp.worker.warden import tell

log = logging.getLogger(__name__)

_UNSEEN = 10.0
"""Seconds without a child until an experiment's attempt is ended; Celery sees deaths before, and says how."""


class Attendance:
    """Called with each beat of the heart. *died* is told of children that are dead and still have something to run."""

    def __init__(self, board: Board, worker: UUID, died: Callable[[ChildDeath], None]) -> None:
        self.board, self.worker, self._died = board, worker, died
        self._asked: dict[tuple[int, int], float] = {}
        """When each unwanted attempt was asked to leave."""
        self._missed: dict[tuple[int, int], float] = {}
        """Since when no child is at an experiment, by its id and the process that was."""

    @property
    def busy(self) -> bool:
        """Whether a child is at something."""
        return bool(self._posts(_living()))

    def _posts(self, living: set[int]) -> dict[int, Post]:
        """Return what children are at; those of the dead stay on the board until their deaths are dealt with."""
        return {slot: post for slot, post in self.board.busy().items() if post.pid in living}

    def check(self, raw: Raw, grace: float = GRACE) -> None:
        """Look once; what is unwanted is asked to leave, and ended after *grace* seconds."""
        living = _living()
        posts = self._posts(living)
        self._end_unwanted(raw, {slot: post for slot, post in posts.items() if post.process}, grace)
        now, strays = time.monotonic(), worker_rows.strays(raw, self.worker, {post.pid for post in posts.values()})
        self._missed = {stray: self._missed.get(stray, now) for stray in strays}
        late = {stray for stray, since in self._missed.items() if now - since > _UNSEEN}
        for pid in {pid for _, pid in strays} - living:
            post = self.board.of(pid)
            if post is None:  # its death was dealt with, and a claim was made after that
                self._died(ChildDeath(self.worker, pid, crash_error("nothing is left of it", None)))
            elif any(number == pid for _, number in late):
                error = crash_error("nothing is left of it", None)
                self._died(ChildDeath(self.worker, pid, error, post.experiment, post.attempt))
        for experiment, pid in late:
            if pid in living and experiment not in self._logged(pid):
                claiming.release(raw, self.worker, [experiment])
                log.warning("experiment %d: given back, because its process %d does not run it", experiment, pid)

    def _logged(self, pid: int) -> set[int]:
        """Return the experiments whose results a child has still to record."""
        return {item.id for item in result_log.read(self.board.path.parent, pid).results}

    def end_all(self) -> None:
        """End whatever the children are at; outcomes that wait to be delivered may go on waiting."""
        for post in self.board.busy().values():
            if post.process and post.process != os.getpid():
                kill_tree(post.process, post.process_born)

    def _end_unwanted(self, raw: Raw, posts: dict[int, Post], grace: float) -> None:
        held = [(post.experiment, post.attempt) for post in posts.values()]
        unwanted = (
            {(item.id, item.attempt): item for item in worker_rows.unwanted(raw, self.worker, held)} if held else {}
        )
        self._asked = {key: at for key, at in self._asked.items() if key in unwanted}
        for slot, post in posts.items():
            key = post.experiment, post.attempt
            if key not in unwanted:
                continue
            asked = self._asked.setdefault(key, time.monotonic())
            if time.monotonic() - asked < grace:
                log.info("experiment %d: attempt %d is told to stop", *key)
                tell(self.board, slot, post, Request.STOP)
            elif post.process != os.getpid():
                if unwanted[key].own:
                    claiming.release(raw, self.worker, [post.experiment])
                log.warning("experiment %d: attempt %d is killed", *key)
                kill_tree(post.process, post.process_born)


def _living() -> set[int]:
    """Return the ids of this process, which may be a child itself, and of its children that are not dead."""
    found = {os.getpid()}
    for child in psutil.Process().children():
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                found.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found
