"""Private folders of a user in the shared temporary folder: made with mode 0700, and checked before use."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from qexp.errors import SettingsError

_REPAIR = "remove it, or set TMPDIR to a folder that you own"


def folder(name: str = "", owner: int | None = None) -> Path:
    """
    Return TMP/qexp-UID/NAME, a folder of mode 0700 that belongs to *owner*; default: the effective user.

    Without a name it is TMP/qexp-UID. Only root can name another owner. Raises SettingsError if this folder or qexp-UID
    is a link, belongs to another user or is open to others.
    """
    owner = os.geteuid() if owner is None else owner
    above = make_private(path_of(owner=owner), owner, _REPAIR)
    return make_private(above / name, owner, _REPAIR) if name else above


def path_of(name: str = "", owner: int | None = None) -> Path:
    """Return the path of such a folder, which may not exist."""
    owner = os.geteuid() if owner is None else owner
    return Path(tempfile.gettempdir()) / f"qexp-{owner}" / name


def make_private(path: Path, owner: int, repair: str) -> Path:
    """
    Return *path*; if it is missing, make it a folder of mode 0700 that belongs to *owner*.

    Raises SettingsError, which ends in *repair*, if the path is anything else; it stays unchanged.
    """
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        _check(path, path.lstat(), owner, repair)
        if owner != os.geteuid():
            # use a descriptor: users who can write into the parent could replace the folder by a link
            opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _check(path, os.fstat(opened), owner, repair)
                os.fchown(opened, owner, -1)
            finally:
                os.close(opened)
    except OSError as error:
        raise SettingsError(f"{path}: {(error.strerror or str(error)).lower()}; {repair}") from error
    return path


def is_owned(path: Path) -> bool:
    """Return whether *path* exists, is no link and belongs to the effective user."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode)


def _check(path: Path, found: os.stat_result, owner: int, repair: str) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        kind = "a link"
    elif not stat.S_ISDIR(found.st_mode):
        kind = "a file"
    elif found.st_uid not in (owner, os.geteuid()):  # root may have been stopped before its chown
        kind = f"a folder of user id {found.st_uid}"
    elif mode & 0o077:
        kind = f"a folder of mode {mode:04o}"
    else:
        return
    raise SettingsError(f"{path}: found {kind}, expected a folder of user id {owner} and mode 0700; {repair}")
