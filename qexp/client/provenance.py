"""What a revision comes from: the code as it is now, what git says of it, and what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qexp.functions import beside
from qexp.store.studies import Provenance

if TYPE_CHECKING:
    from qexp.grid import Grid


def of(grid: Grid) -> Provenance:
    """Return where the code of a grid comes from; SourceError if its folder cannot be taken as a snapshot."""
    return of_folder(grid.folder, _ships(grid))


def warnings(grid: Grid) -> tuple[str, ...]:
    """Return what a person should know of the snapshot that enqueueing a grid would take."""
    from qexp.source import take

    return take(grid.folder).warnings if grid.folder is not None and _ships(grid) else ()


def _ships(grid: Grid) -> bool:
    return grid.file.source == "snapshot" and grid.folder is not None and beside(grid.function, grid.folder)


def of_folder(folder: Path | None, ships: bool) -> Provenance:
    """Return the provenance of a folder, with a snapshot of it if it *ships*."""
    from qexp.source import current, state, take  # 60 ms, which commands that only look need not wait

    git = state(folder) if folder is not None else None
    return Provenance(take(folder) if ships and folder is not None else None, git, current())
