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
from dataclasses import dataclass, field, replace
from pathlib import Path

from qexp.errors import SourceError
from qexp.source.file_kinds import SMALL_IN_ALL, TEXT_PREFIX, SourceKind, is_own, is_text
from qexp.source.forbidden_files import holds_private_key, secret_in
from qexp.source.snapshot_files import ADVICE, INCLUDE_ADVICE, SourceFile, named, walk
from qexp.units import size_text

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
    size: int = field(default=0, compare=False)
    """The bytes of all files, before they are compressed."""
    data: Mapping[str, int] = field(default_factory=dict, compare=False)
    """The data files that were left out, the largest first, with their bytes. Files that git ignores do not count."""
    unmatched: tuple[str, ...] = field(default=(), compare=False)
    """The patterns that match no file which a snapshot may have."""
    own: frozenset[str] = field(default=frozenset(), compare=False)
    """Grids and tables files, which qexp reads and the function does not."""


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


def take(folder: Path, include: Sequence[str] = (), limit: int = LIMIT) -> Snapshot:
    """
    Take a snapshot of the code of *folder*; its archive has at most *limit* bytes.

    `qexp.source.file_kinds` says which files are code. Files named in `.gitignore` (also of the parents up to the
    repository's root), `.git/info/exclude` and `.qexpignore` are left out. The patterns of *include* take files of any
    kind. Secrets, private keys, environments, caches and links out of the folder are always left out. Equal files give
    equal digests on all machines.
    """
    warnings: list[str] = []
    try:
        top = folder.resolve(strict=True)
        if not top.is_dir():
            raise SourceError(f"{folder}: is a file, expected the folder of a grid")
        files, unmatched = _included(top, include, warnings)
        return _pack(folder, gather(top, limit, warnings, files), limit, warnings, unmatched)
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
        raise ValueError(f"it has {size_text(len(archive))}, more than {size_text(2 * LIMIT)}")
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        listed = opened.infolist()
        if len(listed) > MOST_FILES:
            raise ValueError(f"it has {len(listed):,} files, more than {MOST_FILES:,}")
        if (total := sum(member.file_size for member in listed)) > _RATIO * LIMIT:
            raise ValueError(f"its files have {size_text(total)}, more than {size_text(_RATIO * LIMIT)}")
        for member in listed:
            with opened.open(member) as stream:  # `read` would unpack more than the declared size
                yield member, stream.read(member.file_size + 1)


def _included(top: Path, patterns: Sequence[str], warnings: list[str]) -> tuple[dict[str, SourceFile], tuple[str, ...]]:
    """Return the files that the patterns name, by name, and the patterns that name none."""
    files: dict[str, SourceFile] = {}
    unmatched: list[str] = []
    for pattern in patterns:
        found = {file.name: file for file in named(top, pattern, warnings)}
        files |= found
        if not found:
            unmatched.append(pattern)
    return files, tuple(unmatched)


def gather(
    folder: Path, limit: int, warnings: list[str], included: Mapping[str, SourceFile] | None = None
) -> list[SourceFile]:
    """
    Return the files of a folder without links, and the *included* ones, sorted by name.

    Documents are left out. Data stays in the list, to be named. Raises SourceError as soon as the files to take are too
    many or too large.
    """
    found = dict(included or {})
    taken, total = len(found), sum(file.size for file in found.values())
    for file in walk(folder, warnings):
        if file.name in found or file.kind is SourceKind.DOCUMENT:
            continue
        found[file.name] = file
        taken += file.kind is not SourceKind.DATA
        total += file.size if file.kind is SourceKind.CODE else 0
        if taken > MOST_FILES:
            raise SourceError(f"{folder}: holds more than {MOST_FILES:,} files{_by_include(included or {})}; {ADVICE}")
        if total > _RATIO * limit:
            code = [file for file in found.values() if file.kind is SourceKind.CODE]
            raise _too_big(folder, f"holds more than {size_text(_RATIO * limit)} of files", code, limit)
    return _without_largest(sorted(found.values(), key=lambda file: file.name))


def _by_include(included: Mapping[str, SourceFile]) -> str:
    """Return a part of a sentence about the files that `source.include` names."""
    return f", {len(included):,} of them named by 'source: {{include: …}}' in the grid" if included else ""


def _without_largest(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Return the files; the largest of the small ones become data if these are too large together."""
    small = [file for file in files if file.kind in (SourceKind.TEXT, SourceKind.PACKAGE_FILE)]
    excess = sum(file.size for file in small) - SMALL_IN_ALL
    large: set[str] = set()
    for file in sorted(small, key=lambda file: -file.size):
        if excess <= 0:
            break
        large.add(file.name)
        excess -= file.size
    return [replace(file, kind=SourceKind.DATA) if file.name in large else file for file in files]


def _pack(
    folder: Path, files: Sequence[SourceFile], limit: int, warnings: list[str], unmatched: tuple[str, ...] = ()
) -> Snapshot:
    data = {file.name: file.size for file in files if file.kind is SourceKind.DATA}
    files = [file for file in files if file.kind is not SourceKind.DATA]
    digest, found, own, read, buffer = Digest(), dict[str, str](), set[str](), 0, io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            executable, content = _read(file, _RATIO * limit) or (False, None)
            if content is None:
                continue
            if file.kind is SourceKind.TEXT and not is_text(content):
                data[file.name] = file.size
                continue
            if holds_private_key(content):
                warnings.append(f"{file.name}: left out of the snapshot, as it holds a private key")
                continue
            if place := secret_in(file.name, content):
                warnings.append(f"{file.name}, {place}: looks like a secret, and the snapshot has it")
            archive.writestr(_member(file, executable), content)
            digest.add(file.name, executable, content)
            found[file.name] = mark(content)
            if is_own(file.name, content):
                own.add(file.name)
            read += len(content)
            if buffer.tell() > limit:
                break
    if buffer.tell() > limit:
        raise _too_big(folder, f"its files make a snapshot of {_guess(buffer.tell(), read, files)}", files, limit)
    return Snapshot(
        digest.hex(),
        buffer.getvalue(),
        tuple(found),
        tuple(dict.fromkeys(warnings)),
        found,
        read,
        dict(sorted(data.items(), key=lambda item: (-item[1], item[0]))),
        unmatched,
        frozenset(own),
    )


def _guess(size: int, read: int, files: Sequence[SourceFile]) -> str:
    """Estimate the size of the whole archive from the files that were read."""
    return f"about {size_text(size * max(1, sum(file.size for file in files) / max(1, read)))}"


def _read(file: SourceFile, most: int) -> tuple[bool, bytes] | None:
    """Return whether a file is executable, and its content. Returns None if it is gone or no regular file."""
    try:
        # meanwhile the file may have become a pipe, on which opening would wait, or a link
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            mode = os.fstat(descriptor).st_mode
            content = stream.read(TEXT_PREFIX) if stat.S_ISREG(mode) else None
            if content and (file.kind is not SourceKind.TEXT or is_text(content)):  # the rest of data is not needed
                content += stream.read(most + 1 - len(content))
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
    where = f"largest: {largest.name} {size_text(largest.size)}"
    advice = INCLUDE_ADVICE.format(largest.name) if largest.is_included else ADVICE
    return SourceError(f"{folder}: {problem} ({where}), expected at most {size_text(limit)}; {advice}")
