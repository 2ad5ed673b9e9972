"""The files of a grid's folder, taken at one moment: an archive, and a digest that says whether two are equal."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qexp.errors import SourceError
from qexp.source.forbidden import holds_private_key
from qexp.source.walk import ADVICE, File, walk

LIMIT = 20_000_000
_MOST_FILES = 20_000
_RATIO = 10  # code is not compressed better than this; whatever is bigger is data, and not worth the wait
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name


@dataclass(frozen=True)
class Snapshot:
    """A folder's files: *digest* stands for their names, contents and executable bits, *archive* is a zip of them."""

    digest: str
    archive: bytes = field(repr=False)
    files: tuple[str, ...]


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
    Secrets, files that hold a private key, environments and caches are left out whatever they say. Links are followed,
    empty folders are not kept. Equal files give equal digests on any machine.
    """
    try:
        return _pack(folder, _gather(folder, limit), limit)
    except OSError as error:
        raise _unreadable(error.filename or folder, error) from error


def contents(archive: bytes, name: str) -> str:
    """Return the text of one file of a snapshot."""
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        return members.read(name).decode(errors="replace")


def _gather(folder: Path, limit: int) -> list[File]:
    """Return what there is to take, sorted by name, or stop as soon as it is hopelessly much."""
    files: list[File] = []
    total = 0
    top = folder.resolve(strict=True)
    if not top.is_dir():
        raise SourceError(f"{folder}: is a file, expected the folder of a grid")
    for file in walk(top):
        files.append(file)
        total += file.size
        if len(files) > _MOST_FILES:
            raise SourceError(f"{folder}: holds more than {_MOST_FILES:,} files; {ADVICE}")
        if total > _RATIO * limit:
            raise _too_big(folder, f"holds more than {_size(_RATIO * limit)} of files", files, limit)
    return sorted(files, key=lambda file: file.name)


def _pack(folder: Path, files: Sequence[File], limit: int) -> Snapshot:
    digest, names, read, buffer = Digest(), [], 0, io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            executable, content = _read(file, _RATIO * limit) or (False, None)
            if content is None:
                continue
            archive.writestr(_member(file, executable), content)
            digest.add(file.name, executable, content)
            names.append(file.name)
            read += len(content)
            if buffer.tell() > limit:
                break
    if buffer.tell() > limit:
        raise _too_big(folder, f"its files make a snapshot of {_guess(buffer.tell(), read, files)}", files, limit)
    return Snapshot(digest.hex(), buffer.getvalue(), tuple(names))


def _guess(size: int, read: int, files: Sequence[File]) -> str:
    """Say how big the archive would become if the files that were not read are like those that were."""
    return f"about {_size(size * max(1, sum(file.size for file in files) / max(1, read)))}"


def _read(file: File, most: int) -> tuple[bool, bytes] | None:
    """Return whether a file is executable, and its content; None if it is gone, no file any more, or holds a key."""
    try:
        # what was a file a moment ago may be a pipe now, on which opening would wait
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            mode = os.fstat(descriptor).st_mode
            content = stream.read(most + 1) if stat.S_ISREG(mode) else None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(file.path, error) from error
    if content is None or holds_private_key(content):
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
