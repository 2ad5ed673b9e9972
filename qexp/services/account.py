"""Whom Postgres runs as: the calling user; for root, whom Postgres refuses, a system user of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qexp.errors import ServiceError

USER = "pgserver"


@dataclass(frozen=True)
class Account:
    """The user that the Postgres processes belong to; None: whoever calls."""

    entry: pwd.struct_passwd | None

    @classmethod
    def here(cls) -> Account:
        """Return the account to use on this machine, made if need be."""
        if os.geteuid() != 0:
            return cls(None)
        try:
            return cls(pwd.getpwnam(USER))
        except KeyError:
            pass
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ServiceError(
                f"Postgres refuses to run as root and the user {USER!r} cannot be made: {error}; "
                "make one, or run qexp as an ordinary user"
            ) from error
        return cls(pwd.getpwnam(USER))

    def options(self) -> dict[str, Any]:
        """Return the arguments of `subprocess.run` that make a process belong to this account."""
        if self.entry is None:
            return {}
        return {"user": self.entry.pw_uid, "group": self.entry.pw_gid, "extra_groups": []}

    def folder(self, path: Path) -> Path:
        """Return *path* as a private folder of this account."""
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)
        if self.entry is not None:
            os.chown(path, self.entry.pw_uid, self.entry.pw_gid)
        owner = path.stat().st_uid
        if owner != (self.entry.pw_uid if self.entry is not None else os.geteuid()):
            raise ServiceError(
                f"{path} belongs to user id {owner}, expected to own it; set QEXP_HOME to another folder"
            )
        return path

    def give(self, path: Path) -> None:
        """Hand a file over to this account."""
        if self.entry is not None:
            os.chown(path, self.entry.pw_uid, self.entry.pw_gid)

    def can_enter(self, path: Path) -> bool:
        """Say whether this account may pass through a folder."""
        return self.entry is None or bool(path.stat().st_mode & stat.S_IXOTH)

    def open_way(self, path: Path) -> list[str]:
        """Let this account pass through (not list) the folders above *path*; return what is not our own."""
        closed = [folder for folder in path.parents if not self.can_enter(folder)]
        for folder in closed:
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
        others = [folder for folder in closed if folder != path.parent]
        return [f"opened {folder} for passing through (chmod o+x): Postgres runs as {USER}" for folder in others]

    def programs(self, site: Path, parts: Sequence[str], copies: Path) -> Path:
        """
        Return a folder that holds *parts* as *site* does and that this account may use: *site*, or a copy in *copies*.

        Root's virtual environments often lie in root's home folder, which stays closed.
        """
        found = [site / part for part in parts if (site / part).exists()]
        if all(self.can_enter(folder) for path in found for folder in (path, *path.parents)):
            return site
        copy = copies / f"programs-{found[0].stat().st_mtime_ns}"
        if not copy.exists():
            draft = copy.with_suffix(".new")
            shutil.rmtree(draft, ignore_errors=True)
            for path in found:
                shutil.copytree(path, draft / path.relative_to(site), symlinks=True)
            for item in [draft, *draft.rglob("*")]:
                if not item.is_symlink():
                    self.give(item)
            draft.rename(copy)
        return copy
