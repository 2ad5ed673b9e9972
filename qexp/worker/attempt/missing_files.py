"""Advice on a file that a function does not find: its snapshot lacks it, or its path begins in another folder."""

from __future__ import annotations

import os
from pathlib import Path

from qexp.source import including, is_unpacked


def advice(error: BaseException, folder: Path | None) -> str | None:
    """
    Return what helps against a missing file, if the code runs in *folder*, an unpacked snapshot.

    Returns None for other errors, for other code, and for absolute paths outside of the snapshot.
    """
    if folder is None or not issubclass(type(error), FileNotFoundError) or not is_unpacked(folder):
        return None
    name = getattr(error, "filename", None)
    if not isinstance(name, str | bytes | os.PathLike):
        return None
    path = Path(os.fsdecode(name))
    if not path.is_absolute():
        return "the working directory is the worker's; name files beside the function by Path(__file__).parent"
    path = Path(os.path.normpath(path))
    if not path.is_relative_to(folder) or path == folder:
        return None
    missing = path.relative_to(folder).as_posix()
    return f"the snapshot of the code has no {missing}; '{including(missing)}' in the grid takes it at the next enqueue"
