"""Studies and their revisions."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from qexp.errors import SelectorError, UnknownStudyError
from qexp.model import Json, Status, to_text
from qexp.notification_addresses import digest, hidden
from qexp.store import publishing, sources, tables
from qexp.store.connect import Connection
from qexp.this_process import user_name

if TYPE_CHECKING:
    from qexp.source import Environment, GitState, Snapshot


@dataclass(frozen=True)
class Manner:
    """How the attempts of a study are run: seconds, bytes, budgets by way of failing."""

    timeout: float | None = None
    memory: int | None = None
    retries: Mapping[str, float] = field(default_factory=dict)
    isolation: str = "child"
    output: int = 65_536
    stop_after: Mapping[str, float] = field(default_factory=dict)
    notify: Sequence[str] = ()


@dataclass(frozen=True)
class Provenance:
    """Where the code of a revision comes from."""

    snapshot: Snapshot | None
    git: GitState | None
    environment: Environment


@dataclass(frozen=True)
class Plan:
    """What a grid says of a study, apart from its experiments."""

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
    manner: Manner
    provenance: Provenance


@dataclass(frozen=True)
class StudyRow:
    """A study as the database has it."""

    id: int
    name: str
    function: str
    folder: str | None
    queue: str
    priority: int
    longest_first: bool
    paused_at: datetime | None
    pause_reason: str | None
    revision: int
    parameters: list[str]
    results: list[str]


_COLUMNS = [tables.study.c[name] for name in StudyRow.__dataclass_fields__]


def save(connection: Connection, plan: Plan) -> StudyRow:
    """
    Make or update the study that *plan* describes, with a new revision if anything but its description changed.

    The study's row stays locked until the transaction ends: of two callers, the second sees what the first did.
    """
    head = {
        name: getattr(plan, name)
        for name in ("function", "folder", "queue", "priority", "longest_first", "description")
    }
    connection.execute(
        upsert(tables.study)
        .values(name=plan.name, revision=0, parameters=plan.parameters, **head)
        .on_conflict_do_nothing(index_elements=["name"])
    )
    known = _row(connection, plan.name, lock=True)
    number = known.revision
    if known.revision == 0 or changes(connection, known, plan):
        number += 1
        columns = _revision(plan) | _provenance(connection, plan.provenance)
        connection.execute(insert(tables.revision).values(study=known.id, number=number, **columns))
    now = {**head, "revision": number, "parameters": _merged(known, plan.parameters)}
    query = update(tables.study).where(tables.study.c.id == known.id).values(**now).returning(*_COLUMNS)
    return StudyRow(*connection.execute(query).one())


def count(connection: Connection, study: StudyRow, total: int) -> None:
    """Note how many experiments the grid of a study's present revision has, unless that is known."""
    columns = tables.revision.c
    chosen = (columns.study == study.id, columns.number == study.revision, columns.total.is_(None))
    connection.execute(update(tables.revision).where(*chosen).values(total=total))


def find(connection: Connection, name: str) -> StudyRow:
    """Return the study of this name, or raise UnknownStudyError with the nearest name there is."""
    return _row(connection, name)


def place(connection: Connection, name: str) -> tuple[str, str | None] | None:
    """Return the function and folder of a study, None if there is no study of this name."""
    query = select(tables.study.c.function, tables.study.c.folder).where(tables.study.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else (row[0], row[1])


def names(connection: Connection) -> list[str]:
    """Return the names of all studies, the oldest first."""
    return list(connection.execute(select(tables.study.c.name).order_by(tables.study.c.id)).scalars())


def rows(connection: Connection, ids: Sequence[int]) -> list[StudyRow]:
    """Return the studies of these ids, the oldest first."""
    query = select(*_COLUMNS).where(tables.study.c.id.in_(ids)).order_by(tables.study.c.id)
    return [StudyRow(*row) for row in connection.execute(query)]


def named(connection: Connection, names: Iterable[str]) -> list[StudyRow]:
    """Return the studies of these names, the oldest first."""
    query = select(*_COLUMNS).where(tables.study.c.name.in_(names)).order_by(tables.study.c.id)
    return [StudyRow(*row) for row in connection.execute(query)]


def waiting(connection: Connection) -> list[StudyRow]:
    """Return the studies that have experiments to announce now, by priority, then age."""
    study, experiment = tables.study.c, tables.experiment.c
    some = exists(tables.experiment.c.id).where(
        experiment.study == study.id,
        experiment.status == Status.PENDING,
        or_(experiment.not_before.is_(None), experiment.not_before <= func.now()),
    )
    query = select(*_COLUMNS).where(study.paused_at.is_(None), some).order_by(study.priority.desc(), study.id)
    return [StudyRow(*row) for row in connection.execute(query)]


def pause(connection: Connection, name: str, reason: str | None) -> bool:
    """Pause a study; False: it was paused before, and is with its reason of then."""
    known = _row(connection, name, lock=True)
    if known.paused_at is not None:
        return False
    now = {"paused_at": func.now(), "pause_reason": reason}
    connection.execute(update(tables.study).where(tables.study.c.id == known.id).values(**now))
    publishing.mark_study_pending(connection, known.id)
    return True


def resume(connection: Connection, name: str) -> bool:
    """
    Resume a study. False: it was not paused.

    Ids that were published while it was being paused have to be published again, since no worker took them.
    """
    known = _row(connection, name, lock=True)
    if known.paused_at is not None:
        publishing.mark_study_pending(connection, known.id)
    values = {"paused_at": None, "pause_reason": None, "resumed_at": func.now(), "renewed_at": func.now()}
    connection.execute(update(tables.study).where(tables.study.c.id == known.id).values(**values))
    return known.paused_at is not None


def renewed(connection: Connection, ids: Sequence[int]) -> None:
    """Note that studies were given something to do: what happens from now on is told anew."""
    connection.execute(update(tables.study).where(tables.study.c.id.in_(ids)).values(renewed_at=func.now()))


def among(connection: Connection, condition: ColumnElement[bool]) -> list[StudyRow]:
    """Return the studies of the chosen experiments, the oldest first."""
    ids = connection.execute(select(tables.experiment.c.study).where(condition).distinct()).scalars().all()
    return rows(connection, ids)


def of(connection: Connection, condition: ColumnElement[bool], name: str | None) -> StudyRow:
    """Return the study *name*, or the one of the chosen experiments; SelectorError if they are of several."""
    if name is not None:
        return find(connection, name)
    found = among(connection, condition)
    if len(found) != 1:
        raise SelectorError(f"the ids are of the studies {', '.join(study.name for study in found)}; name one of them")
    return found[0]


def current(connection: Connection, study: StudyRow) -> tuple[dict[str, Json], str | None]:
    """Return the settings of a study's present revision, and the digest of the snapshot that it runs."""
    columns = tables.revision.c
    query = select(columns.settings, columns.source).where(columns.study == study.id, columns.number == study.revision)
    row = connection.execute(query).one()
    return dict(row[0]), row[1]


def addresses(connection: Connection, study: StudyRow) -> list[str]:
    """Return where a study's present revision wants messages to go."""
    columns = tables.revision.c
    query = select(columns.notify).where(columns.study == study.id, columns.number == study.revision)
    return list(connection.execute(query).scalar_one())


def renew(connection: Connection, study: StudyRow, provenance: Provenance) -> int:
    """Make a revision that differs from a study's present one in its code only; return its number."""
    columns = tables.revision.c
    known = _row(connection, study.name, lock=True)
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
    Add names of parameters that a study has not had so far, after those it has; return all; its row stays locked.

    None: it has another revision by now, and nothing was added.
    """
    known = _row(connection, study.name, lock=True)
    if known.revision != study.revision:
        return None
    names = _merged(known, parameters)
    connection.execute(update(tables.study).where(tables.study.c.id == known.id).values(parameters=names))
    return names


def _merged(known: StudyRow, parameters: list[str]) -> list[str]:
    """Return the names of parameters that a study has had, then those that are new."""
    return list(dict.fromkeys([*known.parameters, *parameters]))


def _row(connection: Connection, name: str, lock: bool = False) -> StudyRow:
    query = select(*_COLUMNS).where(tables.study.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UnknownStudyError(name, names(connection))
    return StudyRow(*row)


def changes(connection: Connection, known: StudyRow, plan: Plan) -> dict[str, tuple[Json, Json]]:
    """Return what a plan would change of a study's present revision: by name, the value before and after."""
    columns = tables.revision.c
    before = connection.execute(
        select(columns.grid, columns.settings, columns.function, columns.folder, columns.source).where(
            columns.study == known.id, columns.number == known.revision
        )
    ).one()
    old = {**described(before.grid, before.settings), "function": before.function, "folder": before.folder}
    new = {**described(plan.grid, plan.settings), "function": plan.function, "folder": plan.folder}
    snapshot = plan.provenance.snapshot
    old["code"], new["code"] = before.source and before.source[:12], snapshot and snapshot.digest[:12]
    if connection.execute(_MAY_READ_ADDRESSES).scalar_one():
        present = addresses(connection, known)
        if present != list(plan.manner.notify):
            old["notify"], new["notify"] = map(_countable, (present, plan.manner.notify))
    names = [*old, *(name for name in new if name not in old)]
    # as text: Python takes true for 1, and mappings in different order for equal
    return {name: (old.get(name), new.get(name)) for name in names if to_text(old.get(name)) != to_text(new.get(name))}


_MAY_READ_ADDRESSES = select(func.has_column_privilege("revision", "notify", "SELECT"))
"""A role that only reads may not; what it compares says nothing of them."""


def _countable(addresses: Sequence[str]) -> list[str]:
    """Return addresses as they may be shown; a mark tells one that is shown like another from it."""
    return [f"{hidden(address)} ({digest(address)[:4]})" for address in addresses]


def described(grid: Json, settings: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a grid says, each parameter and setting by itself."""
    flat = {key: value for key, value in grid.items() if key not in ("parameters", "settings", "study", "function")}
    flat |= {f"parameters.{name}": value for name, value in (grid.get("parameters") or {}).items()}
    return flat | {f"settings.{name}": value for name, value in settings.items()}


def _revision(plan: Plan) -> dict[str, Json]:
    return {
        "grid": plan.grid,
        "settings": dict(plan.settings),
        "function": plan.function,
        "folder": plan.folder,
        **vars(plan.manner),
        "retries": dict(plan.manner.retries),
        "stop_after": dict(plan.manner.stop_after),
        "notify": list(plan.manner.notify),
    }


def _provenance(connection: Connection, provenance: Provenance) -> dict[str, Json]:
    """Return the columns that say where a revision comes from, with what they point to stored."""
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
