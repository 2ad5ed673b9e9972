"""Prepare a child of Celery's pool: separate it from the main process, so that functions cannot signal that process."""

from __future__ import annotations

import errno
import functools
import os
import signal
from collections.abc import Callable
from typing import Any

from qexp.worker.attempt.process_control import die_with_parent


def detach(**_: Any) -> None:
    """
    Separate this child from its main process, but let it die with that process.

    The child gets its own session, so signals to its process group do not reach the worker. Its standard input is
    empty, since two processes that read one terminal would each get some of the keys.
    """
    signal.set_wakeup_fd(-1)  # the main process has set it, see `celery_internals.wake_on_signals`
    parent = os.getppid()
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    die_with_parent(parent)
    _guard(parent)


def _guard(worker: int) -> None:
    """Refuse signals to the main process; a function that sends one usually means its own process."""
    kill, killpg = os.kill, os.killpg

    def guarded(send: Callable[[int, int], None]) -> Callable[[int, int], None]:
        @functools.wraps(send)
        def signal_(pid: int, number: int, /) -> None:
            if number and pid in (worker, -worker, -1):
                raise PermissionError(
                    errno.EPERM, f"process {worker} is the worker's, which experiments may not signal"
                )
            send(pid, number)

        return signal_

    os.kill, os.killpg = guarded(kill), guarded(killpg)
