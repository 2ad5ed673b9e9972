"""A thing that nothing needs any more, and helpers for things on disk."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Unneeded:
    """A thing that nothing needs any more: its bytes, and a function that removes it unless it is used by now."""

    size: int
    remove: Callable[[], bool]


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return found.st_size
        return sum(size_of(Path(entry.path)) for entry in os.scandir(path))
    except FileNotFoundError:  # another process removes it
        return 0


def remove_tree(folder: Path) -> bool:
    """Remove a folder with its content. Returns False if a part of it cannot be removed."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def unlink(path: Path) -> bool:
    """Remove a file. Returns False if it is not there, or cannot be removed."""
    try:
        path.unlink()
    except OSError:
        return False
    return True
