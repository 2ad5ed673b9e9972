"""Celery's pool of processes, which leaves at once when nothing runs."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from billiard.pool import TERMINATE
from billiard.process import current_process
from celery.concurrency import prefork

from qexp.worker.attempt.limits import end_with_parent


class Pool(prefork.TaskPool):  # type: ignore[misc]
    """Prefork, whose idle children are ended rather than waited for: each of billiard's sleeps a second on its way."""

    def on_stop(self) -> None:
        """Let what runs come to its end; by now nothing more is taken from the broker."""
        pool = self._pool
        if pool is None or pool._cache:  # a child is at something, or what it has said was not read yet
            super().on_stop()
            return
        pool._state = TERMINATE  # so that none of them is replaced
        pool._terminate.cancel()  # what waits for them when the interpreter ends
        for child in pool._pool:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        for child in pool._pool:
            child.join()


def wake_on_signals(hub: Any) -> None:
    """
    Have signals seen at once by Celery's loop, which else goes on with its wait for the broker, of up to a second.

    For the main process: `begin_child` undoes it in its children, which would wake it with theirs.
    """
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    hub.add_reader(reader, reader.recv, 64)


def begin_child(**_: Any) -> None:
    """
    Make a child of the pool independent of its main process, but for that one's death, which ends it.

    In a session of its own, no signal that a function sends to its process group reaches the worker. Functions have no
    standard input: two processes that read a terminal would steal each other's keys.
    """
    signal.set_wakeup_fd(-1)  # what the main process has set to be woken
    parent = os.getppid()
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    end_with_parent(parent)
    _guard(parent)


def _guard(worker: int) -> None:
    """Refuse, in functions, signals to the main process: nearly all that are sent there are meant for themselves."""
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


def retire() -> None:
    """
    Have this child end when its message is over, as one does that has had its last message; another takes its place.

    A message that was sent to it by then is given to another child: it is not read here.
    """
    with contextlib.suppress(OSError):  # the experiment has closed it
        current_process().inq._reader.close()
