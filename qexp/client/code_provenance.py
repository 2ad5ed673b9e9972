"""The provenance of a revision: a snapshot of the code, its state in git, and the installed packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qexp.errors import SourceError
from qexp.functions import file_in, unavailable_modules
from qexp.source import current, state, take, unpacked
from qexp.store.connection import raw
from qexp.store.reads import snapshots
from qexp.store.writes.studies import Provenance

if TYPE_CHECKING:
    from qexp.client.client import Client
    from qexp.functions.local_only_modules import UnavailableModule
    from qexp.grid import Grid
    from qexp.source import Snapshot


def of(grid: Grid) -> Provenance:
    """Return the provenance of a grid's code. Raises SourceError if the folder cannot become a snapshot."""
    file = _function_file(grid)
    found = of_folder(grid.folder, file is not None)
    if file is not None and found.snapshot is not None and not _has(found.snapshot.files, file):
        warning = next((text for text in found.snapshot.warnings if text.startswith(f"{file}:")), None)
        why = warning or f"{file}: left out of the snapshot; the line '!{file}' in .qexpignore takes it"
        raise SourceError(f"{grid.folder}/{why}; workers need it for the function {grid.function}")
    return found


def code(client: Client, folder: str | None, digest: str | None) -> Path | None:
    """Return the folder on this host with the code that workers run: the snapshot *digest*, otherwise *folder*."""
    if digest is None:
        return None if folder is None else Path(folder)

    def archive() -> bytes:
        with client.begin() as connection:
            return snapshots.archive(raw(connection), digest)

    return unpacked(digest, client.settings.home / "sources", archive)


def warnings(grid: Grid) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the warnings of the snapshot that an enqueue would take, and the lines of `missing`."""
    if grid.folder is None or not _function_file(grid):
        return (), ()
    snapshot = take(grid.folder)
    return snapshot.warnings, missing(grid, snapshot)


def missing(grid: Grid, snapshot: Snapshot | None) -> tuple[str, ...]:
    """Return a line for each module that the function imports here and that workers would not find."""
    if snapshot is None or grid.folder is None:
        return ()
    found = unavailable_modules(grid.function, grid.folder, lambda file: _has(snapshot.files, file))
    return tuple(_missing(one, grid.folder.resolve()) for one in found)


def _missing(one: UnavailableModule, top: Path) -> str:
    importer = Path(one.importer)
    shown = importer.relative_to(top) if importer.is_relative_to(top) else importer
    if one.file.is_relative_to(top):
        file = one.file.relative_to(top).as_posix()
        repair = f"an ignore file leaves it out, and the line '!{file}' in .qexpignore takes it"
    else:
        repair = f"copy it into {top}, or install it with pip"
    return f"{shown}: imports {one.name} from {one.file}, which the snapshot for workers does not have; {repair}"


def _function_file(grid: Grid) -> str | None:
    """Return the file of the function in the grid's folder. Returns None if workers run no snapshot of it."""
    if grid.file.source != "snapshot" or grid.folder is None:
        return None
    return file_in(grid.function, grid.folder)


def _has(files: Sequence[str], file: str) -> bool:
    """Return whether a snapshot has a file, or files below a folder."""
    return any(name == file or name.startswith(f"{file}/") for name in files)


def of_folder(folder: Path | None, with_snapshot: bool) -> Provenance:
    """Return the provenance of a folder."""
    git = state(folder) if folder is not None else None
    return Provenance(take(folder) if with_snapshot and folder is not None else None, git, current())
