"""What is written of a study when its grid is enqueued or its experiments are requeued: its plan, with the code."""

from __future__ import annotations

from pathlib import Path

from qexp.addresses import hidden
from qexp.client import provenance
from qexp.grid import Grid
from qexp.settings import Settings
from qexp.store import studies
from qexp.store.connect import Connection


def plan_of(grid: Grid, settings: Settings) -> studies.Plan:
    """Return what a grid asks of its study, with its code as it is now."""
    data = grid.source.data
    if "notify" in data:  # its addresses hold secrets, and a revision's grid is shown
        data = {**data, "notify": [hidden(address) for address in grid.file.notify]}
    return studies.Plan(
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
        manner=studies.Manner(
            grid.file.timeout,
            grid.file.memory,
            grid.file.retries.model_dump(),
            grid.file.isolation,
            grid.file.output,
            grid.file.stop_after.model_dump(exclude_none=True) if grid.file.stop_after else {},
            grid.file.notify or settings.notify,
        ),
        provenance=provenance.of(grid),
    )


def renew(connection: Connection, study: studies.StudyRow) -> None:
    """Make a revision of the code as it is now, if a study runs snapshots and its folder is there and has changed."""
    _, digest = studies.current(connection, study)
    folder = None if study.folder is None else Path(study.folder)
    if digest is None or folder is None or not folder.is_dir():
        return
    now = provenance.of_folder(folder, ships=True)
    if now.snapshot is not None and now.snapshot.digest != digest:
        studies.renew(connection, study, now)
