"""Folders of a worker that go with it: one per attempt, and what its processes share."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from qexp import private_folders

log = logging.getLogger(__name__)

_PREFIX = "worker-"
_LEFT_ALONE = 7 * 24 * 3600.0


class Scratch:
    """A worker's folder, in this user's private one below the system's temporary one (TMPDIR moves it)."""

    def __init__(self, worker: UUID) -> None:
        self.folder = private_folders.path_of(f"{_PREFIX}{worker.hex}")
        self._lock: int | None = None

    @property
    def board(self) -> Path:
        """The file by which the main process knows what the children are at."""
        return self.folder / "board"

    def make(self) -> None:
        """Make the folder; SettingsError if the place for it is not this user's alone."""
        private_folders.folder(self.folder.name)
        self._lock = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_SH)  # children that are forked hold it too

    def attempt(self, experiment: int, attempt: int) -> Path:
        """Return the folder of an attempt, which may not be there."""
        return self.folder / f"{experiment}-{attempt}"

    def make_attempt(self, experiment: int, attempt: int) -> Path:
        """Make the folder of an attempt, unless it is there, and return it."""
        folder = self.attempt(experiment, attempt)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def remove_attempt(self, experiment: int, attempt: int) -> None:
        """Remove the folder of an attempt that is over, with all that is in it."""
        if os.access(f"{self.folder}/{experiment}-{attempt}", os.F_OK):  # most attempts make none, and Path's is slow
            _remove(self.attempt(experiment, attempt))

    def remove(self) -> None:
        """Remove the worker's folder."""
        _remove(self.folder)

    def abandoned(self, is_ours: Callable[[UUID], bool]) -> Iterator[tuple[UUID, Path]]:
        """
        Yield the folders of workers that were killed, by their ids; nobody holds their locks. They go afterwards.

        Those of another site's workers are left to that one, for a week. SettingsError: others may have put them there.
        """
        for folder in private_folders.folder().glob(f"{_PREFIX}*"):
            if not private_folders.is_owned(folder):
                log.warning("%s belongs to another user: skipped", folder)
                continue
            try:
                lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError:  # gone by now
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                worker = UUID(folder.name.removeprefix(_PREFIX))
                if is_ours(worker):
                    yield worker, folder
                elif time.time() - folder.stat().st_mtime < _LEFT_ALONE:
                    continue
                _remove(folder)
            except (BlockingIOError, ValueError):  # its worker lives, or it is no worker's
                continue
            finally:
                os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder; what cannot be removed is logged, since no experiment failed by it."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s cannot be deleted: %s", folder, (error.strerror or str(error)).lower())
