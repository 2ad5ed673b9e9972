"""What Postgres could not be told: files in HOME/outbox, each for one database, until they are delivered."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from pydantic import TypeAdapter

from qexp.files import replacing
from qexp.settings import Settings, place
from qexp.store.hot import Claim, Error, Outcome

log = logging.getLogger(__name__)

UNREADABLE = "unreadable"
"""The folder in a home for files that cannot be read."""


@dataclass(frozen=True)
class Death:
    """A child of a worker has died."""

    worker: UUID
    pid: int
    error: Error
    experiment: int | None = None
    """What it was at."""
    attempt: int | None = None


@dataclass(frozen=True)
class Kept:
    """The content of a file: the outcome of a claim, or a death."""

    version: Literal[1]
    database: str
    """Where the database is, for a person who looks. That a file is for a database is known by its worker."""
    worker: UUID
    claim: Claim | None = None
    outcome: Outcome | None = None
    death: Death | None = None


class Outbox:
    """The files of a home. Each is locked by the process that delivers it."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / "outbox"
        self._home, self._database = settings.home, place(settings.database_url or "")
        self._adapter: TypeAdapter[Kept] | None = None
        self._ignored: set[Path] = set()
        """Files that can neither be read nor be moved away."""

    def keep_outcome(self, claim: Claim, outcome: Outcome) -> int:
        """Write the outcome of a claim; return a descriptor that keeps others from delivering it. OSError: no room."""
        return self._keep(self.of(claim), Kept(1, self._database, claim.worker, claim, outcome))

    def keep_death(self, death: Death) -> None:
        """Write a death, to be delivered with what its process has left. OSError: no room."""
        path = self.folder / f"{death.worker.hex}-died-{death.pid}.json"
        os.close(self._keep(path, Kept(1, self._database, death.worker, death=death)))

    def of(self, claim: Claim) -> Path:
        """Return where the outcome of a claim is kept."""
        return self.folder / f"{claim.worker.hex}-{claim.id}-{claim.attempt}.json"

    def rest(self) -> Iterator[tuple[Path, Kept]]:
        """Yield what is there and no living process delivers, locked meanwhile; what cannot be read is set aside."""
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []:
            if path in self._ignored:
                continue
            try:
                # NFS locks for one process alone only what it may write
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                continue
            except OSError as error:
                self.set_aside(path, (error.strerror or str(error)).lower())
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.stat(path, follow_symlinks=False).st_ino == os.fstat(descriptor).st_ino:  # noqa: PTH116
                    kept = self._read(descriptor)
                    yield path, kept
            except (BlockingIOError, FileNotFoundError):  # its process lives, or another one has delivered it
                continue
            except (ValueError, RecursionError) as error:
                self.set_aside(path, str(error).splitlines()[0])
            finally:
                os.close(descriptor)

    def set_aside(self, path: Path, reason: str) -> None:
        """Move a file out of the way that cannot be read, and log it; where it cannot be moved it is left alone."""
        target = set_aside(path, self._home, reason)
        if target is None:
            self._ignored.add(path)

    def _keep(self, path: Path, kept: Kept) -> int:
        with replacing(path) as file:
            file.write(json.dumps(self._kept.dump_python(kept, mode="json", fallback=str)).encode())
        descriptor = os.open(path, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def _read(self, descriptor: int) -> Kept:
        """Return what a file holds; ValueError: it is none of ours, or of another version."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise ValueError("found what is no file of this user")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            facts: Any = json.load(file)
        kept = self._kept.validate_python(facts)
        if (kept.claim is None) != (kept.outcome is None) or (kept.claim is None) == (kept.death is None):
            raise ValueError("found neither an outcome nor a death")
        return kept

    @property
    def _kept(self) -> TypeAdapter[Kept]:
        if self._adapter is None:
            self._adapter = TypeAdapter(Kept)
        return self._adapter


def set_aside(path: Path, home: Path, reason: str) -> Path | None:
    """
    Move a file or folder that cannot be read to HOME/unreadable, and log it; return where it is now.

    None: it cannot be moved, and is where it was.
    """
    target = home / UNREADABLE / path.name
    number = 0
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while os.path.lexists(target):
            number += 1
            target = target.with_name(f"{path.name}.{number}")
        shutil.move(path, target)
    except OSError as error:
        log.error("%s cannot be read (%s), nor be moved away: %s", path, reason, (error.strerror or str(error)).lower())
        return None
    with suppress(OSError):
        target.chmod(0o700 if target.is_dir() else 0o600, follow_symlinks=False)
    log.error("%s cannot be read (%s); it is now %s", path, reason, target)
    return target
