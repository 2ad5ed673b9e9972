"""Lock files, which the system releases when the process that holds them dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qexp.errors import ServiceError
from qexp.file_locks import OF_FILE, take

TIMEOUT = 30.0
"""Seconds until the processes of a killed server must have ended."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of *path*, a file of mode 0600; wait while another process holds it."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def inherited(path: Path, answers: Callable[[], bool]) -> Iterator[int | None]:
    """
    Yield a locked descriptor for a new server to inherit: the lock lasts while any of its processes lives.

    Yields None if *answers* returns True while another process holds the lock: a start that was killed may have left a
    server that begins to answer only now. Raises ServiceError if the lock stays held and no server answers.
    """
    with _opened(path) as descriptor:
        deadline = time.monotonic() + TIMEOUT
        while not (taken := take(descriptor)) and not answers():
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{path}: a server on another machine, or processes of a killed one here, still use this folder; "
                    "run 'qexp down' there, or set QEXP_HOME to a folder of this machine"
                )
            time.sleep(0.05)
        yield descriptor if taken else None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # mode 0600, because any reader could hold the lock
    descriptor = os.open(path, OF_FILE | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
