"""The specification of a study that Postgres stores: keys of the grid, and the current code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qexp.client import code_provenance
from qexp.grid import Grid
from qexp.notification_addresses import hidden
from qexp.settings import Settings
from qexp.store.connection import Connection
from qexp.store.reads import snapshots, study_rows
from qexp.store.writes import studies


def study_spec(grid: Grid, settings: Settings) -> studies.StudySpec:
    """Return the specification of a grid's study, with the current code."""
    data = grid.source.data
    if "notify" in data:  # addresses hold secrets, and qexp shows the grid of a revision
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
class CodeRenewal:
    """The current code of a study, which differs from the code of its revision *number*."""

    number: int
    code: studies.Provenance


def renewal(study: study_rows.StudyRow, present: study_rows.PresentCode) -> CodeRenewal | None:
    """
    Return the current code of a study that runs snapshots. Returns None unless it differs from the *present* code.

    It also returns None if the folder is not on this host. Call it outside of transactions, since packing may be slow.
    """
    folder = None if study.folder is None else Path(study.folder)
    if present.digest is None or folder is None or not folder.is_dir():
        return None
    code = code_provenance.of_folder(folder, present.include)
    return (
        None if code.snapshot is None or code.snapshot.digest == present.digest else CodeRenewal(study.revision, code)
    )


@dataclass(frozen=True)
class RenewedCode:
    """The code of a study's new revision."""

    study: str
    files: Mapping[str, str]
    """The code files that were `added`, `changed` or `removed`."""
    left_out: Mapping[str, int]
    """Data files that the snapshot leaves out, the largest first, with their bytes."""


def renew(connection: Connection, study: study_rows.StudyRow, found: CodeRenewal | None) -> RenewedCode | None:
    """
    Make a revision with the code of a renewal, and return how it differs.

    Returns None if there is no renewal, or if another process has made a newer revision meanwhile.
    """
    if found is None or found.code.snapshot is None or found.number != study.revision:
        return None
    snapshot = found.code.snapshot
    changed = snapshots.changed(connection, study_rows.present_code(connection, study).digest, snapshot)
    studies.renew(connection, study, found.code)
    return RenewedCode(study.name, changed.code, snapshot.data)
