"""Delete a study: its rows in batches, then its files; a deletion that was interrupted continues."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from qexp.errors import FilesError, UnknownStudyError
from qexp.file_storage import Files
from qexp.model import counted
from qexp.store.reads import deletion_plan, study_rows
from qexp.store.reads.deletion_plan import DeletionPlan, SizedFiles
from qexp.store.writes import deleting
from qexp.store.writes.deleting import DeletedFile, MarkedStudy

if TYPE_CHECKING:
    from qexp.client.client import Client, Progress

_BATCH = 1_000
"""Experiments, or files, that are deleted together."""
_THREADS = 16
"""Concurrent requests to an object store."""


@dataclass(frozen=True)
class Leftover:
    """Files of deleted studies that could not be removed here."""

    reason: str
    files: SizedFiles

    @property
    def sentence(self) -> str:
        """Say how many files are left, and why."""
        return f"{self.files.text('file')} left: {self.reason}"


@dataclass(frozen=True)
class Deleted:
    """The rows and files that a deletion removed, and the files that it could not remove."""

    study: str
    experiments: int
    snapshots: SizedFiles
    files: SizedFiles
    left: Sequence[Leftover] = ()
    """They stay on a list in the database; `qexp prune` tries again."""

    @property
    def sentence(self) -> str:
        """Say how many experiments, files and snapshots were removed."""
        parts = [counted(self.experiments, "experiment")]
        parts += [self.files.text("file")] * bool(self.files.number)
        parts += [self.snapshots.text("snapshot")] * bool(self.snapshots.number)
        return f"{self.study} is deleted: {', '.join(parts)}"

    def __repr__(self) -> str:
        return "; ".join([self.sentence, *(left.sentence for left in self.left)])


@dataclass
class RemovedFiles:
    """Counts files by the reason for which they are left; the reason of removed files is empty."""

    numbers: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, reason: str, size: int) -> None:
        number, total = self.numbers.get(reason, (0, 0))
        self.numbers[reason] = number + 1, total + size

    @property
    def removed(self) -> SizedFiles:
        return SizedFiles(*self.numbers.get("", (0, 0)))

    @property
    def left(self) -> tuple[Leftover, ...]:
        return tuple(Leftover(reason, SizedFiles(*numbers)) for reason, numbers in self.numbers.items() if reason)


def plan(client: Client, study: str) -> DeletionPlan | None:
    """
    Return the parts of a study that its deletion removes. Returns None if its deletion was interrupted.

    Raises UnknownStudyError if there is no such study, and BusyStudyError if it cannot be deleted now.
    """
    with client.begin() as connection:
        try:
            known = study_rows.find(connection, study)
        except UnknownStudyError:
            if _interrupted(deleting.marked(connection), study):
                return None
            raise
        deleting.require_deletable(connection, known)
        return deletion_plan.plan(connection, known)


def _interrupted(marked: Sequence[MarkedStudy], name: str) -> list[MarkedStudy]:
    return [study for study in marked if study.name == name]


def delete(client: Client, study: str, progress: Progress = lambda *_: None) -> Deleted:
    """Implement `Client.delete_study`."""
    with client.begin() as connection:
        begun = _interrupted(deleting.marked(connection), study)
    try:
        begun.append(client.change(lambda connection: deleting.mark(connection, study)))
    except UnknownStudyError:
        if not begun:
            raise
    done = [delete_rows(client, one, progress) for one in begun]
    number, size = sum(rows.snapshots.number for rows in done), sum(rows.snapshots.bytes for rows in done)
    tally = remove_files(client)
    experiments = sum(rows.experiments for rows in done)
    return Deleted(study, experiments, SizedFiles(number, size), tally.removed, tally.left)


@dataclass(frozen=True)
class DeletedRows:
    """The experiments and the snapshots that are deleted from the database."""

    experiments: int
    snapshots: SizedFiles


def delete_rows(client: Client, study: MarkedStudy, progress: Progress = lambda *_: None) -> DeletedRows:
    """Delete the rows of a marked study, and list its files for removal."""
    number = 0
    while ids := client.change(lambda connection: deleting.experiments(connection, study)):
        for start in range(0, len(ids), _BATCH):
            number += _delete_batch(client, study, ids[start : start + _BATCH])
            progress("deleted", number)
    return DeletedRows(number, client.change(lambda connection: deleting.finish(connection, study)))


def _delete_batch(client: Client, study: MarkedStudy, batch: Sequence[int]) -> int:
    while client.change(lambda connection: deleting.delete_records(connection, batch)):
        pass
    return client.change(lambda connection: deleting.delete_experiments(connection, study, batch))


def remove_files(client: Client, dry_run: bool = False) -> RemovedFiles:
    """Remove the files that deleted studies have left, as far as this machine can; in a dry run, only count them."""
    tally, last, place = RemovedFiles(), "", Files(client.settings.artifacts_root)
    with ThreadPoolExecutor(_THREADS) as pool:
        while files := client.change(partial(deleting.deleted_files, after=last, limit=_BATCH)):
            last = files[-1].url
            reasons = list(pool.map(partial(_remove, place, dry_run), files))
            gone = [file.url for file, reason in zip(files, reasons, strict=True) if not reason]
            if not dry_run:
                client.change(partial(deleting.forget_files, urls=gone))
            for file, reason in zip(files, reasons, strict=True):
                tally.add(reason, file.size)
    return tally


def _remove(place: Files, dry_run: bool, file: DeletedFile) -> str:
    """Remove a file. Returns the reason if it is left, otherwise an empty text."""
    try:
        if dry_run:
            found = place.has(file.url)
        else:
            found = place.delete(file.url)
            place.remove_empty_folders(file.url)
    except FilesError as error:
        return error.problem
    if found or file.host in (None, socket.gethostname()):
        return ""
    return f"on {file.host}: run 'qexp prune' there"  # without a shared folder, each machine has files of its own
