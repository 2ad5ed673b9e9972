"""The files in HOME/outbox: outcomes and deaths of children that wait for Postgres, each for one database."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from qexp import file_locks
from qexp.file_storage import replacing
from qexp.model import Claim, Error, Outcome
from qexp.settings import Settings, place

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChildDeath:
    """The death of a child of a worker."""

    worker: UUID
    pid: int
    error: Error
    experiment: int | None = None
    """The experiment that the child ran."""
    attempt: int | None = None


class OutboxEntry(BaseModel):
    """The content of a file: the outcome of a claim, or the death of a child."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    version: Literal[1]
    database: str
    """The address of the database, for people; qexp recognizes its own files by the worker."""
    worker: UUID
    claim: Claim | None = None
    outcome: Outcome | None = None
    death: ChildDeath | None = None


class OutboxFiles:
    """The files of a home. The process that records a file holds its lock."""

    def __init__(self, settings: Settings) -> None:
        self.folder, self._unreadable = settings.outbox, settings.unreadable
        self._database = place(settings.database_url or "")
        self._ignored: set[Path] = set()
        """Files that can neither be read nor moved away."""

    def keep_outcome(self, claim: Claim, outcome: Outcome) -> int:
        """Write the outcome of a claim; return a descriptor that locks the file. Raises OSError if the disk is full."""
        return self._keep(self.of(claim), claim.worker, claim=claim, outcome=outcome)

    def keep_death(self, death: ChildDeath) -> None:
        """Write the death of a child. Raises OSError if the disk is full."""
        path = self.folder / f"{death.worker.hex}-died-{death.pid}.json"
        os.close(self._keep(path, death.worker, death=death))

    def of(self, claim: Claim) -> Path:
        """Return the path for the outcome of a claim."""
        return self.folder / f"{claim.worker.hex}-{claim.id}-{claim.attempt}.json"

    def unlocked(self) -> Iterator[tuple[Path, OutboxEntry]]:
        """Lock and yield the files that no living process has locked; set unreadable files aside."""
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []:
            if path in self._ignored:
                continue
            try:
                descriptor = os.open(path, file_locks.OF_FILE | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                continue
            except OSError as error:
                self.set_aside(path, (error.strerror or str(error)).lower())
                continue
            try:
                if not file_locks.take(descriptor):  # its process lives
                    continue
                if os.stat(path, follow_symlinks=False).st_ino == os.fstat(descriptor).st_ino:  # noqa: PTH116
                    yield path, self._read(descriptor)
            except FileNotFoundError:  # another process has recorded it
                continue
            except (ValueError, RecursionError) as error:
                self.set_aside(path, str(error).splitlines()[0])
            finally:
                os.close(descriptor)

    def set_aside(self, path: Path, reason: str) -> None:
        """Move an unreadable file away and log it; ignore it from now on if it cannot be moved."""
        if set_aside(path, self._unreadable, reason) is None:
            self._ignored.add(path)

    def _keep(self, path: Path, worker: UUID, **content: Any) -> int:
        entry = OutboxEntry(version=1, database=self._database, worker=worker, **content)
        facts = entry.model_dump(mode="json", fallback=str)
        if entry.claim is not None:  # with names, so that a reader notices fields of another version
            facts["claim"] = dict(zip(Claim._fields, facts["claim"], strict=True))
        with replacing(path) as file:
            file.write(json.dumps(facts).encode())
        descriptor = os.open(path, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def _read(self, descriptor: int) -> OutboxEntry:
        """Return the content of a file. Raises ValueError if another user or version wrote it."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise ValueError("found no file of this user")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            facts: Any = json.load(file)
        entry = OutboxEntry.model_validate(facts)
        if (entry.claim is None) != (entry.outcome is None) or (entry.claim is None) == (entry.death is None):
            raise ValueError("found neither an outcome nor a death")
        return entry


def set_aside(path: Path, folder: Path, reason: str) -> Path | None:
    """
    Move an unreadable file or folder to *folder*, and log that; return its new path.

    Returns None if it cannot be moved.
    """
    target = folder / path.name
    number = 0
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while os.path.lexists(target):
            number += 1
            target = target.with_name(f"{path.name}.{number}")
        shutil.move(path, target)
    except OSError as error:
        log.error(
            "%s cannot be read (%s), and cannot be moved: %s", path, reason, (error.strerror or str(error)).lower()
        )
        return None
    log.error("%s cannot be read (%s): moved to %s", path, reason, target)
    return target
