"""One process at a time: lock files that the system frees when the process that holds them dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qexp.errors import ServiceError

TIMEOUT = 30.0
"""Seconds for the processes of a server that was killed to go."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of *path*, a file of mode 0600 that is made if need be; wait while another process holds it."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def inherited(path: Path) -> Iterator[int]:
    """
    Give a locked descriptor to a server that is started: the lock is held while any process of that server lives.

    Raises ServiceError if one still lives, here or on another machine that has the same folder.
    """
    with _opened(path) as descriptor:
        deadline = time.monotonic() + TIMEOUT
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{path}: a server on another machine, or processes of a killed one here, still use this folder; "
                    "run 'qexp down' there, or set QEXP_HOME to a folder of this machine"
                )
            time.sleep(0.05)
        yield descriptor


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # open for writing: NFS grants no exclusive lock otherwise; closed to others, who could hold the lock themselves
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
