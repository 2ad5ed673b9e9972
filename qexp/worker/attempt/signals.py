"""Handlers for the signals to a process that runs attempts: a timeout is over, or the process must stop."""

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
from qexp.functions.guarded_calls import gives_order
from qexp.worker.context.context import AttemptLeft
from qexp.worker.slots import ChildRequest, SlotTable

GRACE = 5.0
"""Seconds in which an attempt that reads `stop_requested` can save and return."""

Handler = Callable[[int, FrameType | None], Any] | int | None

_FORKING = threading.local()
"""The signals that each thread had blocked before it forked."""


class TimeoutReached(Interruption):
    """The attempt ran longer than its timeout."""


class AttemptSignals:
    """
    Handles SIGUSR1, "read the request in the slot", and SIGTERM, "this process stops".

    A function that reads `stop_requested` gets GRACE seconds. Others are interrupted immediately: by the pool's handler
    of SIGTERM, or by an exception if only the attempt ends.

    Methods of this class call the pool's handlers of TERM, QUIT and HUP. By their frames, qexp tells the SystemExit of
    these handlers from a SystemExit of the function.
    """

    def __init__(self, slots: SlotTable, slot: int) -> None:
        self.slots, self.slot = slots, slot
        self.stop = False
        self._interruptible = False
        self._terminate: Handler = signal.SIG_IGN
        self._pool_handlers: dict[int, Handler] = {}

    def install(self) -> None:
        """Install the handlers; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, self._on_request)
            self._terminate = signal.signal(signal.SIGTERM, self._on_terminate)
            for number in (signal.SIGQUIT, signal.SIGHUP):
                if callable(handler := signal.getsignal(number)):
                    self._pool_handlers[number] = handler
                    signal.signal(number, self._call_pool_handler)
            _guard_forks()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let signals interrupt the code in the block."""
        self.stop, self._interruptible = False, True
        try:
            yield
        finally:
            self._interruptible = False
            if self.stop:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def stopping(self) -> bool:
        """Say whether the attempt should stop, and note in the slot that the function asks."""
        self.slots.mark_asks_to_stop(self.slot)
        return self.stop

    def _on_request(self, number: int, frame: FrameType | None) -> None:
        entry = self.slots.read(self.slot)
        if entry is None or not self._interruptible:
            return
        if entry.request == ChildRequest.STOP and entry.asks_to_stop:
            self.stop = True
        elif entry.request == ChildRequest.STOP:
            self._interruptible = False
            raise AttemptLeft
        elif entry.request == ChildRequest.TIMEOUT:
            self._interruptible = False
            raise TimeoutReached(timeout_message(entry.deadline - entry.started))

    @gives_order
    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        entry = self.slots.read(self.slot)
        if self._interruptible and not self.stop and entry is not None and entry.asks_to_stop:
            self.stop = True
            signal.signal(signal.SIGALRM, self._on_grace_over)
            signal.setitimer(signal.ITIMER_REAL, GRACE)
        elif callable(self._terminate):
            self._terminate(number, frame)
        elif self._terminate == signal.SIG_DFL:
            raise SystemExit(128 + number)

    @gives_order
    def _on_grace_over(self, number: int, frame: FrameType | None) -> None:
        if callable(self._terminate):
            self._terminate(signal.SIGTERM, frame)

    @gives_order
    def _call_pool_handler(self, number: int, frame: FrameType | None) -> None:
        handler = self._pool_handlers[number]
        if callable(handler):
            handler(number, frame)


@functools.cache
def _guard_forks() -> None:
    """
    Let SIGTERM end the forks of a function immediately, as in other programs.

    A Python handler raises SystemExit, which is lost during a fork. A multiprocessing.Pool that terminates a starting
    process would then wait for it forever.
    """
    os.register_at_fork(before=_block_terminate, after_in_parent=_restore_mask, after_in_child=_reset_in_child)


def _block_terminate() -> None:
    _FORKING.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _restore_mask() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _FORKING.mask)


def _reset_in_child() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    if isinstance(getattr(handler, "__self__", None), AttemptSignals):  # otherwise it is the function's own
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _restore_mask()


def timeout_message(seconds: float) -> str:
    """Return the message of an attempt that ran longer than its timeout."""
    return f"it ran for longer than its timeout of {seconds:g} s"
