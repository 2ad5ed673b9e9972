"""Files of experiments in a folder or an object store, by way of fsspec."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from qexp.errors import FilesError
from qexp.settings import place_of_files

_CHUNK = 1 << 20
_STORE = re.compile(r"[a-z][a-z0-9+.-]*://[^/]*")
_WITHOUT_FOLDERS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
_SOURCE = "there is no such file"
_TARGET = "its bucket or folder does not exist; create it, or set QEXP_ARTIFACTS to one that does"
_KEPT = "not found; if another machine wrote it, set QEXP_ARTIFACTS to a place that all of them share"


@dataclass(frozen=True)
class StoredFile:
    """A stored file: its URL, its bytes, and the SHA-256 of its content in hex."""

    url: str
    size: int
    sha256: str


@dataclass(frozen=True)
class PlacedFile:
    """A file under a root: its key and URL, its bytes, and when it changed (seconds since 1970; None: not known)."""

    key: str
    url: str
    size: int
    changed: float | None


class Files:
    """
    Files under one root: an absolute path, `file:///folder`, `s3://bucket/prefix` or any URL that fsspec knows.

    Characters of URLs are literal: %XX is not decoded. An instance holds nothing open, so threads and forked processes
    can share it.
    """

    def __init__(self, root: str) -> None:
        try:
            root = place_of_files(root)
        except ValueError as error:
            raise FilesError(_shown(root), str(error)) from None
        self.root = (root if "://" in root else f"file://{root}").rstrip("/")
        if self.root.endswith(":"):
            self.root += "//"

    def put(self, key: str, data: bytes | Path) -> StoredFile:
        """
        Store bytes or the content of a file under *key*, such as `plots/loss.png`; replace an earlier file.

        Readers see the old content or the new one, never a part. Large files are streamed.
        """
        url = f"{self.root}/{_checked(self.root, key)}"
        chunks = _MeasuredChunks(_from_file(data) if isinstance(data, Path) else (data,))
        with _translated_errors(url, _TARGET):
            _at(url).write(iter(chunks))
        return StoredFile(url, chunks.size, chunks.sha256)

    def get(self, url: str) -> bytes:
        """Return the content of a file, which may also be outside of the root."""
        with _translated_errors(url, _KEPT):
            return _at(url).read()

    def fetch(self, url: str, target: Path, sha256: str | None = None) -> None:
        """
        Copy a file to *target* on this machine. The target is replaced once the copy is complete.

        Raises FilesError if the content does not have the checksum *sha256* (hex).
        """
        chunks = _MeasuredChunks(_from_store(url))
        with _translated_errors(str(target), _SOURCE), replacing(target) as file:
            file.writelines(chunks)
            if sha256 not in (None, chunks.sha256):
                raise FilesError(
                    _shown(url), f"its SHA-256 is {chunks.sha256}, expected {sha256}: the file was changed"
                )

    def delete(self, url: str) -> bool:
        """Delete a file. Returns False for a file that is missing from a folder. Folders are not deleted."""
        with _translated_errors(url, _KEPT), suppress(FileNotFoundError, NotADirectoryError):
            _at(url).delete()
            return True
        return False

    def has(self, url: str) -> bool:
        """Say whether a file exists."""
        with _translated_errors(url, _KEPT):
            return _at(url).exists()

    def files(self) -> Iterator[PlacedFile]:
        """Yield all files under the root, except incomplete ones."""
        with _translated_errors(self.root, _KEPT):
            yield from _at(self.root).files(self.root)

    def remove_empty_folders(self, url: str) -> None:
        """Remove the folders of a deleted file that are empty, up to the root; an object store has no folders."""
        if not url.startswith(f"{self.root}/") or not url.startswith("file://"):
            return
        root = Path(self.root.removeprefix("file://"))
        for folder in Path(url.removeprefix("file://")).parents:
            if folder == root or not folder.is_relative_to(root):
                return
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # it has other files, or another user owns it
                return


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """
    Open a file for writing that replaces *target* once it is complete and on disk; an error changes nothing.

    Only this user can read the file and the folders that are made for it. A killed process leaves a hidden
    `.qexp-….part` behind.
    """
    make_folders(target.parent)
    part = target.with_name(f".qexp-{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with suppress(OSError):  # while this process holds the lock, 'qexp prune' leaves the file alone
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def make_folders(folder: Path) -> None:
    """Make a folder and its parents; only this user can enter the new ones."""
    while not folder.is_dir():
        make_folders(folder.parent)
        with suppress(FileNotFoundError):  # again if the parent was empty, and another process removed it
            folder.mkdir(mode=0o700, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    """Let a rename survive a power failure, if the file system can do that."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


class _MeasuredChunks:
    """Chunks of a file; after the iteration also their size and checksum."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._digest, self.size = chunks, hashlib.sha256(), 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._digest.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _from_file(path: Path) -> Iterator[bytes]:
    with _translated_errors(str(path), _SOURCE), path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _from_store(url: str) -> Iterator[bytes]:
    with _translated_errors(url, _KEPT), _at(url).open() as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _at(url: str) -> _InFolder | _InStore:
    if url.startswith(("/", "file://")):
        return _InFolder(Path(url.removeprefix("file://")))
    return _InStore(url)


class _InFolder:
    """A file on this machine or on a mounted share."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, chunks: Iterator[bytes]) -> None:
        with replacing(self._path) as file:
            file.writelines(chunks)

    def read(self) -> bytes:
        return self._path.read_bytes()

    def open(self) -> BinaryIO:
        return self._path.open("rb")

    def delete(self) -> None:
        self._path.unlink()

    def exists(self) -> bool:
        return self._path.exists()

    def files(self, root: str) -> Iterator[PlacedFile]:
        for folder, _, names in os.walk(self._path):
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self._path).as_posix()
                with suppress(FileNotFoundError):  # it was deleted just now
                    found = path.lstat()
                    if not _PART.fullmatch(name):
                        yield PlacedFile(key, f"{root}/{key}", found.st_size, found.st_mtime)


_PART = re.compile(r"\.qexp-[0-9a-f]{16}\.part")


class _InStore:
    """A file in a store of fsspec. Only host or bucket are parsed as a URL: names may contain `?`, `*` or `::`."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs  # takes 100 ms, which a folder does not need

        store = _store(url)
        self._system, base = url_to_fs(store)
        self._path = base.rstrip("/") + url.removeprefix(store)
        self._has_folders = store.partition(":")[0] not in _WITHOUT_FOLDERS

    def write(self, chunks: Iterator[bytes]) -> None:
        if self._has_folders:
            self._system.makedirs(self._path.rpartition("/")[0], exist_ok=True)
        first, second = next(chunks, b""), next(chunks, None)
        with self._system.transaction:  # otherwise the part written before an error would become the file
            if second is None:
                self._system.pipe_file(self._path, first)
                return
            with self._system.open(self._path, "wb") as file:
                file.writelines(chain((first, second), chunks))

    def read(self) -> bytes:
        content: bytes = self._system.cat_file(self._path)
        return content

    def open(self) -> Any:
        return self._system.open(self._path, "rb")

    def delete(self) -> None:
        self._system.rm_file(self._path)

    def exists(self) -> bool:
        return bool(self._system.exists(self._path))

    def files(self, root: str) -> Iterator[PlacedFile]:
        if not self._system.exists(self._path):
            return
        for path, facts in self._system.find(self._path, detail=True).items():
            key = path.removeprefix(self._path).lstrip("/")
            yield PlacedFile(key, f"{root}/{key}", facts["size"], _moment(facts))


def _moment(facts: Mapping[str, Any]) -> float | None:
    """Return when a file of a store changed; each store has its own name for it."""
    found = next((facts[name] for name in ("LastModified", "mtime", "updated", "created") if name in facts), None)
    return found.timestamp() if isinstance(found, datetime) else found if isinstance(found, float) else None


def _store(url: str) -> str:
    """Return the scheme and the host or bucket of a URL. Raises ValueError if one is missing or has a password."""
    match = _STORE.match(url)
    return place_of_files(match[0] if match else url.partition("/")[0])


def _checked(root: str, key: str) -> str:
    if any(part in ("", ".", "..") for part in key.split("/")) or not _is_readable(key):
        expected = "expected names with / between them, such as plots/loss.png"
        raise FilesError(root, f"no file can be named {key!r}, {expected}")
    return key


def _is_readable(key: str) -> bool:
    return not any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in key)


def _shown(url: str) -> str:
    """Return a URL as an error may show it: only the scheme if the rest may hold a password."""
    if "://" not in url or url.startswith("file://"):
        return url
    try:
        _store(url)
    except ValueError:
        return f"{url.partition('://')[0]}://***"
    return url


@contextmanager
def _translated_errors(place: str, missing: str) -> Iterator[None]:
    """Raise FilesError for any error of file systems and stores; *missing* is the text for a missing file."""
    try:
        yield
    except FilesError:
        raise
    except Exception as error:  # each store's library has its own errors
        raise FilesError(_shown(place), _problem(place, error, missing)) from error


def _problem(place: str, error: Exception, missing: str) -> str:
    if isinstance(error, ImportError):
        return _not_installed(place, error)
    if isinstance(error, FileNotFoundError):
        return missing
    if isinstance(error, PermissionError):
        return "no permission; let this user, or the credentials in use, read and write there"
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "no space left; free some, or set QEXP_ARTIFACTS to a larger place"
    if type(error).__name__ == "NoCredentialsError":
        return "no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]


def _not_installed(place: str, error: ImportError) -> str:
    scheme = place.partition("://")[0]
    if scheme in ("s3", "s3a"):
        return "s3fs is not installed; install it with pip install 'qexp[s3]'"
    return f"what fsspec needs for {scheme}:// is not installed: {str(error).splitlines()[0]}"
