"""How a running attempt is reached from outside: its time is over, or its node is about to go away."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from qexp.functions import Interruption
from qexp.functions.user_code import gives_order
from qexp.worker.board import Board, Request
from qexp.worker.context.context import Leaving

GRACE = 5.0
"""Seconds that an attempt which asks whether it should stop gets to save and leave."""

Handler = Callable[[int, FrameType | None], Any] | int | None

_FORKING = threading.local()
"""The signals that a thread had blocked before it began to fork."""


class TimeoutReached(Interruption):
    """The attempt has overrun its time."""


class Interrupts:
    """
    The signals of a process that runs attempts: SIGUSR1 says "look at the board", SIGTERM "this node goes away".

    A function that asks `stop_requested` is told and gets GRACE seconds; any other is left at once, by *leave* or, if
    only its attempt is to end, by an exception.

    The pool's own handlers of TERM, QUIT and HUP are called through methods of this class. Their frames tell the
    SystemExit of such a handler from a SystemExit of the function, without knowing what the pool installs.
    """

    def __init__(self, board: Board, slot: int, leave: Handler = signal.SIG_IGN) -> None:
        self.board, self.slot = board, slot
        self.stop = False
        self._armed = False
        self._leave = leave
        self._pool_handlers: dict[int, Handler] = {}

    def install(self) -> None:
        """Take the signals over, in the main thread of a process that may be reached so."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, self._look)
            self._leave = signal.signal(signal.SIGTERM, self._go)
            for number in (signal.SIGQUIT, signal.SIGHUP):
                if callable(handler := signal.getsignal(number)):
                    self._pool_handlers[number] = handler
                    signal.signal(number, self._call_pool_handler)
            _guard_forks()

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let a timeout interrupt what is done inside."""
        self.stop, self._armed = False, True
        try:
            yield
        finally:
            self._armed = False
            if self.stop:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def stopping(self) -> bool:
        """Say whether the node is about to go away, and that the function wants to be told."""
        self.board.cooperate(self.slot)
        return self.stop

    def _look(self, number: int, frame: FrameType | None) -> None:
        post = self.board.get(self.slot)
        if post is None or not self._armed:
            return
        if post.request == Request.STOP and post.cooperative:
            self.stop = True
        elif post.request == Request.STOP:
            self._armed = False
            raise Leaving
        elif post.request == Request.TIMEOUT:
            self._armed = False
            raise TimeoutReached(over_time(post.deadline - post.started))

    @gives_order
    def _go(self, number: int, frame: FrameType | None) -> None:
        post = self.board.get(self.slot)
        if self._armed and not self.stop and post is not None and post.cooperative:
            self.stop = True
            signal.signal(signal.SIGALRM, self._hurry)
            signal.setitimer(signal.ITIMER_REAL, GRACE)
        elif callable(self._leave):
            self._leave(number, frame)
        elif self._leave == signal.SIG_DFL:
            raise SystemExit(128 + number)

    @gives_order
    def _hurry(self, number: int, frame: FrameType | None) -> None:
        if callable(self._leave):
            self._leave(signal.SIGTERM, frame)

    @gives_order
    def _call_pool_handler(self, number: int, frame: FrameType | None) -> None:
        handler = self._pool_handlers[number]
        if callable(handler):
            handler(number, frame)


@functools.cache
def _guard_forks() -> None:
    """
    Have SIGTERM end at once what a function forks, as it does in any other program.

    A handler of Python's raises SystemExit in it, which a process that is just being forked does not heed: a
    multiprocessing.Pool that ends while one of its processes begins would wait for that one for ever.
    """
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_forget)


def _hold() -> None:
    _FORKING.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_go() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _FORKING.mask)


def _forget() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    if isinstance(getattr(handler, "__self__", None), Interrupts):  # else it is the function's own
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_go()


def over_time(seconds: float) -> str:
    """Return what is said of an attempt that has overrun its time."""
    return f"it ran for longer than its timeout of {seconds:g} s"
