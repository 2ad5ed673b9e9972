"""Write files that appear complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from qexp.errors import ExportError
from qexp.source import written_files


def check_target(path: Path, suffixes: Collection[str]) -> None:
    """Raise ExportError unless *path* can be written and has one of the suffixes, such as .csv."""
    if path.suffix.lower() not in suffixes:
        raise ExportError(f"{path}: found the suffix {path.suffix!r}, expected one of {', '.join(suffixes)}")
    try:
        _check_place(path)
    except OSError as error:  # such as a name that is too long
        raise ExportError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise ExportError(f"{path}: is a folder, expected a file to write")
    if not path.parent.is_dir():
        raise ExportError(f"{path}: there is no folder {path.parent}; make it with 'mkdir -p {path.parent}'")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ExportError(f"{path}: may not be written by this user")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """
    Yield the path of a draft that replaces *path* at the end of the block; after an error *path* is unchanged.

    The next snapshot of its folder leaves the file out. Raises ExportError if the file system refuses.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".qexp-") as folder:
            draft = Path(folder) / path.name
            yield draft
            draft.replace(path)
        written_files.note(path)
    except OSError as error:
        raise ExportError(f"{path}: {(error.strerror or str(error)).lower()}") from error
