"""What a revision comes from: the code as it is now, what git says of it, and what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qexp.errors import SourceError
from qexp.functions import beside
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
    """Return the code that workers run for a study, on this machine: its snapshot *digest*, else its folder."""
    from qexp.source import cached, unpack

    if digest is None:
        return None if folder is None else Path(folder)
    root = client.settings.home / "sources"
    if found := cached(digest, root):
        return found
    with client.begin() as connection:
        archive = sources.archive(raw(connection), digest)
    return unpack(digest, archive, root)


def warnings(grid: Grid) -> tuple[str, ...]:
    """Return what a person should know of the snapshot that enqueueing a grid would take."""
    from qexp.source import take

    return take(grid.folder).warnings if grid.folder is not None and _shipped(grid) else ()


def _shipped(grid: Grid) -> str | None:
    """Return the file of the function in the grid's folder, if workers are to run a snapshot of that."""
    is_wanted = grid.file.source == "snapshot" and grid.folder is not None
    return beside(grid.function, grid.folder) if is_wanted and grid.folder is not None else None


def _has(files: Sequence[str], file: str) -> bool:
    """Say whether a snapshot has a file, or files below a folder."""
    return any(name == file or name.startswith(f"{file}/") for name in files)


def of_folder(folder: Path | None, ships: bool) -> Provenance:
    """Return the provenance of a folder, with a snapshot of it if it *ships*."""
    from qexp.source import current, state, take  # 60 ms, which commands that only look need not wait

    git = state(folder) if folder is not None else None
    return Provenance(take(folder) if ships and folder is not None else None, git, current())
