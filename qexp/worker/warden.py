"""Holds attempts to their limits: a signal first, then the end of their processes."""

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
"""Seconds between two looks."""
_EACH_TREE = 5
"""Looks between two at all processes of an attempt: finding them means reading the whole process list."""
_GRACE = 1.2
"""Seconds between the signal of a timeout and the end: the limit holds to within two seconds."""


_STUCK = 3 * PATIENCE
"""Seconds after its function in which a child moves on: what it has to record may wait for Postgres that often."""


class Warden(PeriodicThread):
    """A thread in a worker's main process that watches the board; started after the pool has forked its children."""

    def __init__(self, board: Board, killed: Callable[[Post], None]) -> None:
        super().__init__("qexp-warden", self.look, _PULSE, "limits could not be checked")
        self.board = board
        self._killed = killed
        """Is told of an attempt whose processes were ended."""
        self._looks = 0

    def look(self) -> None:
        """Hold each attempt to its limits, now."""
        now = time.monotonic()
        for slot, post in self.board.busy().items():
            if post.attempt and not post.process and now > post.deadline + _STUCK:
                self._end_stuck(slot, post)
            if born(post.process) != post.process_born:
                continue  # it is dead, and its death will be noted
            if now > post.deadline + _GRACE:
                self._end(slot, post, Request.TIMEOUT)
            elif now > post.deadline and post.request != Request.TIMEOUT:
                tell(self.board, slot, post, Request.TIMEOUT)
            elif post.memory and memory_of(post.process, self._looks % _EACH_TREE == 0) > post.memory:
                self._end(slot, post, Request.MEMORY)
        self._looks += 1

    def _end_stuck(self, slot: int, post: Post) -> None:
        """End a child whose function is over for long, unless it has moved on just now."""
        if post.pid == os.getpid() or self.board.get(slot) != post or born(post.pid) != post.born:
            return
        log.error("process %d hangs since experiment %d ended: killed", post.pid, post.experiment)
        self.board.ask(slot, Request.STUCK)
        kill_tree(post.pid, post.born)

    def _end(self, slot: int, post: Post, why: Request) -> None:
        if post.process == os.getpid() or self.board.get(slot) != post:
            return  # a pool without children can only be asked; or it has come to its end by itself just now
        self.board.ask(slot, why)
        kill_tree(post.process, post.process_born)
        self._killed(post._replace(request=why))


def tell(board: Board, slot: int, post: Post, request: Request) -> None:
    """Note a request, and wake the process that it is for, unless it is at something else by now."""
    now = board.get(slot)
    if now is None or (now.experiment, now.attempt) != (post.experiment, post.attempt):
        return
    board.ask(slot, request)
    if born(post.process) == post.process_born:
        with contextlib.suppress(ProcessLookupError):
            os.kill(post.process, signal.SIGUSR1)
