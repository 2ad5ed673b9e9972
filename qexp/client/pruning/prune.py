"""Remove what nothing needs any more, kind by kind, or say how much it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qexp.client import deletion
from qexp.client.pruning import artifacts, machine
from qexp.client.pruning.unneeded import Unneeded
from qexp.errors import FilesError, NotAllowedError
from qexp.model import counted
from qexp.store.connection import Connection
from qexp.store.reads import deletion_plan, needed_files
from qexp.store.reads.deletion_plan import SizedFiles
from qexp.store.writes import dead_workers, deleting, sources
from qexp.truncation import listed
from qexp.units import size_text

if TYPE_CHECKING:
    from qexp.client.client import Client


@dataclass(frozen=True)
class PrunedKind:
    """One kind of things that nothing needs any more."""

    kind: str
    number: int
    bytes: int


@dataclass(frozen=True)
class Pruned:
    """The things that a pruning removed, or that a dry run found, by kind."""

    kinds: tuple[PrunedKind, ...]
    notes: tuple[str, ...]
    """Things that were left, with the reason."""
    dry_run: bool

    @property
    def bytes(self) -> int:
        return sum(kind.bytes for kind in self.kinds)


def prune(client: Client, dry_run: bool = False) -> Pruned:
    """Implement `Client.prune`."""
    notes = list[str]()
    rows, files = _deletions(client, dry_run, notes)
    foreign = artifacts.ForeignFiles()
    files_of = partial(_kind, dry_run=dry_run, notes=notes)
    in_database = partial(_in_database, client=client, dry_run=dry_run, notes=notes)
    found = [
        files_of("unrecorded files in the artifacts", artifacts.unrecorded(client, foreign)),
        in_database("snapshots of code in the database", sources.unneeded, sources.drop_unneeded),
        in_database("rows of workers in the database", _unneeded_workers, _drop_workers),
        files_of("unpacked snapshots of code", machine.sources(client.settings, _needed(client))),
        files_of("scratch folders of attempts", machine.scratch_folders()),
        files_of("incomplete files", machine.parts(client.settings)),
        files_of("cached results of earlier sources", machine.cached_results(client.settings)),
    ]
    if foreign.number:
        notes.append(_left(foreign, client.settings.artifacts_root))
    return Pruned((rows, files, *found), tuple(notes), dry_run)


def _left(foreign: artifacts.ForeignFiles, place: str) -> str:
    """Return a note about files of experiments that this database does not have."""
    files = f"{counted(foreign.number, 'file')} ({size_text(foreign.bytes)}) of {listed(sorted(foreign.studies), 3)}"
    reason = "this database has no such experiments; if no other database shares the folder, delete them by hand"
    return f"{files} in {place} left: {reason}"


def _deletions(client: Client, dry_run: bool, notes: list[str]) -> tuple[PrunedKind, PrunedKind]:
    """Complete interrupted deletions, and return their experiments and files; note the files that are left."""
    experiments, files = 0, SizedFiles(0, 0)
    try:
        experiments, files = _completed(client, dry_run, notes)
    except NotAllowedError as error:
        notes.append(f"deleted studies left: {error}")
    rows = PrunedKind("experiments of interrupted deletions", experiments, 0)
    return rows, PrunedKind("files of deleted studies", files.number, files.bytes)


def _completed(client: Client, dry_run: bool, notes: list[str]) -> tuple[int, SizedFiles]:
    with client.begin() as connection:
        marked = deleting.marked(connection)
        experiments = sum(deleting.number_left(connection, study) for study in marked)
        listed_later = [deletion_plan.stored_files(connection, study.id) for study in marked] if dry_run else []
    if not dry_run:
        experiments = sum(deletion.delete_rows(client, study).experiments for study in marked)
    tally = deletion.remove_files(client, dry_run)
    number = tally.removed.number + sum(files.number for files in listed_later)
    size = tally.removed.bytes + sum(files.bytes for files in listed_later)
    notes += [
        f"{counted(left.files.number, 'file')} ({size_text(left.files.bytes)}) of deleted studies left: {left.reason}"
        for left in tally.left
    ]
    return experiments, SizedFiles(number, size)


def _kind(name: str, things: Iterable[Unneeded], dry_run: bool, notes: list[str]) -> PrunedKind:
    number = size = 0
    try:
        for thing in things:
            if dry_run or thing.remove():
                number, size = number + 1, size + thing.size
    except (FilesError, NotAllowedError) as error:
        notes.append(f"{name} left: {error}")
    return PrunedKind(name, number, size)


def _in_database(
    name: str,
    unneeded: Callable[[Connection], SizedFiles],
    drop: Callable[[Connection], SizedFiles],
    client: Client,
    dry_run: bool,
    notes: list[str],
) -> PrunedKind:
    """Delete rows in one transaction, or count them in a dry run."""
    try:
        with client.begin() as connection:
            found = unneeded(connection)
        done = client.change(drop) if found.number and not dry_run else found
    except NotAllowedError as error:
        notes.append(f"{name} left: {error}")
        done = SizedFiles(0, 0)
    return PrunedKind(name, done.number, done.bytes)


def _unneeded_workers(connection: Connection) -> SizedFiles:
    return SizedFiles(dead_workers.unneeded(connection), 0)


def _drop_workers(connection: Connection) -> SizedFiles:
    return SizedFiles(dead_workers.drop_unneeded(connection), 0)


def _needed(client: Client) -> set[str]:
    with client.begin() as connection:
        return needed_files.needed_snapshots(connection)
