"""Find the code that an attempt runs: the snapshot of its revision, unpacked on this host."""

from __future__ import annotations

import os
from pathlib import Path

from qexp.model import Claim
from qexp.settings import Settings
from qexp.source import holds, unpacked
from qexp.store.reads import snapshots
from qexp.store.reconnecting import ReconnectingConnection


class AttemptCode:
    """The snapshots on this host, below qexp's home; different code never shares a folder."""

    def __init__(self, settings: Settings, postgres: ReconnectingConnection) -> None:
        self._root, self._postgres = settings.home / "sources", postgres
        self._found: dict[str, Path] = {}

    def folder(self, claim: Claim) -> Path | None:
        """
        Return the folder to import a claim's function from: its snapshot, or the grid's folder if it has none.

        Returns None if the function is in an installed package. Loads a missing snapshot from Postgres.
        """
        digest = claim.source
        if digest is None:
            return claim.folder
        folder = self._found.get(digest)
        if folder is not None and holds(folder) and os.path.isdir(folder):  # noqa: PTH112 - 20 times as fast as Path.is_dir
            return folder
        what = f"the code of {claim.study}"
        folder = unpacked(
            digest, self._root, lambda: self._postgres.run(lambda raw: snapshots.archive(raw, digest), what)
        )
        self._found[digest] = folder
        return folder
