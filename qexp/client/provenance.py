"""What a revision comes from: the code as it is now, what git says of it, and what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qexp.errors import SourceError
from qexp.functions import file_in
from qexp.store import sources
from qexp.store.connect import raw
from qexp.store.studies import Provenance

if TYPE_CHECKING:
    from qexp.client.client import Client
    from qexp.grid import Grid


def of(grid: Grid) -> Provenance:
    """Return where the code of a grid comes from; SourceError if its folder cannot be taken as a snapshot."""
    file = _shipped(grid)
    found = of_folder(grid.folder, file is not None)
    if file is not None and found.snapshot is not None and not _has(found.snapshot.files, file):
        said = [text for text in found.snapshot.warnings if text.startswith(f"{file}:")]
        why = said[0] if said else f"{file}: left out of the snapshot; the line '!{file}' in .qexpignore takes it"
        raise SourceError(f"{grid.folder}/{why}; workers need it for the function {grid.function}")
    return found


def code(client: Client, folder: str | None, digest: str | None) -> Path | None:
    """Return the folder on this machine with the code that workers run: a snapshot *digest*, otherwise *folder*."""
    from qexp.source import unpacked

    if digest is None:
        return None if folder is None else Path(folder)

    def archive() -> bytes:
        with client.begin() as connection:
            return sources.archive(raw(connection), digest)

    return unpacked(digest, client.settings.home / "sources", archive)


def warnings(grid: Grid) -> tuple[str, ...]:
    """Return what a person should know of the snapshot that enqueueing a grid would take."""
    from qexp.source import take

    return take(grid.folder).warnings if grid.folder is not None and _shipped(grid) else ()


def _shipped(grid: Grid) -> str | None:
    """Return the file of the function in the grid's folder, if workers run a snapshot of the folder."""
    if grid.file.source != "snapshot" or grid.folder is None:
        return None
    return file_in(grid.function, grid.folder)


def _has(files: Sequence[str], file: str) -> bool:
    """Say whether a snapshot has a file, or files below a folder."""
    return any(name == file or name.startswith(f"{file}/") for name in files)


def of_folder(folder: Path | None, ships: bool) -> Provenance:
    """Return the provenance of a folder, with a snapshot of it if it *ships*."""
    from qexp.source import current, state, take  # 60 ms, which commands that only look need not wait

    git = state(folder) if folder is not None else None
    return Provenance(take(folder) if ships and folder is not None else None, git, current())
