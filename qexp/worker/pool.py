"""Celery's pool of processes, which leaves at once when nothing runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any

from billiard.pool import TERMINATE
from celery.concurrency import prefork


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

    For the main process: `heed_no_signals` is for its children, which would wake it with theirs.
    """
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    hub.add_reader(reader, reader.recv, 64)


def heed_no_signals(**_: Any) -> None:
    """Undo in a child what its main process has done to be woken."""
    signal.set_wakeup_fd(-1)
