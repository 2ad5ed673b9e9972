"""The temporary folder of a worker, with a folder for each attempt and the files that its processes share."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from qexp import file_locks, private_folders

log = logging.getLogger(__name__)

_PREFIX = "worker-"
_LEFT_ALONE = 7 * 24 * 3600.0


class Scratch:
    """A worker's folder, below this user's private folder in the system's temporary folder or TMPDIR."""

    def __init__(self, worker: UUID) -> None:
        self.folder = private_folders.path_of(f"{_PREFIX}{worker.hex}")
        self.lock: int | None = None

    @property
    def slots(self) -> Path:
        """The file in which the children write their attempts for the main process."""
        return self.folder / "slots"

    def make(self) -> None:
        """Make the folder. Raises SettingsError if other users can write to its parent folder."""
        private_folders.folder(self.folder.name)
        self.lock = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(self.lock, fcntl.LOCK_SH)  # forked children hold it too

    def attempt(self, experiment: int, attempt: int) -> Path:
        """Return the path of an attempt's folder."""
        return self.folder / f"{experiment}-{attempt}"

    def make_attempt(self, experiment: int, attempt: int) -> Path:
        """Make the folder of an attempt if it is missing, and return its path."""
        folder = self.attempt(experiment, attempt)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def remove_attempt(self, experiment: int, attempt: int) -> None:
        """Remove the folder of an ended attempt with its content."""
        if os.access(f"{self.folder}/{experiment}-{attempt}", os.F_OK):  # fast, since most attempts have no folder
            _remove(self.attempt(experiment, attempt))

    def remove(self) -> None:
        """Remove the worker's folder."""
        _remove(self.folder)

    def abandoned(self, is_ours: Callable[[UUID], bool]) -> Iterator[tuple[UUID, Path]]:
        """
        Yield the ids and folders of killed workers, whose locks are free; remove each folder afterwards.

        Folders of another site's workers stay for a week, since that site may need them. Raises SettingsError if other
        users can write to the parent folder.
        """
        for folder in private_folders.folder().glob(f"{_PREFIX}*"):
            if not private_folders.is_owned(folder):
                if os.path.lexists(folder):  # otherwise its worker has just stopped
                    log.warning("%s belongs to another user: skipped", folder)
                continue
            try:
                lock = os.open(folder, file_locks.OF_FOLDER | os.O_NOFOLLOW)
            except OSError:  # it was removed meanwhile
                continue
            try:
                if not file_locks.take(lock):  # its worker lives
                    continue
                worker = UUID(folder.name.removeprefix(_PREFIX))
                if is_ours(worker):
                    yield worker, folder
                elif time.time() - folder.stat().st_mtime < _LEFT_ALONE:
                    continue
                _remove(folder)
            except ValueError:  # its name has no id
                continue
            finally:
                os.close(lock)


_ATTEMPT = re.compile(r"[0-9]+-[0-9]+")


def folders_of_dead_attempts() -> Iterator[Path]:
    """Yield the folders of attempts whose workers are dead, of any site; other files stay for their recovery."""
    for worker in private_folders.path_of().glob(f"{_PREFIX}*"):
        if not private_folders.is_owned(worker) or file_locks.is_held(worker, file_locks.OF_FOLDER):
            continue
        yield from (folder for folder in worker.iterdir() if _ATTEMPT.fullmatch(folder.name) and folder.is_dir())


def remove_dead_attempt(folder: Path) -> bool:
    """Remove the folder of an attempt unless its worker lives. Returns whether it was removed."""
    if file_locks.is_held(folder.parent, file_locks.OF_FOLDER):
        return False
    _remove(folder)
    return not folder.exists()


def _remove(folder: Path) -> None:
    """Remove a folder; only log an error, since no experiment fails by it."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s cannot be deleted: %s", folder, (error.strerror or str(error)).lower())
