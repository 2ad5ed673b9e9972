"""Which files of a folder may be taken; nothing is read but ignore files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from qexp.errors import SourceError
from qexp.settings import LOCK_FILE
from qexp.source.forbidden import is_forbidden
from qexp.source.ignore import Rules, outset

ADVICE = "list what experiments do not import in .gitignore or .qexpignore, or set 'source: installed' in the grid"
_MOST_SEEN = 100_000  # files and folders, ignored ones too: half a minute on a slow disk
_MARKS = ("pyvenv.cfg", LOCK_FILE)
"""Files by which folders are known that are not looked into."""
_Id = tuple[int, int]


@dataclass(frozen=True)
class File:
    """A file that may be taken: its name relative to the folder, where it is, its bytes when it was seen."""

    name: str
    path: str
    size: int


@dataclass(frozen=True)
class _Room:
    """A folder still to be looked into, and the folders that lead to it: a link back to one of them is a circle."""

    folder: Path
    path: str
    rules: Rules
    trail: frozenset[_Id]

    def informed(self) -> _Room:
        """Return it with the ignore files that lie in it."""
        return replace(self, rules=self.rules.below(self.folder, len(self.path)))


def walk(folder: Path) -> Iterator[File]:
    """
    Yield the files below *folder*, an absolute path without links, that no ignore file and no rule of ours leaves out.

    Links count as what they lead to; those that lead nowhere, in a circle, to a secret or to what cannot be read are
    left out, and so are virtual environments, homes of qexp's with the passwords of its services, and whatever is
    neither file nor folder. What vanishes meanwhile is left out too.
    """
    if (folder / LOCK_FILE).exists():
        raise SourceError(f"{folder}: is a home of qexp's; expected grids in another folder, or QEXP_HOME elsewhere")
    top, rules = outset(folder)
    pending = [_Room(folder, top, rules, frozenset(_id(place.stat()) for place in (folder, *folder.parents)))]
    seen = 0
    while pending:
        room = pending.pop().informed()
        entries = _entries(room.folder)
        seen += len(entries)
        if seen > _MOST_SEEN:
            raise SourceError(f"{folder}: holds more than {_MOST_SEEN:,} files and folders; {ADVICE}")
        for place, path, status in _wanted(room, entries, folder):
            if stat.S_ISREG(status.st_mode):
                yield File(path[len(top) :], place, status.st_size)
            elif _id(status) not in room.trail and not any(os.access(f"{place}/{mark}", os.F_OK) for mark in _MARKS):
                pending.append(_Room(Path(place), path, room.rules, room.trail | {_id(status)}))


def _wanted(
    room: _Room, entries: Iterable[os.DirEntry[str]], folder: Path
) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield what no ignore file speaks against: where it is, its path below the repository's root, and what it is."""
    for entry in entries:
        status = _status(entry, folder)
        if status is not None:
            path = f"{room.path}{entry.name}{'/' * stat.S_ISDIR(status.st_mode)}"
            if not room.rules.ignores(path):
                yield entry.path, path, status


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not is_forbidden(entry.name)), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _status(entry: os.DirEntry[str], folder: Path) -> os.stat_result | None:
    """Return what *entry* is, links followed; None for what is not to be looked at."""
    if entry.is_symlink() and not _is_good(Path(entry.path), folder):
        return None
    try:
        status = entry.stat()
    except FileNotFoundError:
        return None
    return status if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) else None


def _is_good(link: Path, folder: Path) -> bool:
    """Say whether a link leads to what can be read, over no name that is forbidden."""
    try:
        status = link.stat()
        stations = [link.resolve()]
        while link.is_symlink():
            link = link.parent / link.readlink()
            stations.append(link)
    except (OSError, RuntimeError):  # RuntimeError: a circle, in Pythons before 3.13
        return False
    names = {name for station in stations for name in station.parts} - set(folder.parts)
    wanted = os.R_OK | os.X_OK if stat.S_ISDIR(status.st_mode) else os.R_OK
    return os.access(link, wanted) and not any(map(is_forbidden, names))


def _id(status: os.stat_result) -> _Id:
    return status.st_dev, status.st_ino
