"""
The files that qexp wrote for people on this machine: exports, tables, plots, reports, artifacts and unpacked code.

A snapshot leaves them out. Lists in qexp's home have the size and the time of each file, so a file that you edit or
replace counts as yours.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from qexp.errors import SettingsError
from qexp.settings import load

log = logging.getLogger(__name__)

_Mark = tuple[int, int]
_LISTS = 64  # a folder belongs to one of them, so that a snapshot of few folders reads few lists
_LONG = 64_000  # bytes; each time that a list has grown by so much, it loses the files that are gone


def note(path: Path) -> None:
    """
    Note that qexp wrote a file, or a folder with everything in it.

    Without a home that can be written nothing is noted: the next snapshot may then take the file.
    """
    place = Path(os.path.abspath(path))  # noqa: PTH100 - a link is noted where it lies
    try:
        folder = str(place.parent.resolve())
        target = _list_of(_root(), folder)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with target.open("a", encoding="utf-8") as file:  # one short write: processes may append together
            before = file.tell()
            file.write(_line(folder, place.name, _mark(place)))
            file.flush()
            after = file.tell()
        if before // _LONG < after // _LONG:
            _shorten(target)
    except (OSError, SettingsError) as error:
        log.info("%s: it was not noted that qexp wrote it: %s", path, error)


class WrittenFiles:
    """The notes of this machine, read for one snapshot."""

    def __init__(self) -> None:
        self._root = _root()
        self._has_notes = self._root.is_dir()
        self._folders: dict[str, dict[str, _Mark]] = {}

    def __contains__(self, path: str) -> bool:
        """Say whether qexp wrote the file or folder at *path*, which has no links, and nobody changed it since."""
        if not self._has_notes:
            return False
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = self._noted_in(folder)
        noted = self._folders[folder].get(name)
        return noted is not None and noted == _mark(Path(path))

    def _noted_in(self, folder: str) -> dict[str, _Mark]:
        notes = _noted(_list_of(self._root, folder))
        return {name: mark for (above, name), mark in notes if above == folder}


def _root() -> Path:
    return load().home / "written"


def _list_of(root: Path, folder: str) -> Path:
    return root / f"{hashlib.blake2b(os.fsencode(folder), digest_size=1).digest()[0] % _LISTS:02}"


def _mark(path: Path) -> _Mark:
    """Return size and time of a file, or the inode of a folder; whole seconds, as some file systems store no parts."""
    status = path.stat()
    return (-1, status.st_ino) if path.is_dir() else (status.st_size, int(status.st_mtime))


def _line(folder: str, name: str, mark: _Mark) -> str:
    return json.dumps([folder, name, *mark]) + "\n"


def _noted(target: Path) -> Iterator[tuple[tuple[str, str], _Mark]]:
    try:
        text = target.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            folder, name, size, time = json.loads(line)
        except ValueError:  # a line that was cut, as the disk was full
            continue
        yield (folder, name), (size, time)


def _shorten(target: Path) -> None:
    kept = {place: mark for place, mark in _noted(target) if Path(*place).exists()}
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    draft.write_text("".join(_line(*place, mark) for place, mark in kept.items()), encoding="utf-8")
    draft.replace(target)
