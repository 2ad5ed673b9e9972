"""Describe a study for the database: the specification of a grid, with the code as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qexp.client import code_provenance
from qexp.grid import Grid
from qexp.notification_addresses import hidden
from qexp.settings import Settings
from qexp.store.connection import Connection
from qexp.store.reads import study_rows
from qexp.store.writes import studies


def study_spec(grid: Grid, settings: Settings) -> studies.StudySpec:
    """Return what a grid asks of its study, with its code as it is now."""
    data = grid.source.data
    if "notify" in data:  # its addresses hold secrets, and a revision's grid is shown
        data = {**data, "notify": [hidden(address) for address in grid.file.notify]}
    return studies.StudySpec(
        name=grid.study,
        function=grid.function,
        folder=None if grid.folder is None else str(grid.folder.resolve()),
        description=grid.file.description,
        queue=grid.file.queue,
        priority=grid.file.priority,
        longest_first=grid.file.order == "longest_first",
        parameters=grid.names,
        grid=data,
        settings=grid.settings,
        run_options=studies.RunOptions(
            grid.file.timeout,
            grid.file.memory,
            grid.file.retries.model_dump(),
            grid.file.isolation,
            grid.file.output,
            grid.file.stop_after.model_dump(exclude_none=True) if grid.file.stop_after else {},
            grid.file.notify or settings.notify,
        ),
        provenance=code_provenance.of(grid),
    )


@dataclass(frozen=True)
class Renewal:
    """The code of a study as it is now, which differs from the code of its revision *number*."""

    number: int
    code: studies.Provenance


def renewal(study: study_rows.StudyRow, digest: str | None) -> Renewal | None:
    """
    Return the code of a study if it runs snapshots, and its folder is there and differs from the snapshot *digest*.

    Call it outside of transactions: to pack a folder and to ask git may take long.
    """
    folder = None if study.folder is None else Path(study.folder)
    if digest is None or folder is None or not folder.is_dir():
        return None
    now = code_provenance.of_folder(folder, ships=True)
    return None if now.snapshot is None or now.snapshot.digest == digest else Renewal(study.revision, now)


def renew(connection: Connection, study: study_rows.StudyRow, found: Renewal | None) -> None:
    """Make a revision of the code that was found, unless there is a newer revision by now: it has newer code."""
    if found is not None and found.number == study.revision:
        studies.renew(connection, study, found.code)
