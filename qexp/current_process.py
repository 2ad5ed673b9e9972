"""The user of this process, and whether it is a fork."""

from __future__ import annotations

import getpass
import os


def is_this_process(pid: int) -> bool:
    """Return whether *pid* is this process. A fork is another process: it lacks the threads and connections."""
    return pid == os.getpid()


def user_name() -> str:
    """Return the name of the user of this process, or the user's number if it has no name, as in containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
