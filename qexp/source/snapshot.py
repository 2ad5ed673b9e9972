"""The files of a grid's folder, taken at one moment: an archive, and a digest that says whether two are equal."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qexp.errors import SourceError
from qexp.source.forbidden_files import holds_private_key, secret_in
from qexp.source.snapshot_files import ADVICE, File, walk

LIMIT = 20_000_000
"""Bytes that the archive of a snapshot may have."""
_MOST_FILES = 20_000
_RATIO = 10  # code is not compressed better than this; whatever is bigger is data, and not worth the wait
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What reading an archive raises that is none, or not one of a snapshot."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name


@dataclass(frozen=True)
class Snapshot:
    """A folder's files: *digest* stands for their names, contents and executable bits, *archive* is a zip of them."""

    digest: str
    archive: bytes = field(repr=False)
    files: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """What a person should know of what was left out, and of what looks like a secret and was not."""
    marks: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The `mark` of each file's content, by the file's name."""


class Digest:
    """The digest of a snapshot, built up file by file in the order of their names."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, name: str, executable: bool, content: bytes) -> None:
        """Add one file; lengths go in as well, so that no two lists of files give the same bytes."""
        encoded = name.encode()
        self._hash.update(b"%d:%b %d %d:" % (len(encoded), encoded, executable, len(content)))
        self._hash.update(content)

    def hex(self) -> str:
        """Return the digest of what was added so far."""
        return self._hash.hexdigest()


def take(folder: Path, limit: int = LIMIT) -> Snapshot:
    """
    Take the files of *folder* that experiments may need; the archive has at most *limit* bytes.

    `.gitignore` (of the parents too, up to the repository's root), `.git/info/exclude` and `.qexpignore` are heeded.
    Secrets, files that hold a private key, environments and caches are left out whatever they say. Links are followed
    unless they lead out of the folder; empty folders are not kept. Equal files give equal digests on any machine.
    """
    warnings: list[str] = []
    try:
        return _pack(folder, _gather(folder, limit, warnings), limit, warnings)
    except OSError as error:
        raise _unreadable(error.filename or folder, error) from error


def contents(archive: bytes, name: str) -> str:
    """Return the text of one file of a snapshot."""
    with _undamaged():
        found = next((content for member, content in members(archive) if member.filename == name), b"")
    return found.decode(errors="replace")


def mark(content: bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()[:16]


@contextmanager
def _undamaged() -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise SourceError(f"the snapshot is damaged: {error}; enqueue the study's grid again") from error


def members(archive: bytes) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    """
    Yield the files of an archive; one of DAMAGED if that is not possible.

    An archive that holds more than a snapshot can have is refused before anything of it is unpacked.
    """
    if len(archive) > 2 * LIMIT:  # the list of files comes on top of the limit
        raise ValueError(f"it has {_size(len(archive))}, more than {_size(2 * LIMIT)}")
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        listed = opened.infolist()
        if len(listed) > _MOST_FILES:
            raise ValueError(f"it has {len(listed):,} files, more than {_MOST_FILES:,}")
        if (total := sum(member.file_size for member in listed)) > _RATIO * LIMIT:
            raise ValueError(f"its files have {_size(total)}, more than {_size(_RATIO * LIMIT)}")
        for member in listed:
            with opened.open(member) as stream:  # not `read`, which unpacks more than the size that is declared
                yield member, stream.read(member.file_size + 1)


def _gather(folder: Path, limit: int, warnings: list[str]) -> list[File]:
    """Return what there is to take, sorted by name, or stop as soon as it is hopelessly much."""
    files: list[File] = []
    total = 0
    top = folder.resolve(strict=True)
    if not top.is_dir():
        raise SourceError(f"{folder}: is a file, expected the folder of a grid")
    for file in walk(top, warnings):
        files.append(file)
        total += file.size
        if len(files) > _MOST_FILES:
            raise SourceError(f"{folder}: holds more than {_MOST_FILES:,} files; {ADVICE}")
        if total > _RATIO * limit:
            raise _too_big(folder, f"holds more than {_size(_RATIO * limit)} of files", files, limit)
    return sorted(files, key=lambda file: file.name)


def _pack(folder: Path, files: Sequence[File], limit: int, warnings: list[str]) -> Snapshot:
    digest, found, read, buffer = Digest(), dict[str, str](), 0, io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            executable, content = _read(file, _RATIO * limit) or (False, None)
            if content is None:
                continue
            if holds_private_key(content):
                warnings.append(f"{file.name}: left out of the snapshot, as it holds a private key")
                continue
            if place := secret_in(file.name, content):
                warnings.append(f"{file.name}, {place}: looks like a secret, and the snapshot has it")
            archive.writestr(_member(file, executable), content)
            digest.add(file.name, executable, content)
            found[file.name] = mark(content)
            read += len(content)
            if buffer.tell() > limit:
                break
    if buffer.tell() > limit:
        raise _too_big(folder, f"its files make a snapshot of {_guess(buffer.tell(), read, files)}", files, limit)
    return Snapshot(digest.hex(), buffer.getvalue(), tuple(found), tuple(dict.fromkeys(warnings)), found)


def _guess(size: int, read: int, files: Sequence[File]) -> str:
    """Say how big the archive would become if the files that were not read are like those that were."""
    return f"about {_size(size * max(1, sum(file.size for file in files) / max(1, read)))}"


def _read(file: File, most: int) -> tuple[bool, bytes] | None:
    """Return whether a file is executable, and its content; None if it is gone, or no file any more."""
    try:
        # what was a file a moment ago may be a pipe now, on which opening would wait, or a link to anywhere
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            mode = os.fstat(descriptor).st_mode
            content = stream.read(most + 1) if stat.S_ISREG(mode) else None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise _unreadable(file.path, error) from error
    if content is None:
        return None
    return bool(mode & stat.S_IXUSR), content


def _member(file: File, executable: bool) -> zipfile.ZipInfo:
    try:
        file.name.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{file.path!r}: its name is not UTF-8; rename it, or {ADVICE}") from None
    member = zipfile.ZipInfo(file.name, _EPOCH)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.create_system = 3  # Unix, on whatever system: the modes are Unix's
    member.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    return member


def _unreadable(path: object, error: OSError) -> SourceError:
    return SourceError(f"{path}: cannot be read: {error.strerror}; {ADVICE}")


def _too_big(folder: Path, problem: str, files: Sequence[File], limit: int) -> SourceError:
    largest = max(files, key=lambda file: file.size)
    where = f"largest: {largest.name} {_size(largest.size)}"
    return SourceError(f"{folder}: {problem} ({where}), expected at most {_size(limit)}; {ADVICE}")


def _size(size: float) -> str:
    """
    Write a number of bytes for a person.

    >>> [_size(900), _size(20_000_000), _size(53_100_000)]
    ['900 bytes', '20 MB', '53.1 MB']
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
