"""Exclusive locks of files and folders, which the system releases when the processes that hold them end."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

OF_FILE = os.O_RDWR
"""How to open a file for its lock: NFS gives an exclusive lock only for writing."""
OF_FOLDER = os.O_RDONLY | os.O_DIRECTORY


def take(descriptor: int) -> bool:
    """Lock an open file or folder. Returns False if another process holds its lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path, flags: int = OF_FILE) -> bool:
    """Say whether a process holds the lock of a file or folder, or whether this process cannot open or lock it."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        return not take(descriptor)
    except OSError:  # a share without locks
        return True
    finally:
        os.close(descriptor)
