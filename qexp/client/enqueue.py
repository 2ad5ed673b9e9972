"""Add experiments to studies, from a grid or from code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from qexp import notify
from qexp.client import code_provenance
from qexp.client.function_check import checked
from qexp.client.study_definition import study_spec
from qexp.errors import GridError, NoTablesError
from qexp.grid import Grid
from qexp.model import Counts, Json, Status
from qexp.queueing import broker
from qexp.source import ChangedFiles
from qexp.store.connection import Connection
from qexp.store.reads import snapshots, staleness, study_progress, study_rows, workers
from qexp.store.writes import archiving, control, enqueueing, publishing, studies

if TYPE_CHECKING:
    from qexp.client.client import Client, Progress
    from qexp.source import Snapshot


@dataclass(frozen=True)
class Difference:
    """The changes that enqueueing a grid would make to its study."""

    study: str
    new: int
    kept: int
    orphaned: int
    changes: Mapping[str, tuple[Json, Json]]
    """The old and the new value of each property of the study that would change, by name; `text`: no code changed."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The code files that are `added`, `changed` or `removed`."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Grids, notes and other text files of the snapshot that differ too, but are no code."""
    orphans: Counts = field(default_factory=Counts)
    """The experiments no longer in the grid by status."""

    def __repr__(self) -> str:
        changed = f"; changes {', '.join(self.changes)}" if self.changes else ""
        return f"{self.study}: {self.new} new, {self.kept} kept, {self.orphaned} no longer in the grid{changed}"


@dataclass(frozen=True)
class Preview:
    """What the database knows about the experiments of a grid before an enqueue."""

    new: int
    known: Counts
    """Experiments of the grid that the study has, by status."""
    mean_duration: float | None
    """The mean seconds of the study's done experiments; None if none is done."""

    @property
    def would_run(self) -> int:
        """The experiments that an enqueue would add, and those that wait or run."""
        return self.new + self.known.open


@dataclass(frozen=True)
class Enqueued:
    """The result of an enqueue: experiments in the grid, new ones, and announced ones."""

    study: str
    total: int
    new: int
    announced: int
    revision: int
    orphaned: int = 0
    """Experiments of the study that the grid no longer has."""
    moved_from: tuple[str, str | None] | None = None
    """The former function and folder of the study, if they changed; waiting experiments run with the new ones."""
    waiting: int = 0
    """Experiments that will be announced when workers have taken others, or when the study is resumed."""
    warnings: tuple[str, ...] = ()
    """Files that the snapshot leaves out, and files in it that look like secrets."""
    ran_otherwise: int = 0
    """Experiments that ran with the same values as the grid, but other key orders or number types (1, 1.0)."""
    missing: tuple[str, ...] = ()
    """Modules that the function imports here and that workers would not find."""
    stale: int = 0
    """Done experiments whose settings or imported code differ from those of the grid."""
    unarchived: bool = False
    """The study was archived, and is no longer."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The code files that were `added`, `changed` or `removed` since the previous revision."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Data files that the snapshot leaves out, the largest first, with their bytes."""
    failed: int = 0
    """Experiments of the study that failed before and stay failed, without the orphaned ones."""
    cancelled: int = 0
    """Experiments of the study that stay cancelled, without the orphaned ones."""
    orphans: Counts = field(default_factory=Counts)
    """The orphaned experiments by status."""
    workers: int = 0
    """Live workers that take the study's experiments."""
    paused: bool = False
    """The study is paused, so nothing runs until it is resumed."""

    @property
    def known(self) -> int:
        return self.total - self.new

    def __repr__(self) -> str:
        later = f", {self.waiting} follow" if self.waiting else ""
        many = "1 experiment" if self.total == 1 else f"{self.total} experiments"
        return f"{self.study}: {many}, {self.new} new, {self.known} already there; {self.announced} queued{later}"


@dataclass
class _Interrupted:
    """The text of an interrupt: what is stored at this moment of an enqueue."""

    text: str = "nothing was enqueued"

    def begins(self) -> None:
        """Note that a transaction begins."""
        self.text = _Interrupted.text

    def commits(self, study: str) -> None:
        """Note that the transaction is complete and may be committed."""
        self.text = f"'qexp status {study}' says whether the experiments were enqueued"

    def has_committed(self) -> None:
        """Note that all is stored."""
        self.text = "the experiments are stored, and workers will queue them"


def enqueue(client: Client, grid: Grid, progress: Progress) -> Enqueued:
    """Implement `Client.enqueue`. An interrupt says what is stored."""
    interrupted = _Interrupted()
    try:
        return _enqueue(client, grid, progress, interrupted)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(interrupted.text) from None


def _enqueue(client: Client, grid: Grid, progress: Progress, interrupted: _Interrupted) -> Enqueued:
    grid = checked(grid)
    broker.check(client.settings)
    spec = study_spec(grid, client.settings)
    notify.check(spec.run_options.notify)
    snapshot = spec.provenance.snapshot
    missing = code_provenance.missing(grid, snapshot)

    unarchived = False

    def add(
        connection: Connection,
    ) -> tuple[tuple[str, str | None] | None, ChangedFiles, study_rows.StudyRow, enqueueing.Added]:
        nonlocal unarchived
        interrupted.begins()  # perhaps again, after a deadlock
        before = study_rows.place(connection, spec.name)
        files = (
            _changed_files(connection, study_rows.find(connection, spec.name), snapshot) if before else ChangedFiles()
        )
        study = studies.save(connection, spec)
        unarchived = bool(archiving.unarchive(connection, [study.id]))
        label = "written" if before is None else "compared"
        added = enqueueing.add(connection, study.id, lambda: _counted(grid, study.parameters, progress, label))
        studies.count(connection, study, added.total)
        if added.new:
            control.renewed(connection, [study.id])
        interrupted.commits(grid.study)
        return before, files, study, added

    client.prepare()
    before, files, study, added = client.change(add)
    interrupted.has_committed()
    announced = client.publish(study, progress)
    with client.begin() as connection:
        waiting = publishing.number_of(connection, study.id, Status.PENDING)
        stale = staleness.of(connection, study).count if study.revision > 1 else 0
        serving = workers.number_of(connection, study.id, client.settings.lease)
    client.renew_views(study.id)  # last, so that workers can start earlier
    moved = before if before not in (None, (spec.function, spec.folder)) else None
    return Enqueued(
        study=grid.study,
        total=added.total,
        new=added.new,
        announced=announced,
        revision=study.revision,
        orphaned=added.orphans.total,
        moved_from=moved,
        waiting=waiting,
        warnings=snapshot.warnings if snapshot is not None else (),
        ran_otherwise=added.ran_otherwise,
        missing=missing,
        stale=stale,
        unarchived=unarchived,
        files=files.code,
        left_out=snapshot.data if snapshot is not None else {},
        failed=added.known[Status.FAILED],
        cancelled=added.known[Status.CANCELLED],
        orphans=added.orphans,
        workers=serving,
        paused=study.paused_at is not None,
    )


def _changed_files(connection: Connection, study: study_rows.StudyRow, snapshot: Snapshot | None) -> ChangedFiles:
    """Return the files that differ between the snapshot of a study's present revision and a new one."""
    return snapshots.changed(connection, study_rows.present_code(connection, study).digest, snapshot)


def _counted(grid: Grid, names: Sequence[str], progress: Progress, label: str) -> Iterator[enqueueing.Encoded]:
    number = 0
    for number, row in enumerate(grid.encoded(names), 1):
        if number % 10_000 == 0:
            progress(label, number)
        yield row
    progress(label, number)


def extend(client: Client, study: str, rows: Iterable[Mapping[str, Json]], progress: Progress) -> Enqueued:
    """Implement `Client.extend`."""
    if isinstance(rows, Mapping):
        raise GridError("add", "found a mapping, expected a list of mappings, one for each experiment")
    broker.check(client.settings)
    include, added = list(rows), None
    while added is None:  # again if another process has made a new revision meanwhile
        with client.begin() as connection:
            known = study_rows.find(connection, study)
            settings, digest = study_rows.current(connection, known)
        if not include:  # a grid without rows would be one experiment without parameters
            return Enqueued(study, 0, 0, 0, known.revision)
        data = {"study": study, "function": known.function, "include": include, "settings": settings}
        # outside of a transaction: unpacking and importing code may take long
        code = code_provenance.code(client, known.folder, digest)
        grid = checked(Grid.from_dict(data, code), moves=False)
        added = client.change(partial(_add, known=known, grid=grid, progress=progress))
    done, unarchived = added
    announced = client.publish(known, progress)
    client.renew_views(known.id)
    return Enqueued(study, done.total, done.new, announced, known.revision, unarchived=unarchived)


def _add(
    connection: Connection, known: study_rows.StudyRow, grid: Grid, progress: Progress
) -> tuple[enqueueing.Added, bool] | None:
    """
    Add parameter sets to a study; return their numbers, and whether the study was archived until now.

    Returns None, and adds nothing, if its revision is not the *known* one.
    """
    names = studies.name_parameters(connection, known, grid.names)
    if names is None:
        return None
    added = enqueueing.add_by_code(connection, known.id, _counted(grid, names, progress, "compared"))
    if added.new:
        control.renewed(connection, [known.id])
    return added, bool(archiving.unarchive(connection, [known.id]))


def compare(client: Client, grid: Grid) -> Difference:
    """Implement `Client.compare`."""
    grid = checked(grid)
    spec = study_spec(grid, client.settings)
    new = Difference(grid.study, len(grid), 0, 0, {})
    try:
        with client.begin() as connection:
            if grid.study not in study_rows.names(connection):
                return new
            known = study_rows.find(connection, grid.study)
            found = enqueueing.compare(connection, known.id, grid.encoded())
            changes = studies.changes(connection, known, spec)
            files = _changed_files(connection, known, spec.provenance.snapshot)
    except NoTablesError:
        return new
    kept, orphaned = found.total - found.new, found.orphans.total
    return Difference(grid.study, found.new, kept, orphaned, changes, files.code, files.text, found.orphans)


def preview(client: Client, grid: Grid) -> Preview | None:
    """Implement `Client.preview`."""
    with client.begin() as connection:
        if grid.study not in study_rows.names(connection):
            return None
        known = study_rows.find(connection, grid.study)
        found = enqueueing.compare(connection, known.id, grid.encoded())
        return Preview(found.new, found.known, study_progress.mean_duration(connection, grid.study))
