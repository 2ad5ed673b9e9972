"""Snapshots unpacked on this machine: a complete folder per digest."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qexp import file_locks
from qexp.errors import SourceError
from qexp.source import written_files
from qexp.source.snapshot import DAMAGED, Digest, members

_DIGEST = re.compile(r"[0-9a-f]{64}")
_HALF = ".half-"
_FLUSH_THREADS = 32  # concurrent flushes cost the disk little more than one
_ABANDONED = 600.0  # seconds, far more than unpacking takes; on a shared disk a process id may be of another host


def cached(digest: str, root: Path) -> Path | None:
    """Return the folder with the files of *digest*. Returns None if they are not unpacked here yet."""
    place = _place(digest, root)
    return place if place.is_dir() else None


def is_unpacked(folder: Path) -> bool:
    """Return whether a folder is that of an unpacked snapshot."""
    return _DIGEST.fullmatch(folder.name) is not None


def unpacked(digest: str, root: Path, archive: Callable[[], bytes]) -> Path:
    """
    Return the folder with the files of *digest*. *archive* is called only if they are not unpacked here yet.

    This process holds the folder: nobody removes it, until the process ends or has used several others since.
    """
    while True:
        folder = cached(digest, root) or unpack(digest, archive(), root)
        if holds(folder) or _hold(folder):
            return folder


def unpack(digest: str, archive: bytes, root: Path) -> Path:
    """
    Unpack *archive* into the folder of *digest* below *root*, unless that exists. Return the folder.

    The folder appears complete or not at all, even if processes unpack together or are killed. The next unpacking
    removes leftovers of killed processes that are older than ten minutes.
    """
    place = _place(digest, root)
    if place.is_dir():
        return place
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=_HALF, dir=root))
        try:
            _clean(root, half)
            _fill(half, digest, archive)
            _appear(half, place)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    except OSError as error:
        raise SourceError(f"{error.filename or root}: the snapshot cannot be unpacked: {error.strerror}") from error
    return place


_held: dict[Path, int] = {}
"""Descriptors that lock folders which this process uses, the latest last."""
_MOST_HELD = 8
_LOCK = ".lock"


def holds(folder: Path) -> bool:
    """Say whether this process holds a folder. A forked process holds the folders of its parent, too."""
    return folder in _held


def _hold(folder: Path) -> bool:
    """Keep a folder from being removed. Returns False if it was removed just now."""
    path = _lock_of(folder)
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # another user's folder, or a full disk: it works without a lock
        return folder.is_dir()
    with contextlib.suppress(OSError):  # a share without locks
        fcntl.flock(lock, fcntl.LOCK_SH)
    if not _is_same(lock, path) or not folder.is_dir():
        os.close(lock)
        return False
    _held[folder] = lock
    while len(_held) > _MOST_HELD:
        os.close(_held.pop(next(iter(_held))))
    return True


def all_unpacked(root: Path) -> list[Path]:
    """Return the folders of unpacked snapshots, and what killed processes have left of others."""
    if not root.is_dir():
        return []
    now = time.time()
    return [path for path in root.iterdir() if _DIGEST.fullmatch(path.name) or _is_abandoned(path, now)]


def _is_abandoned(path: Path, now: float) -> bool:
    """Say whether a process died while it unpacked into this folder."""
    try:
        return path.name.startswith(_HALF) and now - path.stat().st_mtime > _ABANDONED
    except FileNotFoundError:  # it is complete now, or removed
        return False


def is_held(folder: Path) -> bool:
    """Say whether a process holds a folder."""
    lock = _lock_of(folder)
    return lock.exists() and file_locks.is_held(lock)


def remove(folder: Path) -> bool:
    """Remove an unpacked snapshot. Returns False, and removes nothing, if a process holds it."""
    lock = _exclusive(folder)
    if lock is None:
        return False
    try:
        gone = folder.with_name(f"{_HALF}{secrets.token_hex(8)}")
        folder.rename(gone)  # so that nobody finds a part of it
        _lock_of(folder).unlink(missing_ok=True)
        shutil.rmtree(gone, ignore_errors=True)
    except OSError:  # another process removes it, or another user owns it
        return False
    finally:
        os.close(lock)
    return True


def _exclusive(folder: Path) -> int | None:
    """Return a descriptor that locks a folder for its removal. Returns None if a process holds it."""
    path = _lock_of(folder)
    try:
        lock = os.open(path, file_locks.OF_FILE | os.O_CREAT, 0o600)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # a share without locks
        if file_locks.take(lock) and _is_same(lock, path):
            return lock
    os.close(lock)
    return None


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{_LOCK}")


def _is_same(descriptor: int, path: Path) -> bool:
    """Say whether a descriptor is of the file that is at a path now."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def extract(archive: bytes, folder: Path) -> None:
    """
    Unpack *archive* into a new folder that a person may change, and which snapshots of the folders above it leave out.

    Raises SourceError if the folder exists.
    """
    try:
        folder.mkdir(parents=True)
        _fill(folder, None, archive)
        for path in folder.rglob("*"):
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
        written_files.note(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"{error.filename or folder}: {reason}; name a folder that can be created") from error


def _place(digest: str, root: Path) -> Path:
    if not _DIGEST.fullmatch(digest):
        raise SourceError(f"{digest!r} is not the digest of a snapshot; expected 64 hexadecimal digits")
    return root / digest


def _fill(half: Path, digest: str | None, archive: bytes) -> None:
    try:
        found = _extract(half, archive)
    except DAMAGED as error:
        raise SourceError(f"the snapshot {(digest or '')[:12]}… is damaged: {error}") from error
    if digest is not None and found != digest:
        raise SourceError(f"the snapshot {digest[:12]}… is damaged: its files have the digest {found[:12]}…")
    _flush(half)


def _extract(half: Path, archive: bytes) -> str:
    """Write the members as plain files, also links and devices. Return the digest of the written files."""
    digest = Digest()
    for member, content in members(archive):
        executable = bool(member.external_attr >> 16 & stat.S_IXUSR)
        _write(_inside(half, member.filename), executable, content)
        digest.add(member.filename, executable, content)
    return digest.hex()


def _inside(half: Path, name: str) -> Path:
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"it has a file named {name!r}")
    return half / name


# Files are read-only, so that no experiment overwrites code that others on this machine run. This prevents accidents
# only, and not those of root. Their owner can write into folders, so that 'rm -r' can remove them.
def _write(path: Path, executable: bool, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o500 if executable else 0o400)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


def _flush(half: Path) -> None:
    """Write all files to disk: after a power failure the folder could otherwise have empty files."""
    with ThreadPoolExecutor(_FLUSH_THREADS) as pool:
        list(pool.map(_sync, (*half.rglob("*"), half)))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _appear(half: Path, place: Path) -> None:
    try:
        half.rename(place)
    except OSError:
        if not place.is_dir():  # otherwise another process was first, with the same files
            raise


def _clean(root: Path, half: Path) -> None:
    now = half.stat().st_mtime  # the clock of the file system, which another host may have
    for other in root.glob(f"{_HALF}*"):
        if _is_abandoned(other, now):
            shutil.rmtree(other, ignore_errors=True)
