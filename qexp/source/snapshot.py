"""A snapshot of a grid's folder: an archive of its files, with a digest that is equal for equal files."""

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
from qexp.source.snapshot_files import ADVICE, SourceFile, walk

LIMIT = 20_000_000
"""The most bytes of a snapshot's archive."""
MOST_FILES = 20_000
_RATIO = 10  # code does not compress better than this, so larger files are data
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""The errors of reading a damaged archive, or one that is not a snapshot."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can store


@dataclass(frozen=True)
class Snapshot:
    """A folder's files: *archive* is a zip of them, *digest* covers their names, contents and executable bits."""

    digest: str
    archive: bytes = field(repr=False)
    files: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """Warnings about files that were left out, and about included files that may hold a secret."""
    marks: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The `mark` of each file's content, by the file's name."""


class Digest:
    """The digest of a snapshot, computed file by file in the order of their names."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, name: str, executable: bool, content: bytes) -> None:
        """Add one file, with its lengths, so that different lists of files never give the same bytes."""
        encoded = name.encode()
        self._hash.update(b"%d:%b %d %d:" % (len(encoded), encoded, executable, len(content)))
        self._hash.update(content)

    def hex(self) -> str:
        """Return the digest of the files that were added so far."""
        return self._hash.hexdigest()


def take(folder: Path, limit: int = LIMIT) -> Snapshot:
    """
    Take a snapshot of the files of *folder*; its archive has at most *limit* bytes.

    Files named in `.gitignore` (also of the parents up to the repository's root), `.git/info/exclude` and `.qexpignore`
    are left out. Secrets, private keys, environments and caches are always left out. Links out of the folder and empty
    folders are left out too. Equal files give equal digests on all machines.
    """
    warnings: list[str] = []
    try:
        return _pack(folder, gather(folder, limit, warnings), limit, warnings)
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
    Yield the files of an archive. Raises one of DAMAGED if it cannot be read.

    An archive that is larger than a snapshot can be is refused before it is unpacked.
    """
    if len(archive) > 2 * LIMIT:  # the limit does not count the list of files
        raise ValueError(f"it has {_size(len(archive))}, more than {_size(2 * LIMIT)}")
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        listed = opened.infolist()
        if len(listed) > MOST_FILES:
            raise ValueError(f"it has {len(listed):,} files, more than {MOST_FILES:,}")
        if (total := sum(member.file_size for member in listed)) > _RATIO * LIMIT:
            raise ValueError(f"its files have {_size(total)}, more than {_size(_RATIO * LIMIT)}")
        for member in listed:
            with opened.open(member) as stream:  # `read` would unpack more than the declared size
                yield member, stream.read(member.file_size + 1)


def gather(folder: Path, limit: int, warnings: list[str]) -> list[SourceFile]:
    """Return the files to take, sorted by name. Raises SourceError as soon as they are too many or too large."""
    files: list[SourceFile] = []
    total = 0
    top = folder.resolve(strict=True)
    if not top.is_dir():
        raise SourceError(f"{folder}: is a file, expected the folder of a grid")
    for file in walk(top, warnings):
        files.append(file)
        total += file.size
        if len(files) > MOST_FILES:
            raise SourceError(f"{folder}: holds more than {MOST_FILES:,} files; {ADVICE}")
        if total > _RATIO * limit:
            raise _too_big(folder, f"holds more than {_size(_RATIO * limit)} of files", files, limit)
    return sorted(files, key=lambda file: file.name)


def _pack(folder: Path, files: Sequence[SourceFile], limit: int, warnings: list[str]) -> Snapshot:
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


def _guess(size: int, read: int, files: Sequence[SourceFile]) -> str:
    """Estimate the size of the whole archive from the files that were read."""
    return f"about {_size(size * max(1, sum(file.size for file in files) / max(1, read)))}"


def _read(file: SourceFile, most: int) -> tuple[bool, bytes] | None:
    """Return whether a file is executable, and its content. Returns None if it is gone or no regular file."""
    try:
        # meanwhile the file may have become a pipe, on which opening would wait, or a link
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


def _member(file: SourceFile, executable: bool) -> zipfile.ZipInfo:
    try:
        file.name.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{file.path!r}: its name is not UTF-8; rename it, or {ADVICE}") from None
    member = zipfile.ZipInfo(file.name, _EPOCH)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.create_system = 3  # Unix on every system, since the modes are those of Unix
    member.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    return member


def _unreadable(path: object, error: OSError) -> SourceError:
    return SourceError(f"{path}: cannot be read: {error.strerror}; {ADVICE}")


def _too_big(folder: Path, problem: str, files: Sequence[SourceFile], limit: int) -> SourceError:
    largest = max(files, key=lambda file: file.size)
    where = f"largest: {largest.name} {_size(largest.size)}"
    return SourceError(f"{folder}: {problem} ({where}), expected at most {_size(limit)}; {ADVICE}")


def _size(size: float) -> str:
    """
    Return a number of bytes as text for a person.

    >>> [_size(900), _size(20_000_000), _size(53_100_000)]
    ['900 bytes', '20 MB', '53.1 MB']
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
