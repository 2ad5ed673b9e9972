"""Find the files of a folder that a snapshot may contain; only ignore files are read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from qexp.errors import SourceError
from qexp.settings import LOCK_FILE
from qexp.source.file_kinds import SourceKind, holds_outputs, kind_of
from qexp.source.forbidden_files import is_forbidden, needs_warning
from qexp.source.ignore_files import IgnoreRules, rules_above
from qexp.source.written_files import WrittenFiles

ADVICE = "list what experiments do not import in .gitignore or .qexpignore, or set 'source: installed' in the grid"
INCLUDE_ADVICE = "take {} out of 'source: {{include: …}}' in the grid, and pass its path as a setting"
MOST_SEEN = 100_000  # files and folders, ignored ones too: half a minute on a slow disk
_MARKS = ("pyvenv.cfg", LOCK_FILE)
"""Files that mark folders which are skipped: virtual environments and homes of qexp."""
LINK_OUT = "left out of the snapshot, as it is a link out of the folder, to "
_PACKAGE = "__init__.py"
_Id = tuple[int, int]


@dataclass(frozen=True)
class SourceFile:
    """A file that a snapshot may contain: its name relative to the folder, its path, and its bytes when it was seen."""

    name: str
    path: str
    size: int
    kind: SourceKind = SourceKind.CODE
    is_included: bool = False
    """A pattern of the grid's `source.include` names it, so ignore files do not count."""


@dataclass(frozen=True)
class _PendingFolder:
    """A folder that is still to be read; a link back to a folder in its *trail* is a circle."""

    folder: Path
    path: str
    rules: IgnoreRules
    trail: frozenset[_Id]
    in_package: bool = False

    def with_own_rules(self) -> _PendingFolder:
        """Return the folder with the rules of its own ignore files added."""
        return replace(self, rules=self.rules.below(self.folder, len(self.path)))


def walk(folder: Path, warnings: list[str]) -> Iterator[SourceFile]:
    """
    Yield the files below *folder*, an absolute path without links, that a snapshot may contain.

    Links count as their targets. These are left out: links out of the folder, to nothing, in a circle or to a secret;
    virtual environments; homes of qexp, which have passwords; pipes and devices; files that vanish meanwhile. Links out
    of the folder and secrets are added to *warnings*. Files that qexp wrote are documents.
    """
    if (folder / LOCK_FILE).exists():
        raise SourceError(
            f"{folder}: is the home of qexp; move the grid to another folder, or set QEXP_HOME to another one"
        )
    top, rules = rules_above(folder)
    pending = [_PendingFolder(folder, top, rules, frozenset(_id(place.stat()) for place in (folder, *folder.parents)))]
    seen, written = 0, WrittenFiles()
    while pending:
        current = pending.pop().with_own_rules()
        entries = _entries(current.folder)
        seen += len(entries)
        is_package = any(entry.name == _PACKAGE for entry in entries)
        if holds_outputs(current.folder.name, is_package):
            continue
        in_package = current.folder != folder and (current.in_package or is_package)
        if seen > MOST_SEEN:
            raise SourceError(f"{folder}: holds more than {MOST_SEEN:,} files and folders; {ADVICE}")
        for place, path, status in _wanted(current, entries, folder, warnings):
            is_written = place in written
            if stat.S_ISREG(status.st_mode):
                name = path[len(top) :]
                kind = (
                    SourceKind.DOCUMENT if is_written else kind_of(name.rpartition("/")[2], status.st_size, in_package)
                )
                yield SourceFile(name, place, status.st_size, kind)
            elif not is_written and _id(status) not in current.trail and not _is_marked(place):
                trail = current.trail | {_id(status)}
                pending.append(_PendingFolder(Path(place), path, current.rules, trail, in_package))


def named(folder: Path, pattern: str, warnings: list[str]) -> Iterator[SourceFile]:
    """
    Yield the files that a pattern of the grid's `source.include` names, with those below the folders that it names.

    Ignore files do not count. Links out of the folder and secrets are left out as by `walk`.
    """
    for place in sorted(folder.glob(pattern)):
        yield from _named(folder, place, warnings, frozenset((folder,)))


def _named(folder: Path, place: Path, warnings: list[str], trail: frozenset[Path]) -> Iterator[SourceFile]:
    name, target = place.relative_to(folder).as_posix(), place.resolve()
    forbidden = next(filter(is_forbidden, Path(name).parts), None)
    if forbidden is not None:
        if needs_warning(forbidden):
            warnings.append(f"{name}: left out of the snapshot, as its name is one of secrets")
    elif not target.is_relative_to(folder):
        warnings.append(f"{name}: {LINK_OUT}{target}")
    elif target in trail or _is_withheld(target, folder) or _is_marked(target):
        return
    elif target.is_dir():
        for inner in sorted(place.iterdir()):
            yield from _named(folder, inner, warnings, trail | {target})
    elif target.is_file():
        yield SourceFile(name, str(target), target.stat().st_size, is_included=True)


def _wanted(
    current: _PendingFolder, entries: Iterable[os.DirEntry[str]], folder: Path, warnings: list[str]
) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield the path, the path in the repository and the status of each entry that may be taken."""
    for entry in entries:
        forbidden = is_forbidden(entry.name)
        status = None if forbidden and not needs_warning(entry.name) else _status(entry)
        if status is None:
            continue
        path = f"{current.path}{entry.name}{'/' * stat.S_ISDIR(status.st_mode)}"
        if current.rules.ignores(path):
            continue
        name, target = os.path.relpath(entry.path, folder), os.path.realpath(entry.path)
        if forbidden:
            warnings.append(f"{name}: left out of the snapshot, as its name is one of secrets")
        elif not entry.is_symlink():
            yield entry.path, path, status
        elif not Path(target).is_relative_to(folder):
            warnings.append(f"{name}: {LINK_OUT}{target}")
        elif not _is_withheld(Path(target), folder):
            yield target, path, status


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return the status of *entry* or of its link's target. Returns None unless that is a readable file or folder."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return None
    except OSError:
        if entry.is_symlink():  # in a circle, or through a folder that this user may not read
            return None
        raise
    return status if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) else None


def _is_withheld(target: Path, folder: Path) -> bool:
    """Return whether a link's target is never taken: for its name, for a folder that contains it, or for its rights."""
    inner = target.relative_to(folder)
    wanted = os.R_OK | os.X_OK if target.is_dir() else os.R_OK
    within = any(map(is_forbidden, inner.parts)) or any(_is_marked(folder / above) for above in inner.parents)
    return within or not os.access(target, wanted)


def _is_marked(folder: str | Path) -> bool:
    return any(os.access(f"{folder}/{mark}", os.F_OK) for mark in _MARKS)


def _id(status: os.stat_result) -> _Id:
    return status.st_dev, status.st_ino
