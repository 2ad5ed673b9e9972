"""The provenance of a revision: a snapshot of the code, its state in git, and the installed packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qexp.errors import SourceError
from qexp.functions import file_in, unavailable_modules
from qexp.source import current, including, state, take, unpacked
from qexp.store.connection import raw
from qexp.store.reads import snapshots
from qexp.store.writes.studies import Provenance

if TYPE_CHECKING:
    from qexp.client.client import Client
    from qexp.functions.local_only_modules import UnavailableModule
    from qexp.grid import Grid
    from qexp.source import Snapshot


def of(grid: Grid) -> Provenance:
    """Return the provenance of a grid's code. Raises SourceError if workers could not run a snapshot of its folder."""
    return _of(grid.folder, snapshot_of(grid))


def snapshot_of(grid: Grid) -> Snapshot | None:
    """
    Return the snapshot that an enqueue of a grid stores. Returns None if workers run no snapshot.

    Raises SourceError if the folder cannot become a snapshot, or the snapshot lacks the function or a file that the
    grid names.
    """
    file = _function_file(grid)
    if file is None or grid.folder is None:
        if grid.file.included:
            problem = f"no snapshot can take files, since the function {grid.function} is not in the grid's folder"
            raise grid.source.error(f"source.include: {problem}", "source", "include")
        return None
    found = take(grid.folder, grid.file.included)
    if found.unmatched:
        pattern = found.unmatched[0]
        warning = _warning_about(found, pattern.rstrip("/"))
        problem = f"{grid.folder}/{warning}" if warning else f"{pattern!r} matches no file in {grid.folder}"
        raise grid.source.error(f"source.include: {problem}", "source", "include")
    if not _has(found.files, file):
        why = _warning_about(found, file)
        why = why or f"{file}: left out of the snapshot, as {_ignored(file)}"
        raise SourceError(f"{grid.folder}/{why}; workers need it for the function {grid.function}")
    return found


def _warning_about(snapshot: Snapshot, file: str) -> str | None:
    return next((text for text in snapshot.warnings if text.startswith(f"{file}:")), None)


def code(client: Client, folder: str | None, digest: str | None) -> Path | None:
    """Return the folder on this host with the code that workers run: the snapshot *digest*, otherwise *folder*."""
    if digest is None:
        return None if folder is None else Path(folder)

    def archive() -> bytes:
        with client.begin() as connection:
            return snapshots.archive(raw(connection), digest)

    return unpacked(digest, client.settings.home / "sources", archive)


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
        repair = _ignored(file)
    else:
        repair = f"copy it into {top}, or install it with pip"
    return f"{shown}: imports {one.name} from {one.file}, which the snapshot for workers does not have; {repair}"


def _ignored(file: str) -> str:
    """Return why a snapshot does not have a Python file, with the entry of the grid that takes it."""
    return f"an ignore file names it, or qexp wrote it; '{including(file)}' in the grid takes it"


def _function_file(grid: Grid) -> str | None:
    """Return the file of the function in the grid's folder. Returns None if workers run no snapshot of it."""
    if grid.file.source == "installed" or grid.folder is None:
        return None
    return file_in(grid.function, grid.folder)


def _has(files: Sequence[str], file: str) -> bool:
    """Return whether a snapshot has a file, or files below a folder."""
    return any(name == file or name.startswith(f"{file}/") for name in files)


def of_folder(folder: Path, include: Sequence[str]) -> Provenance:
    """Return the provenance of a folder, with a snapshot; *include* are the patterns of a grid's `source.include`."""
    return _of(folder, take(folder, include))


def _of(folder: Path | None, snapshot: Snapshot | None) -> Provenance:
    return Provenance(snapshot, state(folder) if folder is not None else None, current())
