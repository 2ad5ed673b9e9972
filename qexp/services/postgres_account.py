"""The user that Postgres runs as: the calling user, or a system user if root calls: Postgres refuses root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qexp import private_folders
from qexp.errors import ServiceError, SettingsError
from qexp.services.lock import locked
from qexp.truncation import single_line

USER = "pgserver"
_LOCK = Path("/run/qexp.lock")
"""A path where only root can write."""
_UNQUOTED = frozenset('"$`\\')
"""Characters that initdb does not quote when it gives its own path to a shell."""
_PATIENCE = 30.0
"""Seconds until the name service must know a new user."""


@dataclass(frozen=True)
class Account:
    """The user of the Postgres processes. None means the calling user."""

    entry: pwd.struct_passwd | None

    @classmethod
    def here(cls) -> Account:
        """Return the account to use on this machine; create it if necessary."""
        if os.geteuid() != 0:
            return cls(None)
        return cls(_known() or _made())

    @property
    def uid(self) -> int:
        """The user id of the Postgres processes."""
        return os.geteuid() if self.entry is None else self.entry.pw_uid

    def options(self) -> dict[str, Any]:
        """Return the arguments of `subprocess.run` that start a process as this account."""
        if self.entry is None:
            return {}
        return {"user": self.entry.pw_uid, "group": self.entry.pw_gid, "extra_groups": []}

    def folder(self, path: Path) -> Path:
        """Return *path* as a private folder of this account. Raises SettingsError for a link or a foreign folder."""
        return private_folders.make_private(path, self.uid, "set QEXP_HOME to another folder")

    def give(self, path: Path) -> None:
        """Make this account the owner of a file, or of a link itself."""
        if self.entry is not None:
            os.chown(path, self.entry.pw_uid, self.entry.pw_gid, follow_symlinks=False)

    def can_enter(self, path: Path) -> bool:
        """Return whether this account may pass through a folder."""
        found = path.stat()
        return self.entry is None or found.st_uid == self.entry.pw_uid or bool(found.st_mode & stat.S_IXOTH)

    def open_way(self, path: Path) -> list[str]:
        """Let this account pass through (not list) the folders above *path*; return notices on all but the nearest."""
        closed = [folder for folder in path.parents if not self.can_enter(folder)]
        for folder in closed:
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
        others = [folder for folder in closed if folder != path.parent]
        return [f"made {folder} passable (chmod o+x): Postgres runs as the user {USER}" for folder in others]

    def programs(self, site: Path, parts: Sequence[str], copies: Path) -> Path:
        """
        Return a folder with the *parts* of *site* that this account may use: *site* itself, or a copy in *copies*.

        The copy is needed because virtual environments of root often lie in root's home folder, which stays closed.
        """
        found = [site / part for part in parts if (site / part).exists()]
        if all(self.can_enter(folder) for path in found for folder in (path, *path.parents)):
            return site
        if not _UNQUOTED.isdisjoint(str(copies)):
            raise SettingsError(
                f"{copies}: the user {USER} cannot enter {site}, and Postgres's programs cannot be copied to a path "
                """with any of " $ ` \\; set QEXP_HOME to another folder"""
            )
        copy = copies / f"programs-{found[0].stat().st_mtime_ns}"
        if not copy.exists():
            draft = copy.with_suffix(".new")
            shutil.rmtree(draft, ignore_errors=True)
            for path in found:
                shutil.copytree(path, draft / path.relative_to(site), symlinks=True)
            for item in [draft, *draft.rglob("*")]:
                self.give(item)
            draft.rename(copy)
        return copy


def _known() -> pwd.struct_passwd | None:
    """Return the entry of the system user. Returns None unless the name service knows its name and its id."""
    try:
        return pwd.getpwuid(pwd.getpwnam(USER).pw_uid)
    except KeyError:
        return None


def _made() -> pwd.struct_passwd:
    """
    Return the system user's entry; create the user if necessary.

    A lock prevents two parallel `useradd`: both would succeed, and the second would change the id of the user.
    """
    try:
        with locked(_LOCK):
            if (entry := _known()) is not None:
                return entry
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            deadline = time.monotonic() + _PATIENCE
            while (entry := _known()) is None and done.returncode == 0 and time.monotonic() < deadline:
                time.sleep(0.05)
    except OSError as error:
        reason = str(error)
    else:
        if entry is not None:
            return entry
        reason = single_line(done.stderr) or f"useradd ended with status {done.returncode}"
    raise ServiceError(
        f"Postgres does not run as root, and the user {USER!r} cannot be created: {reason}; "
        "create it, or run qexp as an ordinary user"
    )
