"""Find the files of a folder that a snapshot may contain; only ignore files are read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from qexp.errors import SourceError
from qexp.settings import LOCK_FILE
from qexp.source.forbidden_files import is_forbidden, needs_warning
from qexp.source.ignore_files import IgnoreRules, rules_above

ADVICE = "list what experiments do not import in .gitignore or .qexpignore, or set 'source: installed' in the grid"
MOST_SEEN = 100_000  # files and folders, ignored ones too: half a minute on a slow disk
_MARKS = ("pyvenv.cfg", LOCK_FILE)
"""Files that mark folders which are skipped: virtual environments and homes of qexp."""
_Id = tuple[int, int]


@dataclass(frozen=True)
class SourceFile:
    """A file that a snapshot may contain: its name relative to the folder, its path, and its bytes when it was seen."""

    name: str
    path: str
    size: int


@dataclass(frozen=True)
class _PendingFolder:
    """A folder that is still to be read; a link back to a folder in its *trail* is a circle."""

    folder: Path
    path: str
    rules: IgnoreRules
    trail: frozenset[_Id]

    def with_own_rules(self) -> _PendingFolder:
        """Return the folder with the rules of its own ignore files added."""
        return replace(self, rules=self.rules.below(self.folder, len(self.path)))


def walk(folder: Path, warnings: list[str]) -> Iterator[SourceFile]:
    """
    Yield the files below *folder*, an absolute path without links, that a snapshot may contain.

    Links count as their targets. These are left out: links out of the folder, to nothing, in a circle or to a secret;
    virtual environments; homes of qexp, which have passwords; pipes and devices; files that vanish meanwhile. Links out
    of the folder and secrets are added to *warnings*.
    """
    if (folder / LOCK_FILE).exists():
        raise SourceError(
            f"{folder}: is the home of qexp; move the grid to another folder, or set QEXP_HOME to another one"
        )
    top, rules = rules_above(folder)
    pending = [_PendingFolder(folder, top, rules, frozenset(_id(place.stat()) for place in (folder, *folder.parents)))]
    seen = 0
    while pending:
        current = pending.pop().with_own_rules()
        entries = _entries(current.folder)
        seen += len(entries)
        if seen > MOST_SEEN:
            raise SourceError(f"{folder}: holds more than {MOST_SEEN:,} files and folders; {ADVICE}")
        for place, path, status in _wanted(current, entries, folder, warnings):
            if stat.S_ISREG(status.st_mode):
                yield SourceFile(path[len(top) :], place, status.st_size)
            elif _id(status) not in current.trail and not _is_marked(place):
                pending.append(_PendingFolder(Path(place), path, current.rules, current.trail | {_id(status)}))


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
            warnings.append(f"{name}: left out of the snapshot, as it is a link out of the folder, to {target}")
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
