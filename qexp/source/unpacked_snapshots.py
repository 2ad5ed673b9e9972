"""Snapshots unpacked on this machine: a folder per digest, complete or not there."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qexp.errors import SourceError
from qexp.source.snapshot import DAMAGED, Digest, members

_DIGEST = re.compile(r"[0-9a-f]{64}")
_HALF = ".half-"
_AT_ONCE = 32  # files that wait together wait for one turn of the disk: 1,000 of them take 0.4 seconds, not 2.3
_ABANDONED = 600.0  # seconds: far more than unpacking takes. On a shared disk the id of a process would say nothing


def cached(digest: str, root: Path) -> Path | None:
    """Return the folder with the files of *digest*, or None if they have not been unpacked here yet."""
    place = _place(digest, root)
    return place if place.is_dir() else None


def unpacked(digest: str, root: Path, archive: Callable[[], bytes]) -> Path:
    """Return the folder with the files of *digest*; *archive* returns them if they are not unpacked here yet."""
    return cached(digest, root) or unpack(digest, archive(), root)


def unpack(digest: str, archive: bytes, root: Path) -> Path:
    """
    Put the files of *archive* into the folder of *digest* below *root*, and return it; if it is there, it stays.

    It appears with all its files or not at all, whoever else does the same or dies meanwhile. What a killed process has
    left is removed ten minutes later, by whoever unpacks next.
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


def extract(archive: bytes, folder: Path) -> None:
    """Put the files of *archive* into a new folder, for a person to look at and change; SourceError if it exists."""
    try:
        folder.mkdir(parents=True)
        _fill(folder, None, archive)
        for path in folder.rglob("*"):
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
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
    """Write the members as plain files, whatever else they claim to be, and return the digest of what was written."""
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


# Files can only be read: an experiment that writes its results over a file of its code would change what all others on
# this machine run, so it fails instead. Folders can be written, by their owner: else not even 'rm -r' would get rid of
# them. This keeps accidents off, not intent, and not root's: modes say nothing to root, as in many containers.
def _write(path: Path, executable: bool, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o500 if executable else 0o400)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


def _flush(half: Path) -> None:
    """Wait for the disk: a host that loses its power may else find the folder again, and empty files in it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
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
        if not place.is_dir():  # else another process was first, with the same files
            raise


def _clean(root: Path, half: Path) -> None:
    now = half.stat().st_mtime  # the clock of the file system, which may be another host's
    for other in root.glob(f"{_HALF}*"):
        try:
            abandoned = now - other.stat().st_mtime > _ABANDONED
        except FileNotFoundError:
            continue
        if abandoned:
            shutil.rmtree(other, ignore_errors=True)
