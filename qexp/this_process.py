"""Whose process this is, and whether it is a fork."""

from __future__ import annotations

import getpass
import os


def is_this_process(pid: int) -> bool:
    """Say whether *pid* is this process; False in a fork of it, which has none of its threads and connections."""
    return pid == os.getpid()


def user_name() -> str:
    """Return the name of the user of this process, or the user's number where it has no name, as in containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
