"""Enforce the limits of attempts: send a signal first, then kill their processes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable

from qexp.store.reconnecting import PATIENCE
from qexp.worker.attempt.processes import born, kill_tree, memory_of
from qexp.worker.board import Board, Post, Request
from qexp.worker.periodic import PeriodicThread

log = logging.getLogger(__name__)

_PULSE = 0.2
"""Seconds between two checks."""
_EACH_TREE = 5
"""Every fifth check measures all processes of an attempt: finding them means reading the whole process list."""
_GRACE = 1.2
"""Seconds between the signal of a timeout and the end: the limit holds to within two seconds."""


_STUCK = 3 * PATIENCE
"""Seconds after the end of its function in which a child must continue: recording may wait for Postgres so often."""


class LimitEnforcer(PeriodicThread):
    """A thread in a worker's main process that watches the board; started after the pool has forked its children."""

    def __init__(self, board: Board, killed: Callable[[Post], None]) -> None:
        super().__init__("qexp-limits", self.enforce, _PULSE, "limits could not be checked")
        self.board = board
        self._killed = killed
        """Called for an attempt whose processes were killed."""
        self._looks = 0

    def enforce(self) -> None:
        """Check each attempt now."""
        now = time.monotonic()
        for slot, post in self.board.busy().items():
            if post.attempt and not post.process and now > post.deadline + _STUCK:
                self._end_stuck(slot, post)
            if born(post.process) != post.process_born:
                continue  # it is dead, which Celery or the reconciler notices
            if now > post.deadline + _GRACE:
                self._end(slot, post, Request.TIMEOUT)
            elif now > post.deadline and post.request != Request.TIMEOUT:
                send_request(self.board, slot, post, Request.TIMEOUT)
            elif post.memory and memory_of(post.process, self._looks % _EACH_TREE == 0) > post.memory:
                self._end(slot, post, Request.MEMORY)
        self._looks += 1

    def _end_stuck(self, slot: int, post: Post) -> None:
        """Kill a child whose function ended long ago, unless it has just continued."""
        if post.pid == os.getpid() or self.board.get(slot) != post or born(post.pid) != post.born:
            return
        log.error("process %d hangs since experiment %d ended: killed", post.pid, post.experiment)
        self.board.ask(slot, Request.STUCK)
        kill_tree(post.pid, post.born)

    def _end(self, slot: int, post: Post, why: Request) -> None:
        if post.process == os.getpid() or self.board.get(slot) != post:
            return  # a pool without children can only be asked; or the attempt has just ended
        self.board.ask(slot, why)
        kill_tree(post.process, post.process_born)
        self._killed(post._replace(request=why))


def send_request(board: Board, slot: int, post: Post, request: Request) -> None:
    """Write a request to a slot and signal its process, unless that runs another attempt by now."""
    now = board.get(slot)
    if now is None or (now.experiment, now.attempt) != (post.experiment, post.attempt):
        return
    board.ask(slot, request)
    if born(post.process) == post.process_born:
        with contextlib.suppress(ProcessLookupError):
            os.kill(post.process, signal.SIGUSR1)
