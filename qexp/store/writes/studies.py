"""Make studies and their revisions, and compare a grid with them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from qexp.current_process import user_name
from qexp.model import Json, to_text
from qexp.notification_addresses import digest, hidden
from qexp.store.connection import Connection
from qexp.store.reads import snapshots, study_rows
from qexp.store.reads.study_rows import COLUMNS, StudyRow, addresses, described
from qexp.store.schema import tables
from qexp.store.writes import sources

if TYPE_CHECKING:
    from qexp.source import Environment, GitState, Snapshot


@dataclass(frozen=True)
class RunOptions:
    """The options with which attempts of a study run, such as its time limit in seconds and memory in bytes."""

    timeout: float | None = None
    memory: int | None = None
    retries: Mapping[str, float] = field(default_factory=dict)
    isolation: str = "child"
    output: int = 65_536
    stop_after: Mapping[str, float] = field(default_factory=dict)
    notify: Sequence[str] = ()


@dataclass(frozen=True)
class Provenance:
    """The origin of a revision's code."""

    snapshot: Snapshot | None
    git: GitState | None
    environment: Environment


@dataclass(frozen=True)
class StudySpec:
    """A study as a grid describes it, without its experiments."""

    name: str
    function: str
    folder: str | None
    description: str
    queue: str
    priority: int
    longest_first: bool
    parameters: list[str]
    grid: Json
    settings: Mapping[str, Json]
    run_options: RunOptions
    provenance: Provenance


def save(connection: Connection, spec: StudySpec) -> StudyRow:
    """
    Make or update the study that *spec* describes, with a new revision if anything but its description changed.

    The study's row stays locked until the transaction ends, so that a second caller sees the first one's revision.
    """
    head = {
        name: getattr(spec, name)
        for name in ("function", "folder", "queue", "priority", "longest_first", "description")
    }
    made = upsert(tables.study).values(name=spec.name, revision=0, parameters=spec.parameters, **head)
    known = None
    while known is None:  # again if a study of this name was deleted between the two statements
        connection.execute(made.on_conflict_do_nothing(index_elements=["name"]))
        known = study_rows.find_if_any(connection, spec.name, lock=True)
    number = known.revision
    if known.revision == 0 or changes(connection, known, spec):
        number += 1
        columns = _revision(spec) | _provenance(connection, spec.provenance)
        connection.execute(insert(tables.revision).values(study=known.id, number=number, **columns))
    now = {**head, "revision": number, "parameters": _merged(known, spec.parameters)}
    query = update(tables.study).where(tables.study.c.id == known.id).values(**now).returning(*COLUMNS)
    return StudyRow(*connection.execute(query).one())


def count(connection: Connection, study: StudyRow, total: int) -> None:
    """Store the number of experiments in the grid of a study's present revision, unless it is known."""
    columns = tables.revision.c
    chosen = (columns.study == study.id, columns.number == study.revision, columns.total.is_(None))
    connection.execute(update(tables.revision).where(*chosen).values(total=total))


def renew(connection: Connection, study: StudyRow, provenance: Provenance) -> int:
    """Make a revision that differs from a study's present one in its code only; return its number."""
    columns = tables.revision.c
    known = study_rows.find(connection, study.name, lock=True)
    before = connection.execute(
        select(tables.revision).where(columns.study == known.id, columns.number == known.revision)
    ).one()
    values = {**before._mapping, "number": known.revision + 1, **_provenance(connection, provenance)}
    del values["created_at"]
    connection.execute(insert(tables.revision).values(**values))
    connection.execute(update(tables.study).where(tables.study.c.id == known.id).values(revision=known.revision + 1))
    return known.revision + 1


def name_parameters(connection: Connection, study: StudyRow, parameters: list[str]) -> list[str] | None:
    """
    Add new names of parameters to a study, and return all of its names; its row stays locked.

    Returns None, and adds nothing, if the study has another revision by now.
    """
    known = study_rows.find(connection, study.name, lock=True)
    if known.revision != study.revision:
        return None
    names = _merged(known, parameters)
    connection.execute(update(tables.study).where(tables.study.c.id == known.id).values(parameters=names))
    return names


def _merged(known: StudyRow, parameters: list[str]) -> list[str]:
    """Return the names of parameters that a study has, then the new ones."""
    return list(dict.fromkeys([*known.parameters, *parameters]))


def changes(connection: Connection, known: StudyRow, spec: StudySpec) -> dict[str, tuple[Json, Json]]:
    """Return the changes that a spec makes to a study's present revision: by name, the value before and after."""
    columns = tables.revision.c
    before = connection.execute(
        select(columns.grid, columns.settings, columns.function, columns.folder, columns.source).where(
            columns.study == known.id, columns.number == known.revision
        )
    ).one()
    old = {**described(before.grid, before.settings), "function": before.function, "folder": before.folder}
    new = {**described(spec.grid, spec.settings), "function": spec.function, "folder": spec.folder}
    snapshot = spec.provenance.snapshot
    files = snapshots.changed(connection, before.source, snapshot)
    word = "text" if files.text and not files.code else "code"
    old[word], new[word] = before.source and before.source[:12], snapshot and snapshot.digest[:12]
    if connection.execute(_MAY_READ_ADDRESSES).scalar_one():
        present = addresses(connection, known)
        if present != list(spec.run_options.notify):
            old["notify"], new["notify"] = map(_countable, (present, spec.run_options.notify))
    names = [*old, *(name for name in new if name not in old)]
    # as text: to Python, true equals 1, and the order of a mapping's keys does not matter
    return {name: (old.get(name), new.get(name)) for name in names if to_text(old.get(name)) != to_text(new.get(name))}


_MAY_READ_ADDRESSES = select(func.has_column_privilege("revision", "notify", "SELECT"))
"""Whether this role may read addresses; otherwise they are not compared."""


def _countable(addresses: Sequence[str]) -> list[str]:
    """Return addresses without their secrets, each with a mark that differs between equal-looking ones."""
    return [f"{hidden(address)} ({digest(address)[:4]})" for address in addresses]


def _revision(spec: StudySpec) -> dict[str, Json]:
    return {
        "grid": spec.grid,
        "settings": dict(spec.settings),
        "function": spec.function,
        "folder": spec.folder,
        **vars(spec.run_options),
        "retries": dict(spec.run_options.retries),
        "stop_after": dict(spec.run_options.stop_after),
        "notify": list(spec.run_options.notify),
    }


def _provenance(connection: Connection, provenance: Provenance) -> dict[str, Json]:
    """Store the snapshot and environment of a revision, and return its columns of provenance."""
    git, snapshot, environment = provenance.git, provenance.snapshot, provenance.environment
    sources.keep_environment(connection, environment)
    if snapshot is not None:
        sources.keep(connection, snapshot)
    return {
        "source": snapshot and snapshot.digest,
        "git_commit": git and git.commit,
        "git_dirty": git and git.dirty,
        "git_diff": git and git.diff,
        "environment": environment.digest,
        "python": environment.python,
        "qexp": version("qexp"),
        "host": socket.gethostname(),
        "user": user_name(),
    }
