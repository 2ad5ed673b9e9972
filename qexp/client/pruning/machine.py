"""Find what nothing needs any more in qexp's folders on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Set
from functools import partial
from pathlib import Path

from qexp.client.pruning.unneeded import Unneeded, remove_tree, size_of, unlink
from qexp.file_locks import is_held
from qexp.settings import Settings
from qexp.source import unpacked_snapshots
from qexp.worker.attempt import scratch

_SETTLED = 3600.0
"""Seconds without a change after which a file that was being written belongs to a dead process."""
_OLD = 24 * 3600.0
"""Seconds without a change after which results of an earlier source of a cached function are removed."""


def sources(settings: Settings, needed: Set[str]) -> Iterator[Unneeded]:
    """Yield the unpacked snapshots that no process holds, except the *needed* digests."""
    root = settings.home / "sources"
    for folder in unpacked_snapshots.all_unpacked(root):
        if folder.name not in needed and not unpacked_snapshots.is_held(folder):
            yield Unneeded(size_of(folder), partial(unpacked_snapshots.remove, folder))


def scratch_folders() -> Iterator[Unneeded]:
    """Yield the scratch folders of attempts whose workers are dead."""
    for folder in scratch.folders_of_dead_attempts():
        yield Unneeded(size_of(folder), partial(scratch.remove_dead_attempt, folder))


def parts(settings: Settings) -> Iterator[Unneeded]:
    """Yield the `.part` files of processes that died while they wrote."""
    folders = [settings.home / name for name in ("artifacts", "cache", "outbox")]
    if settings.artifacts_root.startswith(("/", "file://")):
        folders.append(Path(settings.artifacts_root.removeprefix("file://")))
    for folder in dict.fromkeys(folders):
        for path in folder.rglob(".qexp-*.part"):
            if _is_settled(path, _SETTLED) and not is_held(path):
                yield Unneeded(size_of(path), partial(unlink, path))


def cached_results(settings: Settings) -> Iterator[Unneeded]:
    """Yield the results of cached functions whose source has changed since: of each function, the newest stays."""
    by_function: dict[str, list[tuple[float, Path]]] = {}
    root = settings.home / "cache"
    for folder in root.iterdir() if root.is_dir() else ():
        name, separator, _ = folder.name.rpartition("-")
        if separator and folder.is_dir():
            by_function.setdefault(name, []).append((_newest(folder), folder))
    for versions in by_function.values():
        for changed, folder in sorted(versions)[:-1]:
            if time.time() - changed > _OLD and not any(map(is_held, folder.glob("*.lock"))):
                yield Unneeded(size_of(folder), partial(remove_tree, folder))


def _newest(folder: Path) -> float:
    """Return when a folder or a file in it changed last."""
    times = [folder.stat().st_mtime, *(entry.stat().st_mtime for entry in os.scandir(folder))]
    return max(times)


def _is_settled(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime > seconds
    except FileNotFoundError:  # it was complete just now
        return False
